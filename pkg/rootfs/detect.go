package rootfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/ownthread"
)

// Detection is how root file systems are made in one store.
type Detection struct {
	Driver string // overlay, fuse-overlayfs or vfs
	FS     string // type of the file system the store lies on
	Note   string // why it is not overlay, one line for the user; empty: it is
	Fresh  bool   // found just now: the time to print Note, which is said once
}

const probeVersion = 2

// probed is a Detection with what it depends on.
type probed struct {
	Version   int
	Dev       uint64
	Kernel    string
	Namespace bool
	Fuse      bool
	Detection
}

// Detect says which driver works for the store. It tries for real, once; the answer is kept until the store moves to
// another device, the kernel changes, or fuse-overlayfs comes or goes where it matters.
func Detect(ctx context.Context, d layout.Dirs) (Detection, error) {
	var st unix.Stat_t
	err := unix.Stat(d.Data, &st)
	if errors.Is(err, unix.ENOENT) {
		if err := os.MkdirAll(d.Data, 0o700); err != nil {
			return Detection{}, fmt.Errorf("make the store: %w", err)
		}
		err = unix.Stat(d.Data, &st)
	}
	if err != nil {
		return Detection{}, &os.PathError{Op: "stat", Path: d.Data, Err: err}
	}
	want := probed{Version: probeVersion, Dev: uint64(st.Dev), Kernel: kernel(), Namespace: inUserNamespace()}
	path := filepath.Join(d.Cache(), "driver")
	if old, ok := readProbe(path); ok && old.holds(want) {
		return old.Detection, nil
	}
	if want.Detection, err = probe(ctx, d.Data); err != nil {
		return Detection{}, err
	}
	want.Fuse = haveFuse() == nil
	if data, err := json.Marshal(want); err == nil && os.MkdirAll(d.Cache(), 0o700) == nil {
		atomicfile.Write(path, data, 0o600, atomicfile.Volatile) // only a cache
	}
	want.Fresh = true
	return want.Detection, nil
}

func readProbe(path string) (probed, bool) {
	var p probed
	data, err := os.ReadFile(path)
	return p, err == nil && json.Unmarshal(data, &p) == nil && p.Driver != ""
}

func (p probed) holds(now probed) bool {
	if p.Version != now.Version || p.Dev != now.Dev || p.Kernel != now.Kernel || p.Namespace != now.Namespace {
		return false
	}
	return p.Driver == Overlay || p.Fuse == (haveFuse() == nil)
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// haveFuse says what fuse-overlayfs misses.
func haveFuse() error {
	if _, err := exec.LookPath(Fuse); err != nil {
		return errors.New("the package fuse-overlayfs is not installed")
	}
	if err := unix.Access("/dev/fuse", unix.R_OK|unix.W_OK); err != nil {
		return fmt.Errorf("/dev/fuse cannot be opened: %w", err)
	}
	return nil
}

func probe(ctx context.Context, data string) (Detection, error) {
	dir, err := os.MkdirTemp(data, ".probe-")
	if err != nil {
		return Detection{}, fmt.Errorf("try the storage driver: %w", err)
	}
	defer os.RemoveAll(dir)
	found := Detection{Driver: Overlay, FS: fsType(dir)}
	why := try(ctx, dir, Overlay)
	if why == nil {
		return found, nil
	}
	if err := ctx.Err(); err != nil {
		return Detection{}, context.Cause(ctx)
	}
	found.Note = fmt.Sprintf("overlay does not work on the %s file system of %s (%v); ", found.FS, data, why)
	fuse := haveFuse()
	if fuse == nil {
		if fuse = try(ctx, dir, Fuse); fuse != nil {
			fuse = fmt.Errorf("fuse-overlayfs does not work either: %w", fuse)
		}
	}
	if fuse == nil {
		found.Driver = Fuse
		found.Note += "using fuse-overlayfs, which is slower (give --root a directory on a local disk)"
		return found, nil
	}
	found.Driver = VFS
	found.Note += fmt.Sprintf("copying whole images (vfs), which is slow and large, because %v "+
		"(mend that, or give --root a directory on a local disk)", fuse)
	return found, nil
}

// try mounts with the driver in a mount namespace of its own, and does what containers do.
func try(ctx context.Context, dir, driver string) error {
	return ownthread.Do(func() error { return tryHere(ctx, filepath.Join(dir, driver), driver) })
}

func tryHere(ctx context.Context, dir, driver string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	s := Spec{
		Lower: []string{filepath.Join(dir, "2"), filepath.Join(dir, "1")}, Driver: driver,
		Upper: filepath.Join(dir, "u"), Work: filepath.Join(dir, "w"), Target: filepath.Join(dir, "m"),
	}
	for _, path := range []string{s.Lower[0], s.Target, s.Lower[1] + "/gone", s.Lower[1] + "/kept"} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
	}
	for _, path := range []string{"/gone/file", "/kept/file"} {
		if err := os.WriteFile(s.Lower[1]+path, []byte("lower"), 0o644); err != nil {
			return err
		}
	}
	// fuse-overlayfs 1.10 cannot look into the directory of another user where there are no extended attributes. With
	// one id mapped, or on NFS, there is no other user.
	os.Chown(s.Lower[1]+"/kept", 1, 1)
	if err := Mount(ctx, s); err != nil {
		return errors.Unwrap(err)
	}
	defer Unmount(s.Target)
	return exercise(s.Target)
}

// exercise needs each of overlay's ways to change what lies below: copy up, a whiteout and an opaque directory.
func exercise(root string) error {
	if err := os.WriteFile(root+"/kept/file", []byte("upper"), 0o644); err != nil {
		return fmt.Errorf("change a file: %w", err)
	}
	if err := os.Chmod(root+"/kept/file", 0o600); err != nil {
		return fmt.Errorf("change a mode: %w", err)
	}
	if err := os.RemoveAll(root + "/gone"); err != nil {
		return fmt.Errorf("remove a directory: %w", err)
	}
	if err := os.Mkdir(root+"/gone", 0o755); err != nil {
		return fmt.Errorf("replace a directory: %w", err)
	}
	entries, err := os.ReadDir(root + "/gone")
	if err == nil && len(entries) > 0 {
		err = errors.New("a removed directory comes back with its files")
	}
	return err
}
