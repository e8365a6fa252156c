package rootfs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/ownthread"
)

func TestDetect(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		d := layout.Dirs{Data: filepath.Join(dir, "data")}
		got, err := Detect(t.Context(), d)
		must(t, err)
		if got.Driver != Overlay || got.Note != "" || !got.Fresh {
			t.Errorf("first: %+v", got)
		}
		if got, err = Detect(t.Context(), d); err != nil || got.Driver != Overlay || got.Fresh {
			t.Errorf("second: %+v %v", got, err)
		}
		must(t, os.WriteFile(d.Cache()+"/driver", []byte("{"), 0o600))
		if got, err = Detect(t.Context(), d); err != nil || !got.Fresh {
			t.Errorf("broken cache: %+v %v", got, err)
		}
		if left, _ := filepath.Glob(d.Data + "/.probe*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// TestDetectOnOverlay: a store inside a container's root cannot have overlay's read-write layers.
func TestDetectOnOverlay(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		s := newSpec(t, dir, 2)
		must(t, Mount(t.Context(), s))
		d := layout.Dirs{Data: s.Target + "/data"}
		got, err := Detect(t.Context(), d)
		must(t, err)
		want := VFS
		if haveFuse() == nil {
			want = Fuse
		}
		if got.Driver != want || got.FS != "overlay" || !strings.Contains(got.Note, "overlay file system") || strings.Contains(got.Note, "\n") {
			t.Errorf("%+v, want %s", got, want)
		}
		t.Log(got.Note)
		t.Setenv("PATH", "/nowhere")
		if got, err = Detect(t.Context(), d); err != nil || got.Driver != VFS || !got.Fresh || !strings.Contains(got.Note, "is not installed") {
			t.Errorf("without fuse-overlayfs: %+v %v", got, err)
		}
		t.Log(got.Note)
		must(t, Unmount(s.Target))
	})
}

// TestFuse: the server must work, and end when the mount goes.
func TestFuse(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		if err := haveFuse(); err != nil {
			t.Skip(err)
		}
		s := newSpec(t, dir, 3)
		s.Driver = Fuse
		must(t, Mount(t.Context(), s))
		wantFile(t, s.Target+"/file0", "0")
		must(t, exerciseMount(s.Target))
		if servers(t, dir) != 1 {
			t.Errorf("%d servers", servers(t, dir))
		}
		must(t, Unmount(s.Target))
		wantNoServer(t, dir)

		// As the engine mounts: in a namespace that ends with its last process, nobody unmounts.
		must(t, ownthread.Do(func() error {
			return errors.Join(unix.Unshare(unix.CLONE_NEWNS), Mount(t.Context(), s))
		}))
		wantNoServer(t, dir)
	})
}

func wantNoServer(t *testing.T, dir string) {
	t.Helper()
	for range 100 {
		if servers(t, dir) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("fuse-overlayfs runs on without its mount")
}

func servers(t *testing.T, dir string) int {
	t.Helper()
	out, _ := exec.Command("pgrep", "-f", "fuse-overlayfs.*"+dir).Output()
	return strings.Count(string(out), "\n")
}
