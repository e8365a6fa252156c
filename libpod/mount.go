package libpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/realuser"
	"github.com/wherry-containers/wherry/pkg/rootfs"
)

// Mounted is something that `mount` keeps mounted.
type Mounted struct {
	ID    string
	Names []string
	Path  string
}

// imagePrefix tells the mount points of images from those of containers.
const imagePrefix = "image-"

// mountDir holds the mount points of `mount`, one directory each. They are on the tmpfs of the run directory and only
// there while mounted.
func (e *Engine) mountDir() string { return filepath.Join(e.dirs.Run, "mnt") }

func (e *Engine) mountPath(name string) string { return filepath.Join(e.mountDir(), name) }

// heldMount is where `mount` keeps the container's root file system mounted; empty: nowhere.
func (e *Engine) heldMount(id string) string {
	var dir, parent unix.Stat_t
	path := e.mountPath(id)
	if unix.Lstat(path, &dir) != nil || unix.Lstat(e.mountDir(), &parent) != nil || dir.Dev == parent.Dev {
		return ""
	}
	return path
}

// checkMountable refuses to mount where nobody would see it: for a caller who was not in the user namespace when he
// called.
func (e *Engine) checkMountable(verb string) error {
	if !e.host().rootless {
		return nil
	}
	if realuser.Early.Ran != 0 && realuser.Early.Joined == 0 {
		return nil // it was there when it began
	}
	own, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		return err
	}
	if parent, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", os.Getppid())); err == nil && parent == own {
		return nil
	}
	return errdefs.New(errdefs.ErrUnsupported, "without root, %s works only inside of the user namespace (start a shell there with: wherry unshare)", verb)
}

// MountContainer mounts the container's root file system where the caller can see it, and returns where. It stays mounted
// until UnmountContainer, also when the container starts or stops.
func (e *Engine) MountContainer(ctx context.Context, ref string) (path string, err error) {
	if err := e.checkMountable("mount"); err != nil {
		return "", err
	}
	err = e.onContainer(ref, func(id string) error {
		return unlessEnded(ctx, func() error {
			path, err = e.holdMount(ctx, id)
			return err
		})
	})
	return path, err
}

// holdMount is MountContainer for the container as it is at this moment.
func (e *Engine) holdMount(ctx context.Context, id string) (path string, err error) {
	c, lock, err := e.acquireRested(ctx, id)
	if err != nil {
		return "", err
	}
	defer lock.Unlock()
	if c.state.Status == record.Removing {
		return "", errRemoving(c)
	}
	if err := e.runsElsewhere(c); err != nil {
		return "", err
	}
	if c.monitored() && !c.alive() {
		return "", errdefs.New(errdefs.ErrState, "container %q waits for its next start (stop it first)", c.name())
	}
	if path = e.heldMount(id); path != "" {
		return path, nil
	}
	path = e.mountPath(id)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", err
	}
	if err = e.mountContainer(ctx, c, path); err != nil {
		os.Remove(path)
		return "", fmt.Errorf("mount container %q: %w", c.name(), err)
	}
	e.note(c, "mount")
	return path, nil
}

// mountContainer shows the root of a running container as it has it mounted, and mounts that of a stopped one.
func (e *Engine) mountContainer(ctx context.Context, c *container, path string) error {
	if !c.alive() {
		in, err := e.mapIDs(&fileView{c: c})
		if err != nil {
			return err
		}
		in.Root = path
		s := &startup{e: e, c: c}
		m, err := s.rootSpec(ctx, &in)
		if err != nil {
			return err
		}
		return rootfs.Mount(ctx, m)
	}
	root, err := openProcessRoot(c)
	if err != nil {
		return err
	}
	defer root.Close()
	tree, err := cloneRoot(c, root)
	if err != nil {
		return err
	}
	defer tree.Close()
	return unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// UnmountContainer takes a mount of MountContainer away. It does no harm to a container that uses it.
func (e *Engine) UnmountContainer(_ context.Context, ref string) error {
	if err := e.checkMountable("unmount"); err != nil {
		return err
	}
	return e.onContainer(ref, func(id string) error {
		if e.heldMount(id) == "" {
			return errdefs.New(errdefs.ErrState, "container %q is not mounted", ref)
		}
		err := e.dropMount(id)
		if c, loadErr := e.load(id); err == nil && loadErr == nil {
			e.note(c, "unmount")
		}
		return err
	})
}

// dropMount unmounts what `mount` keeps of a container or an image; nothing there is no error.
func (e *Engine) dropMount(name string) error {
	path := e.mountPath(name)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := rootfs.Unmount(path); err != nil {
		return err
	}
	return os.Remove(path)
}

// MountImage mounts an image's files, read-only, and returns where.
func (e *Engine) MountImage(ctx context.Context, ref string) (path string, err error) {
	if err := e.checkMountable("image mount"); err != nil {
		return "", err
	}
	err = e.images.WithImagesShared(ctx, func() error { // until it is mounted: who removes images looks at that
		path, err = e.holdImage(ctx, ref)
		return err
	})
	return path, err
}

func (e *Engine) holdImage(ctx context.Context, ref string) (string, error) {
	img, err := e.images.Lookup(ctx, ref)
	if err != nil {
		return "", err
	}
	if path := e.heldMount(imagePrefix + img.ID); path != "" {
		return path, nil
	}
	if len(img.Lower) == 0 {
		return "", errdefs.New(errdefs.ErrUnsupported, "image %q has no files to mount", ref)
	}
	found, err := rootfs.Detect(ctx, e.dirs)
	if err != nil {
		return "", err
	}
	path := e.mountPath(imagePrefix + img.ID)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", err
	}
	if err := rootfs.Mount(ctx, rootfs.Spec{Lower: img.Lower, Target: path, ReadOnly: true, Driver: found.Driver}); err != nil {
		os.Remove(path)
		return "", fmt.Errorf("mount image %q: %w", ref, err)
	}
	return path, nil
}

// UnmountImage takes a mount of MountImage away.
func (e *Engine) UnmountImage(ctx context.Context, ref string) error {
	if err := e.checkMountable("image unmount"); err != nil {
		return err
	}
	img, err := e.images.Lookup(ctx, ref)
	if err != nil {
		return err
	}
	if e.heldMount(imagePrefix+img.ID) == "" {
		return errdefs.New(errdefs.ErrState, "image %q is not mounted", ref)
	}
	return e.dropMount(imagePrefix + img.ID)
}

// MountedContainers lists what MountContainer keeps mounted.
func (e *Engine) MountedContainers(context.Context) ([]Mounted, error) {
	return e.mounted(func(name string) (Mounted, bool) {
		if strings.HasPrefix(name, imagePrefix) {
			return Mounted{}, false
		}
		m := Mounted{ID: name}
		if c, err := e.load(name); err == nil {
			m.Names = []string{c.name()}
		}
		return m, true
	})
}

// MountedImages lists what MountImage keeps mounted.
func (e *Engine) MountedImages(ctx context.Context) ([]Mounted, error) {
	return e.mounted(func(name string) (Mounted, bool) {
		id, ok := strings.CutPrefix(name, imagePrefix)
		m := Mounted{ID: id}
		if img, err := e.images.Lookup(ctx, id); ok && err == nil {
			m.Names = img.Names
		}
		return m, ok
	})
}

func (e *Engine) mounted(row func(name string) (Mounted, bool)) ([]Mounted, error) {
	entries, err := os.ReadDir(e.mountDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []Mounted
	for _, entry := range entries {
		m, ok := row(entry.Name())
		if m.Path = e.heldMount(entry.Name()); ok && m.Path != "" {
			list = append(list, m)
		}
	}
	return list, err
}

// mounts checks for mounts of containers and images that are gone: with --rm the monitor removes a container, which does
// not see what is mounted elsewhere.
func (k *checker) mounts(ctx context.Context) error {
	entries, err := os.ReadDir(k.e.mountDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		name := entry.Name()
		id, isImage := strings.CutPrefix(name, imagePrefix)
		object := "container " + shortID(id)
		gone := !isImage && !k.e.containers.Complete(id)
		if isImage {
			_, lookErr := k.e.images.Lookup(ctx, id)
			object, gone = "image "+shortID(id), errors.Is(lookErr, errdefs.ErrNotFound)
		}
		if gone {
			k.report(object, "it is gone but still mounted", func() error { return k.e.dropMount(name) })
		}
	}
	return err
}
