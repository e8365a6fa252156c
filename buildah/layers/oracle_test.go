package layers

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	cdmount "github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/util/overlay"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/rootfs"
)

// A layer is byte by byte the one that BuildKit makes of the same directory.
func TestAsBuildKit(t *testing.T) {
	f := newFixture(t, rootfs.Overlay)
	when := time.Unix(1500000000, 0)
	base := f.step(nil, func(root string) error {
		err := write(root, map[string]string{"a/1": "1", "a/2": "2", "b/c/d": "3", "b/e": "4", "gone/x/y": "5", "same/f": "6", "replaced": "7", "dir/was": "8", "link": "9"})
		for _, name := range []string{"a/1", "a/2", "same/f"} {
			err = errors.Join(err, os.Chtimes(root+"/"+name, when, when)) // as after a pull
		}
		return err
	})
	for name, change := range map[string]func(root string) error{
		"nothing": func(string) error { return nil },
		"files": func(root string) error {
			return write(root, map[string]string{"a/1": "changed", "new/deep/file": "x", "z": strings.Repeat("z", 100000), strings.Repeat("long/", 40) + "n": "", "ünïcode": "u"})
		},
		"gone": func(root string) error { return errors.Join(os.RemoveAll(root+"/gone"), os.Remove(root+"/a/2")) },
		"opaque": func(root string) error {
			return errors.Join(os.RemoveAll(root+"/b"), write(root, map[string]string{"b/e": "new", "b/n/m": "o"}), os.Chmod(root+"/b", 0o700))
		},
		"kinds": func(root string) error {
			return errors.Join(os.Remove(root+"/replaced"), os.Mkdir(root+"/replaced", 0o751), os.RemoveAll(root+"/dir"), os.WriteFile(root+"/dir", nil, 0o644),
				os.Remove(root+"/link"), os.Symlink("a/1", root+"/link"), unix.Mkfifo(root+"/fifo", 0o620), os.Link(root+"/dir", root+"/zhard"), os.Link(root+"/dir", root+"/a/hard"))
		},
		"touched": func(root string) error {
			return errors.Join(os.Chmod(root+"/same/f", 0o644), os.Chmod(root+"/a/1", 0o600), os.Chmod(root+"/same", 0o755), os.Chmod(root+"/b/c", 0o700))
		},
		"modes": func(root string) error {
			return errors.Join(write(root, map[string]string{"suid": "s", "t/x": ""}), unix.Chmod(root+"/suid", 0o6755), unix.Chmod(root+"/t", 0o1777))
		},
	} {
		t.Run(name, func(t *testing.T) {
			stack := f.step(base, change)
			lower, err := f.Mount(t.Context(), base)
			f.must(err)
			defer lower.Close()
			sum := sha256.New()
			err = overlay.WriteUpperdir(t.Context(), sum, f.Dir(stack[1]), []cdmount.Mount{{Type: "bind", Source: lower.Root(), Options: []string{"rbind", "ro"}}})
			if err != nil {
				t.Skip("the oracle does not work here:", err)
			}
			info, err := f.Layer(stack[1])
			f.must(err)
			if want := "sha256:" + hex.EncodeToString(sum.Sum(nil)); info.DiffID.String() != want {
				t.Errorf("%s, BuildKit makes %s of\n%q", info.DiffID, want, f.entries(stack[1]))
			}
		})
	}
}
