package libpod

import (
	"slices"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/store"
)

func TestMergeEnv(t *testing.T) {
	for _, c := range []struct{ image, user, want []string }{
		{nil, nil, []string{defaultPath}},
		{[]string{"PATH=/bin", "A=1"}, []string{"A=2", "B=3"}, []string{"PATH=/bin", "A=2", "B=3"}},
		{[]string{"PATH=/bin", "A=1"}, []string{"A"}, []string{"PATH=/bin"}},
		{[]string{"PATH=/bin"}, []string{"A=", "A=x=y"}, []string{"PATH=/bin", "A=x=y"}},
		{[]string{"PATH=/bin"}, []string{"MISSING"}, []string{"PATH=/bin"}},
	} {
		if got := mergeEnv(c.image, c.user); !slices.Equal(got, c.want) {
			t.Errorf("mergeEnv(%q, %q) = %q, want %q", c.image, c.user, got, c.want)
		}
	}
}

func TestMergeImageCommand(t *testing.T) {
	image := store.ProcessConfig{Entrypoint: []string{"/e"}, Cmd: []string{"c"}}
	for _, c := range []struct {
		name                string
		entrypoint, command []string
		want                []string
	}{
		{"image's", nil, nil, []string{"/e", "c"}},
		{"own command", nil, []string{"x"}, []string{"/e", "x"}},
		{"own entrypoint drops the image's command", []string{"/o"}, nil, []string{"/o"}},
		{"both", []string{"/o"}, []string{"x"}, []string{"/o", "x"}},
		{"empty entrypoint", []string{}, []string{"x"}, []string{"x"}},
	} {
		var cfg record.Config
		err := mergeImage(&cfg, &store.Image{Config: store.Config{Config: image}}, CreateOptions{Entrypoint: c.entrypoint, Command: c.command})
		if err != nil || !slices.Equal(cfg.Process.Args(), c.want) {
			t.Errorf("%s: %q, %v, want %q", c.name, cfg.Process.Args(), err, c.want)
		}
	}
	if err := mergeImage(&record.Config{}, &store.Image{}, CreateOptions{}); err == nil {
		t.Error("no command at all: want an error")
	}
}

func TestImageVolumes(t *testing.T) {
	mounts := []record.Mount{{Type: "bind", Source: "/s", Target: "/data"}, {Type: "volume", Target: "/anon"}}
	got := addImageVolumes(mounts, map[string]struct{}{"/data": {}, "/more": {}}, "")
	if len(got) != 3 || got[2].Target != "/more" || !got[2].Anonymous || len(got[2].Source) != idLength {
		t.Errorf("got %+v", got)
	}
	if !got[1].Anonymous || got[1].Source == "" || mounts[1].Source != "" {
		t.Errorf("anonymous volume %+v, input %+v", got[1], mounts[1])
	}
}

func TestMergeHealth(t *testing.T) {
	image := &record.Health{Test: []string{"CMD", "a"}, Interval: time.Second, Retries: 5}
	got := mergeHealth(&record.Health{Timeout: 2 * time.Second}, image)
	if got.Test[1] != "a" || got.Interval != time.Second || got.Timeout != 2*time.Second || got.Retries != 5 || got.StartInterval != healthStartInterval {
		t.Errorf("got %+v", got)
	}
	if mergeHealth(&record.Health{Timeout: 1}, nil) != nil {
		t.Error("a health check without a test")
	}
}
