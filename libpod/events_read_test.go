package libpod

import (
	"testing"

	"github.com/wherry-containers/wherry/pkg/events"
)

func TestEventFilter(t *testing.T) {
	died := events.Event{Type: events.Container, Action: "die", ID: "abcdef", Attributes: map[string]string{"name": "web", "image": "docker.io/library/busybox:1", "role": "x"}}
	healthy := events.Event{Type: events.Container, Action: "health_status: healthy", ID: "123", Attributes: map[string]string{"name": "db"}}
	pulled := events.Event{Type: events.Image, Action: "pull", ID: "sha256:99", Attributes: map[string]string{"name": "quay.io/a/b:2"}}
	mounted := events.Event{Type: events.Volume, Action: "mount", ID: "data", Attributes: map[string]string{"container": "abcdef"}}
	all := []events.Event{died, healthy, pulled, mounted}
	cases := []struct {
		filters map[string][]string
		want    string // a letter per event that passes
	}{
		{nil, "dhpm"},
		{map[string][]string{"container": {"web"}}, "d"},
		{map[string][]string{"container": {"abc", "db"}}, "dh"},
		{map[string][]string{"container": {"abcdef"}}, "dm"},
		{map[string][]string{"event": {"die"}}, "d"},
		{map[string][]string{"event": {"died"}}, "d"},
		{map[string][]string{"event": {"health_status"}}, "h"},
		{map[string][]string{"event": {"health_status: unhealthy"}}, ""},
		{map[string][]string{"type": {"image", "volume"}}, "pm"},
		{map[string][]string{"label": {"role=x"}}, "d"},
		{map[string][]string{"label": {"role", "other"}}, ""},
		{map[string][]string{"image": {"busybox"}}, "d"},
		{map[string][]string{"image": {"quay.io/a/b:2"}}, "p"},
		{map[string][]string{"image": {"b"}}, "p"},
		{map[string][]string{"volume": {"data"}}, "m"},
		{map[string][]string{"type": {"container"}, "event": {"die"}}, "d"},
	}
	for _, c := range cases {
		ok, err := eventFilter(c.filters)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i, ev := range all {
			if ok(ev) {
				got += string("dhpm"[i])
			}
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.filters, got, c.want)
		}
	}
	if _, err := eventFilter(map[string][]string{"colour": {"red"}}); err == nil {
		t.Error("an unknown filter is taken")
	}
}

func FuzzEventFilter(f *testing.F) {
	f.Add("container", "web", "die: x", "name:1")
	f.Fuzz(func(t *testing.T, key, value, action, name string) {
		ok, err := eventFilter(map[string][]string{key: {value}})
		if err != nil {
			return
		}
		for _, kind := range []string{events.Container, events.Image, events.Volume} {
			ok(events.Event{Type: kind, Action: action, ID: name, Attributes: map[string]string{"name": name, "image": value}})
		}
	})
}
