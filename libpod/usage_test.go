package libpod

import (
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/store"
)

func TestImageUsage(t *testing.T) {
	images := []store.Image{
		{ID: "a", Layers: []string{"a1", "base"}, Sizes: []int64{5, 100}},
		{ID: "b", Layers: []string{"b1", "base"}, Sizes: []int64{7, 100}},
		{ID: "c", Layers: []string{"c1"}, Sizes: []int64{1}},
	}
	u := &Usage{Images: imageUsage(images, []Summary{{ImageID: "a"}, {ImageID: "a"}})}
	for i, want := range []struct {
		shared     int64
		containers int
	}{{100, 2}, {100, 0}, {0, 0}} {
		if got := u.Images[i]; got.Shared != want.shared || got.Containers != want.containers {
			t.Errorf("%s: shared %d, %d containers; want %+v", got.ID, got.Shared, got.Containers, want)
		}
	}
	if total, free := u.ImageBytes(); total != 113 || free != 8 {
		t.Errorf("%d bytes, %d reclaimable; want 113 and 8", total, free)
	}
}

func TestPortFilter(t *testing.T) {
	row := &Summary{Ports: []state.Port{{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}}}
	for filter, want := range map[string]bool{"publish=8080": true, "publish=80": false, "publish=8000-8100/tcp": true, "publish=8080/udp": false, "expose=80": true, "expose=8080": false} {
		key, value, _ := strings.Cut(filter, "=")
		test, err := portTest(key, value)
		if err != nil || test(row) != want {
			t.Errorf("%s: %v %v", filter, test(row), err)
		}
	}
	for _, bad := range []string{"", "x", "80-", "90-80", "70000"} {
		if _, err := portTest("publish", bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
