// Package rootfs makes the root file system of a container out of an image's layers: overlay by the kernel, else
// fuse-overlayfs, else a full copy.
package rootfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Drivers that Detect chooses from.
const (
	Overlay = "overlay"
	Fuse    = "fuse-overlayfs"
	VFS     = "vfs"
)

// Spec is one root file system to mount.
type Spec struct {
	Lower    []string // layer directories, top first; may be empty for an image without layers
	Upper    string   // read-write layer; made if it is missing
	Work     string   // overlay's work directory on the same file system; made if it is missing
	Target   string   // existing mount point
	ReadOnly bool     // mount without a read-write layer; an existing Upper is shown, not written
	Volatile bool     // never sync the read-write layer: after a crash of the machine it must not be used again
	Driver   string   // as Detect says; empty: overlay
	IDMap    *Mapping // show the layers' owners through another mapping; only where CanIDMap
}

// Mount mounts the root in the caller's mount namespace. The caller runs on a locked OS thread, which holds that
// namespace. On an error nothing stays mounted; Upper and Work stay.
func Mount(ctx context.Context, s Spec) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if !s.ReadOnly {
		if err := makeUpper(s); err != nil {
			return err
		}
	}
	if s.Driver != VFS && s.bindable() {
		return bindOnly(s)
	}
	if s.IDMap != nil && s.Driver == Fuse {
		return errdefs.New(errdefs.ErrUnsupported, "fuse-overlayfs cannot map ids (use a mapped copy of the image)")
	}
	switch s.Driver {
	case "", Overlay:
		return mountOverlay(s)
	case Fuse:
		return mountFuse(ctx, s)
	case VFS:
		return mountVFS(ctx, s)
	}
	return errdefs.New(errdefs.ErrInvalid, "unknown storage driver %q (overlay, fuse-overlayfs or vfs)", s.Driver)
}

// Unmount detaches what is mounted at target; nothing mounted there is no error.
func Unmount(target string) error {
	err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("unmount %s: %w", target, err)
}

// makeUpper makes the read-write layer and overlay's work directory where they are missing.
func makeUpper(s Spec) error {
	if s.Upper == "" {
		return errdefs.New(errdefs.ErrInvalid, "no read-write layer given for %s", s.Target)
	}
	err := os.Mkdir(s.Upper, 0o755)
	if err == nil {
		err = likeTop(s)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make the read-write layer: %w", err)
	}
	if s.Work == "" {
		return nil
	}
	if err := os.Mkdir(s.Work, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make overlay's work directory: %w", err)
	}
	return nil
}

// likeTop gives a new read-write layer the owner and mode of the image's top directory: overlay shows them as those of /.
func likeTop(s Spec) error {
	uid, gid, mode := 0, 0, uint32(0o755)
	if len(s.Lower) > 0 {
		var st unix.Stat_t
		if err := unix.Stat(s.Lower[0], &st); err != nil {
			return fmt.Errorf("layer %s: %w", s.Lower[0], err)
		}
		uid, gid, mode = int(st.Uid), int(st.Gid), st.Mode&0o7777
	}
	if s.IDMap != nil {
		var err error
		if uid, gid, err = s.IDMap.shift(uid, gid); err != nil {
			return err
		}
	}
	return errors.Join(os.Chown(s.Upper, uid, gid), unix.Chmod(s.Upper, mode))
}

// bindable roots need no overlay, which wants a lower layer, and without an upper one two of them.
func (s Spec) bindable() bool {
	if s.ReadOnly {
		return len(s.readOnlyLower()) == 1 && s.IDMap == nil
	}
	return len(s.Lower) == 0
}

// readOnlyLower is what a read-only root shows, top first.
func (s Spec) readOnlyLower() []string {
	if s.Upper != "" {
		if _, err := os.Stat(s.Upper); err == nil {
			return append([]string{s.Upper}, s.Lower...)
		}
	}
	return s.Lower
}

func bindOnly(s Spec) error {
	source := s.Upper
	if s.ReadOnly {
		source = s.readOnlyLower()[0]
	}
	return bind(source, s.Target, s.ReadOnly)
}

func bind(source, target string, readOnly bool) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	if !readOnly {
		return nil
	}
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|lockedFlags(target), ""); err != nil {
		Unmount(target)
		return fmt.Errorf("make %s read-only: %w", target, err)
	}
	return nil
}

// lockedFlags are the flags that a user namespace must not take away from a mount it got from outside.
func lockedFlags(path string) uintptr {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return 0
	}
	return uintptr(st.Flags) & (unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME)
}

// inUserNamespace tells whether we are in a user namespace that does not hold all ids. There, overlay must keep its
// notes in user.* attributes, for trusted.* are the real root's.
var inUserNamespace = sync.OnceValue(func() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return os.Geteuid() != 0
	}
	var inside, outside, count uint64
	n, _ := fmt.Sscan(string(data), &inside, &outside, &count)
	return n != 3 || inside != 0 || outside != 0 || count != 4294967295
})
