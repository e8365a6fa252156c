package builders

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func TestBuilders(t *testing.T) {
	home := t.TempDir()
	env := map[string]string{"HOME": home}
	getenv := func(name string) string { return env[name] }
	d := Open(getenv)
	if b, err := d.Chosen("", getenv); err != nil || b.Name != Default {
		t.Fatalf("%+v %v", b, err)
	}
	if err := d.Put(Builder{Name: "b", Platforms: []string{"linux/arm64"}, Jobs: 3}); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(Builder{Name: "b"}); !errors.Is(err, errdefs.ErrInUse) {
		t.Error("made twice:", err)
	}
	if err := d.Use("b"); err != nil {
		t.Fatal(err)
	}
	if b, err := d.Chosen("", getenv); err != nil || b.Name != "b" || b.Jobs != 3 || !slices.Equal(b.Platforms, []string{"linux/arm64"}) {
		t.Errorf("%+v %v", b, err)
	}
	env["BUILDX_BUILDER"] = "none"
	if _, err := d.Chosen("", getenv); !errors.Is(err, errdefs.ErrNotFound) {
		t.Error("BUILDX_BUILDER:", err)
	}
	if b, err := d.Chosen(Default, getenv); err != nil || b.Name != Default || b.Jobs != 0 {
		t.Errorf("named: %+v %v", b, err)
	}
	if names, err := d.Names(); err != nil || !slices.Equal(names, []string{Default, "b"}) {
		t.Errorf("%q %v", names, err)
	}
	if err := d.Remove("b"); err != nil || d.Current() != Default {
		t.Error(err, d.Current())
	}
	for _, name := range []string{"", "../x", "a/b", "-a", ".."} {
		if err := d.Put(Builder{Name: name}); !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := os.WriteFile(d.file("x"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Get("x"); !errors.Is(err, errdefs.ErrBroken) {
		t.Error("damaged:", err)
	}
}
