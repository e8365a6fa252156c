package libpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/procs"
	"github.com/wherry-containers/wherry/pkg/rootfs"
	"github.com/wherry-containers/wherry/pkg/safepath"
)

// fileView is the file tree of a container as an open directory. What lies in it is not to be trusted.
type fileView struct {
	c          *container
	root       *os.File
	uids, gids []specs.LinuxIDMapping // of its own user namespace; nil: it has ours
}

// Which tree of a container somebody wants.
const (
	withMounts = true  // as the container's processes see it, with volumes and binds
	bareRoot   = false // its root file system alone, with what mounts hide
)

// withFiles runs do on the files of the container. A stopped one is mounted for that in a mount namespace that vanishes
// with this process, and stays locked meanwhile: nobody else may mount its read-write layer.
func (e *Engine) withFiles(ctx context.Context, ref string, mounts bool, do func(*fileView) error) error {
	return e.onContainer(ref, func(id string) error {
		return unlessEnded(ctx, func() error { return e.viewFiles(ctx, id, mounts, do) })
	})
}

// viewFiles is withFiles for the container as it is at this moment.
func (e *Engine) viewFiles(ctx context.Context, id string, mounts bool, do func(*fileView) error) error {
	c, err := e.lookSettled(id)
	if err != nil {
		return err
	}
	if c.alive() {
		return e.viewRunning(c, mounts, do)
	}
	c, lock, err := e.acquireRested(ctx, id)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	switch {
	case c.alive():
		lock.Unlock()
		return e.viewRunning(c, mounts, do)
	case c.state.Status == record.Removing:
		return errRemoving(c)
	}
	if err := e.runsElsewhere(c); err != nil {
		return err
	}
	return onOwnThread(func() error { return e.viewStopped(ctx, c, mounts, do) })
}

// errEnded says that a container was found to run and has ended before anything could be done with it.
var errEnded = errors.New("the container has just ended")

// unlessEnded does what depends on whether a container runs anew for as long as that changes under its hands.
func unlessEnded(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !errors.Is(err, errEnded) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// viewRunning opens the root of the container's first process. The error is errEnded when that ends first.
func (e *Engine) viewRunning(c *container, mounts bool, do func(*fileView) error) error {
	v := &fileView{c: c}
	defer v.close()
	if err := v.open(mounts); err != nil {
		if !c.alive() {
			err = errEnded
		}
		return err
	}
	return do(v)
}

// open opens the tree of a running container, and asks how its ids are ours.
func (v *fileView) open(mounts bool) error {
	root, err := openProcessRoot(v.c)
	if err != nil {
		return err
	}
	v.root = root
	if !mounts {
		defer root.Close()
		if v.root, err = cloneRoot(v.c, root); err != nil {
			return err
		}
	}
	return v.readMaps()
}

func (v *fileView) close() {
	if v.root != nil {
		v.root.Close()
	}
}

// readMaps asks the kernel how the ids of the running container are ours.
func (v *fileView) readMaps() (err error) {
	own, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		return err
	}
	proc := fmt.Sprintf("/proc/%d/", v.c.live.Pid)
	if its, err := os.Readlink(proc + "ns/user"); err != nil || its == own {
		return err
	}
	if v.uids, err = readMap(proc + "uid_map"); err == nil {
		v.gids, err = readMap(proc + "gid_map")
	}
	return err
}

func readMap(path string) (maps []specs.LinuxIDMapping, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		var m specs.LinuxIDMapping
		if _, err := fmt.Sscan(line, &m.ContainerID, &m.HostID, &m.Size); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		maps = append(maps, m)
	}
	return maps, nil
}

// openProcessRoot opens what the first process has as its root directory. That the process still lives afterwards says
// that it was its own, and not that of another one with the same pid; otherwise the error is errEnded.
func openProcessRoot(c *container) (*os.File, error) {
	root, err := openPath(fmt.Sprintf("/proc/%d/root", c.live.Pid))
	if err == nil && procs.Alive(c.live.Pid, c.live.PidStart) {
		return root, nil
	}
	if err == nil {
		root.Close()
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		err = errEnded
	}
	return nil, err
}

func openPath(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// cloneRoot is the container's root file system without what is mounted in it. The kernel makes such a view only for
// somebody in the container's mount namespace.
func cloneRoot(c *container, root *os.File) (tree *os.File, err error) {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", c.live.Pid))
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	err = onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
			return err
		}
		fd, err := unix.OpenTree(int(root.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
		if err == nil {
			tree = os.NewFile(uintptr(fd), "/")
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open the root file system of container %q: %w", c.name(), err)
	}
	return tree, nil
}

// mapIDs computes how the ids of the stopped container will be ours.
func (e *Engine) mapIDs(v *fileView) (in spec.Input, err error) {
	s := &startup{e: e, c: v.c}
	in = spec.Input{Config: &v.c.Config}
	if v.c.Security.UserNS == "" && len(v.c.Namespaces.UIDMap) == 0 {
		return in, nil
	}
	if in.Host, err = s.specHost(); err != nil {
		return in, err
	}
	v.uids, v.gids, err = spec.IDMappings(in)
	return in, err
}

// viewStopped mounts the root in this thread's own mount namespace, over the container's directory, and takes it away
// from there as soon as it is whole: what is open stays.
func (e *Engine) viewStopped(ctx context.Context, c *container, mounts bool, do func(*fileView) error) error {
	s := &startup{e: e, c: c, runDir: e.dirs.ContainerRun(c.ID)}
	v := &fileView{c: c}
	in, err := e.mapIDs(v)
	if err != nil {
		return err
	}
	if c.monitored() { // it waits for its next start, and has the root mounted
		if in.Root, err = s.rootTarget(&in); err != nil {
			return err
		}
		err = s.isolateFrom(c.live.Monitor)
	} else {
		in.Root = e.dirs.Container(c.ID)
		err = isolate()
	}
	if err != nil {
		return err
	}
	c.Rootfs.Volatile = true // an unmount would sync all that was ever written to the disk; nobody waits for that
	if !c.monitored() {
		if err := s.mountRoot(ctx, &in); err != nil {
			return err
		}
	}
	if v.root, err = openPath(in.Root); err != nil {
		return err
	}
	defer func() { v.root.Close() }()
	if mounts {
		if err := s.mountForFiles(ctx, v, &in); err != nil {
			return err
		}
	}
	if err := v.detach(in.Root); err != nil {
		return err
	}
	return do(v)
}

// isolateFrom gives this thread a mount namespace of its own that begins as a copy of another process'.
func (s *startup) isolateFrom(pid int) error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the mount namespace of process %d: %w", pid, err)
	}
	return isolate()
}

// detach turns the mounts at path into ones without a place, which last as long as they are open.
func (v *fileView) detach(path string) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("open the root file system of container %q: %w", v.c.name(), err)
	}
	v.root.Close()
	v.root = os.NewFile(uintptr(fd), "/")
	return rootfs.Unmount(path)
}

// mountForFiles mounts the container's volumes and binds as a start would. What has no content while the container is
// stopped (tmpfs) is left out, and so is what cannot be mounted now: a start will say why.
func (s *startup) mountForFiles(ctx context.Context, v *fileView, in *spec.Input) error {
	wished := slices.Clone(s.c.Mounts)
	slices.SortStableFunc(wished, func(a, b record.Mount) int { return len(a.Target) - len(b.Target) })
	for _, m := range wished {
		var got specs.Mount
		var err error
		switch m.Type {
		case "bind":
			got, err = s.bindMount(ctx, m, in.Root)
		case "volume":
			got, err = s.volumeMount(ctx, m, in.Root)
		default:
			continue
		}
		if errors.Is(err, errdefs.ErrNotFound) || err == nil && got.Type != "bind" {
			continue
		}
		if err == nil {
			err = v.bind(got.Source, m)
		}
		if err != nil {
			return fmt.Errorf("mount at %q: %w", m.Target, err)
		}
	}
	return nil
}

// bind mounts source at the target inside the root, wherever that leads there.
func (v *fileView) bind(source string, m record.Mount) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	at, err := v.mountPoint(m.Target, info.IsDir())
	if err != nil {
		return err
	}
	defer at.Close()
	flags := uintptr(unix.MS_BIND | unix.MS_REC)
	if m.NonRecurs {
		flags = unix.MS_BIND
	}
	if err := unix.Mount(source, fdPath(at), "", flags, ""); err != nil || !m.ReadOnly {
		return err
	}
	over, err := safepath.OpenAt(v.root, m.Target, unix.O_PATH, 0) // what is mounted there now
	if err != nil {
		return err
	}
	defer over.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(over.Fd()), &st); err != nil {
		return err
	}
	locked := uintptr(st.Flags) & (unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME)
	return unix.Mount("", fdPath(over), "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|locked, "")
}

// mountPoint opens the target of a mount, made as a start would make it.
func (v *fileView) mountPoint(target string, dir bool) (*os.File, error) {
	at, err := safepath.OpenAt(v.root, target, unix.O_PATH, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return at, err
	}
	parent := target
	if !dir {
		parent = filepath.Dir(target)
	}
	uid, gid := outside(v.uids, 0), outside(v.gids, 0)
	if err := safepath.MkdirAllIn(fdPath(v.root), parent, 0o755, uid, gid); err != nil {
		return nil, err
	}
	if !dir {
		f, err := safepath.OpenAt(v.root, target, unix.O_RDONLY|unix.O_CREAT|unix.O_NONBLOCK, 0o644)
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	return safepath.OpenAt(v.root, target, unix.O_PATH, 0)
}

// fdPath names an open directory for functions that want a path.
func fdPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
