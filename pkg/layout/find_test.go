package layout

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/realuser"
)

// asUser lets the test stand where a process inside the namespace stands, also when it runs as root.
func asUser(t *testing.T, uid int) {
	old := realuser.Early
	realuser.Early.Joined, realuser.Early.UID = 1, uintptr(uid)
	t.Cleanup(func() { realuser.Early = old })
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestFind(t *testing.T) {
	const uid = 987654321
	asUser(t, uid)
	own := t.TempDir()
	fallback := "/tmp/wherry-run-" + strconv.Itoa(uid)
	for _, c := range []struct {
		name      string
		env       []string
		data, run string
	}{
		{"overrides", []string{"WHERRY_DATA", "/a", "WHERRY_RUN", "/b", "XDG_RUNTIME_DIR", own}, "/a", "/b"},
		{"desktop", []string{"HOME", "/home/u", "XDG_RUNTIME_DIR", own}, "/home/u/.local/share/wherry", own + "/wherry"},
		{"data home", []string{"HOME", "/home/u", "XDG_DATA_HOME", "/d", "XDG_RUNTIME_DIR", own}, "/d/wherry", own + "/wherry"},
		{"no runtime directory", []string{"HOME", "/home/u"}, "/home/u/.local/share/wherry", fallback},
		{"a runtime directory that is missing", []string{"HOME", "/home/u", "XDG_RUNTIME_DIR", own + "/no"}, "/home/u/.local/share/wherry", fallback},
		{"a relative runtime directory", []string{"HOME", "/home/u", "XDG_RUNTIME_DIR", "."}, "/home/u/.local/share/wherry", fallback},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Find(env(append(c.env, "WHERRY_LIBEXEC", "/l")...))
			if err != nil {
				t.Fatal(err)
			}
			if want := (Dirs{Data: c.data, Run: c.run, Libexec: "/l"}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	if _, err := Find(env("XDG_RUNTIME_DIR", own)); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("no home: %v", err)
	}
}

func TestFindAsRoot(t *testing.T) {
	if os.Geteuid() != 0 || realuser.Inside() {
		t.Skip("needs real root")
	}
	got, err := Find(env("HOME", "/root", "XDG_RUNTIME_DIR", t.TempDir(), "WHERRY_LIBEXEC", "/l"))
	if want := (Dirs{Data: "/var/lib/wherry", Run: "/run/wherry", Libexec: "/l"}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestFallbackMustBePrivate(t *testing.T) {
	base := t.TempDir()
	for _, c := range []struct {
		name string
		make func(string) error
		want error
	}{
		{"missing", func(string) error { return nil }, nil},
		{"private", func(p string) error { return os.Mkdir(p, 0o700) }, nil},
		{"open to others", func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o755)) }, errdefs.ErrInvalid},
		{"a file", func(p string) error { return os.WriteFile(p, nil, 0o600) }, errdefs.ErrInvalid},
		{"a link", func(p string) error { return os.Symlink(base, p) }, errdefs.ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(base, c.name)
			if err := c.make(dir); err != nil {
				t.Fatal(err)
			}
			if err := checkPrivate(dir); !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
