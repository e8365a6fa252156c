package cni

import (
	"errors"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func TestStore(t *testing.T) {
	s := Store{Dir: t.TempDir() + "/networks"}
	n, err := New(OurVersion, "web", Note{ID: "0123456789ab", Driver: "bridge", Labels: map[string]string{"a": "b"}},
		map[string]any{"type": "wherry-bridge", "bridge": "b0", "subnets": []any{map[string]any{"subnet": "10.1.0.0/24", "gateway": "10.1.0.1"}}}, map[string]any{"type": "tuning"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WithLock(func() error { return s.Save(n) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(n); !errors.Is(err, errdefs.ErrNameInUse) {
		t.Errorf("a second of the name: %v", err)
	}
	got, err := s.Load("web")
	if err != nil || got.Note.Labels["a"] != "b" || got.Own == nil || got.Own.Bridge != "b0" || !got.Foreign() || strings.Join(got.Plugins(), " ") != "wherry-bridge tuning" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, name := range []string{"", "nope", "../web", ".x", "a/b"} {
		if _, err := s.Load(name); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := s.Remove("web"); err != nil {
		t.Error(err)
	}
	if all := s.List(func(err error) { t.Error(err) }); len(all) != 0 {
		t.Errorf("left: %v", all)
	}
}

func TestMissingPlugin(t *testing.T) {
	d := &dispatcher{}
	if path, err := d.FindInPath("wherry-bridge", nil); err != nil || path != ownPath {
		t.Errorf("ours: %s, %v", path, err)
	}
	if _, err := d.FindInPath("nope", []string{"/a", "/b"}); err == nil || !strings.Contains(err.Error(), "is in none of /a, /b") {
		t.Errorf("missing: %v", err)
	}
	if _, err := d.FindInPath("../sh", []string{"/bin"}); err == nil {
		t.Error("a plugin with a path is found")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"cniVersion":"1.1.0","name":"n","plugins":[{"type":"wherry-bridge","bridge":"b"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := parse(data, "x"); err == nil && len(n.Plugins()) == 0 {
			t.Errorf("%q: no plugins", data)
		}
	})
}
