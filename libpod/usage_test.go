package libpod

import (
	"testing"

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
