package rootfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/layout"
)

// TestFileSystems mounts on the file systems that this machine can make, and lets Detect judge each.
func TestFileSystems(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		for _, kind := range []string{"tmpfs", "ext4", "xfs"} {
			at := filepath.Join(dir, kind)
			must(t, os.Mkdir(at, 0o755))
			if !mountFresh(t, kind, at) {
				t.Logf("no %s here", kind)
				continue
			}
			found, err := Detect(t.Context(), layout.Dirs{Data: at + "/data"})
			must(t, err)
			if found.FS != kind || found.Driver != Overlay {
				t.Errorf("%s: %+v", kind, found)
				continue
			}
			s := newSpec(t, at, 3)
			must(t, Mount(t.Context(), s))
			must(t, exerciseMount(s.Target))
			must(t, Unmount(s.Target))
			must(t, Unmount(at))
		}
	})
}

// mountFresh mounts an empty file system; a loop device goes with the mount.
func mountFresh(t *testing.T, kind, at string) bool {
	t.Helper()
	if kind == "tmpfs" {
		must(t, unix.Mount("tmpfs", at, "tmpfs", 0, "mode=0755"))
		return true
	}
	if inUserNamespace() {
		return false
	}
	image := at + ".img"
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 320<<20))
	if exec.Command("mkfs."+kind, "-q", image).Run() != nil {
		return false
	}
	return exec.Command("mount", "-o", "loop", image, at).Run() == nil
}
