package safepath

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// tree makes a root with links that want to lead out of it, next to a secret.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	for _, d := range []string{"etc", "a/b", "run"} {
		must(t, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("inside"), 0o644))
	for name, target := range map[string]string{
		"abs": "/etc/passwd", "up": "../../../../../../etc/passwd", "out": "../secret", "absdir": "/a", "root": "/",
		"a/b/rel": "../../etc", "loop1": "loop2", "loop2": "loop1", "magic": "/proc/self/root", "dangling": "/made/here",
		"danglingrel": "a/../../../rel/dir", "toreal": dir,
	} {
		must(t, os.Symlink(target, filepath.Join(root, name)))
	}
	return root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bothWays runs the test with openat2 and with the fallback.
func bothWays(t *testing.T, fn func(t *testing.T)) {
	t.Run("openat2", fn)
	t.Run("fallback", func(t *testing.T) {
		noOpenat2.Store(true)
		defer noOpenat2.Store(false)
		fn(t)
	})
}

func TestOpenIn(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		root := tree(t)
		for _, path := range []string{"etc/passwd", "/etc/passwd", "abs", "up", "root/etc/passwd", "a/b/rel/passwd", "absdir/b/rel/passwd",
			"../../../etc/passwd", "a/../../etc/passwd", "root/root/root/abs"} {
			f, err := OpenIn(root, path, os.O_RDONLY, 0)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if data, err := io.ReadAll(f); err != nil || string(data) != "inside" {
				t.Errorf("%s: %q %v", path, data, err)
			}
			f.Close()
		}
		for path, want := range map[string]error{"out": fs.ErrNotExist, "toreal/secret": fs.ErrNotExist, "loop1": syscall.ELOOP,
			"magic/etc/passwd": fs.ErrNotExist, "dangling": fs.ErrNotExist, "etc/passwd/x": syscall.ENOTDIR} {
			if f, err := OpenIn(root, path, os.O_RDONLY, 0); !errors.Is(err, want) {
				t.Errorf("%s: %v %v, want %v", path, f, err, want)
			}
		}
		if _, err := OpenIn(root+"/none", "x", os.O_RDONLY, 0); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
}

func TestMagicLinks(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		for _, path := range []string{"self/root/etc", "self/cwd", "self/fd/0"} {
			if f, err := OpenIn("/proc", path, unix.O_PATH, 0); err == nil {
				f.Close()
				if !noOpenat2.Load() || path == "self/root/etc" {
					t.Errorf("%s: followed", path)
				}
			}
		}
	})
}

func TestCreate(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		root := tree(t)
		f, err := OpenIn(root, "absdir/new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
		must(t, err)
		f.WriteString("x")
		f.Close()
		if data, err := os.ReadFile(root + "/a/new"); err != nil || string(data) != "x" {
			t.Errorf("%q %v", data, err)
		}
		if _, err := OpenIn(root, "a/new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640); !errors.Is(err, fs.ErrExist) {
			t.Errorf("exclusive: %v", err)
		}
		if f, err = OpenIn(root, "a/new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640); err != nil {
			t.Fatal(err)
		}
		f.Close()
		OpenIn(root, "out", os.O_WRONLY|os.O_CREATE, 0o644)
		if data, _ := os.ReadFile(filepath.Dir(root) + "/secret"); string(data) != "secret" {
			t.Error("wrote outside")
		}
	})
}

func TestMkdirAllIn(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		root := tree(t)
		uid, gid := os.Getuid(), os.Getgid()
		if uid == 0 {
			uid, gid = 12, 34
		}
		for path, real := range map[string]string{"x/y/z": "x/y/z", "absdir/new/dir": "a/new/dir", "up/../q": "up/../q", "dangling/sub": "made/here/sub",
			"danglingrel": "rel/dir", "../../esc": "esc", "": "", "/": "", "root/root/r": "r", "a/b": "a/b"} {
			if err := MkdirAllIn(root, path, 0o1770, uid, gid); err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if info, err := os.Stat(filepath.Join(root, real)); err != nil || !info.IsDir() {
				t.Errorf("%s: %v", path, err)
			}
		}
		info, err := os.Stat(root + "/x/y")
		must(t, err)
		if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != uid || int(st.Gid) != gid || info.Mode().Perm() != 0o770 {
			t.Errorf("made with %d:%d %v", st.Uid, st.Gid, info.Mode())
		}
		if info, _ := os.Stat(root + "/a"); info.Mode().Perm() != 0o755 {
			t.Error("an existing directory was changed")
		}
		for _, path := range []string{"etc/passwd/x", "loop1/x"} {
			if err := MkdirAllIn(root, path, 0o755, uid, gid); err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", path, err)
			}
		}
		entries, _ := os.ReadDir(filepath.Dir(root))
		if len(entries) != 2 {
			t.Errorf("made outside the root: %v", entries)
		}
	})
}

func TestStatIn(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		root := tree(t)
		if info, err := StatIn(root, "up"); err != nil || !info.Mode().IsRegular() || info.Size() != 6 {
			t.Errorf("%v %v", info, err)
		}
		if _, err := StatIn(root, "out"); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
}

func TestReadFileIn(t *testing.T) {
	root := tree(t)
	must(t, unix.Mkfifo(root+"/fifo", 0o644))
	must(t, os.WriteFile(root+"/exact", make([]byte, 100), 0o644))
	if data, err := ReadFileIn(root, "up", 100); err != nil || string(data) != "inside" {
		t.Errorf("%q %v", data, err)
	}
	if data, err := ReadFileIn(root, "exact", 100); err != nil || len(data) != 100 {
		t.Errorf("%d %v", len(data), err)
	}
	for _, path := range []string{"fifo", "etc"} {
		if _, err := ReadFileIn(root, path, 100); !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := ReadFileIn(root, "exact", 99); !errors.Is(err, errdefs.ErrInvalid) {
		t.Error(err)
	}
}
