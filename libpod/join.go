package libpod

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/procs"
	"github.com/wherry-containers/wherry/pkg/rootless"
	"github.com/wherry-containers/wherry/pkg/safepath"
)

// nsKind is one kind of namespace that a container can share.
type nsKind struct {
	flag    string // as the flag calls it
	proc    string // as /proc/PID/ns does
	flagBit int    // as NS_GET_NSTYPE does
}

// join finds the namespaces of others that the container is to enter. Each is kept by a bind mount in this thread's mount
// namespace, so that a process that ends meanwhile, and one that gets its number, changes nothing.
func (s *startup) join(in *spec.Input) error {
	n, j := s.c.Namespaces, &in.Joined
	for _, k := range []struct {
		nsKind
		mode string
		into *string
	}{
		{nsKind{"userns", "user", unix.CLONE_NEWUSER}, s.c.Security.UserNS, &j.User},
		{nsKind{"pid", "pid", unix.CLONE_NEWPID}, n.PID, &j.PID},
		{nsKind{"ipc", "ipc", unix.CLONE_NEWIPC}, n.IPC, &j.IPC},
		{nsKind{"uts", "uts", unix.CLONE_NEWUTS}, n.UTS, &j.UTS},
	} {
		id, isContainer := strings.CutPrefix(k.mode, "container:")
		path, isPath := strings.CutPrefix(k.mode, "ns:")
		var err error
		switch {
		case isContainer:
			*k.into, err = s.joinContainer(k.nsKind, id, j)
		case isPath:
			*k.into, err = s.keepNamespace(k.nsKind, path, j)
		}
		if err != nil {
			return err
		}
	}
	if n.IPC == "host" {
		j.Shm = "/dev/shm"
	}
	return nil
}

// joinContainer keeps a namespace of a running container.
func (s *startup) joinContainer(k nsKind, id string, j *spec.Joined) (string, error) {
	target, err := s.e.lookSettled(id)
	if err != nil {
		return "", fmt.Errorf("--%s container:%s: %w", k.flag, shortID(id), err)
	}
	gone := errdefs.New(errdefs.ErrState, "--%s container:%s: it is not running (wherry start %s starts it)", k.flag, target.name(), target.name())
	if !target.alive() {
		return "", gone
	}
	if k.flag == "ipc" && (target.Namespaces.IPC == "private" || target.Namespaces.IPC == "none") {
		return "", errdefs.New(errdefs.ErrInvalid, "--ipc container:%s: it was made with --ipc %s and does not share (make it with --ipc shareable)", target.name(), target.Namespaces.IPC)
	}
	proc := fmt.Sprintf("/proc/%d", target.live.Pid)
	path, err := s.keepNamespace(k, proc+"/ns/"+k.proc, j)
	if err != nil {
		return "", err
	}
	switch {
	case k.flag == "ipc" && target.Namespaces.IPC == "host":
		j.Shm = "/dev/shm"
	case k.flag == "ipc":
		if j.Shm, err = s.borrowShm(proc); err != nil {
			return "", fmt.Errorf("--ipc container:%s: share its /dev/shm: %w", target.name(), err)
		}
	case k.flag == "uts":
		j.Hostname = target.Hostname
	}
	if !procs.Alive(target.live.Pid, target.live.PidStart) {
		return "", gone
	}
	return path, nil
}

// keepNamespace binds the namespace at path below the run directory. Empty without an error: it is our own user
// namespace, which cannot be entered a second time.
func (s *startup) keepNamespace(k nsKind, path string, j *spec.Joined) (string, error) {
	f, err := openNamespace(k, path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if k.proc == "user" {
		if sameFile(f, "/proc/self/ns/user") {
			return "", nil
		}
		if j.UIDs, j.GIDs, err = mappingsOf(f, path); err != nil {
			return "", fmt.Errorf("--userns ns:%s: %w", path, err)
		}
	}
	kept := filepath.Join(s.runDir, "ns-"+k.proc)
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		return "", err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), kept, "", unix.MS_BIND, ""); err != nil {
		return "", fmt.Errorf("keep namespace %s: %w", path, err)
	}
	return kept, nil
}

// openNamespace opens path, which must be a namespace of that kind.
func openNamespace(k nsKind, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "--%s ns:%s: %v", k.flag, path, err)
	}
	const nsGetType = 0xb703 // NS_GET_NSTYPE
	kind, err := unix.IoctlRetInt(int(f.Fd()), nsGetType)
	if err != nil || kind != k.flagBit {
		f.Close()
		return nil, errdefs.New(errdefs.ErrInvalid, "--%s ns:%s: it is no %s namespace (name a file like /proc/PID/ns/%s)", k.flag, path, k.proc, k.proc)
	}
	return f, nil
}

func sameFile(f *os.File, path string) bool {
	a, err1 := f.Stat()
	b, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

// mappingsOf are those of the user namespace f, seen from ours. Of a process's namespace they lie beside it; a file that
// keeps a namespace without a process says nothing, and needs somebody to go in.
func mappingsOf(f *os.File, path string) (uids, gids []specs.LinuxIDMapping, err error) {
	if dir, ok := strings.CutSuffix(path, "/ns/user"); ok && strings.HasPrefix(dir, "/proc/") {
		if uids, gids = rootless.MappingsOf(dir); uids != nil && gids != nil && sameFile(f, path) {
			return uids, gids, nil
		}
	}
	for i, name := range []string{"uid_map", "gid_map"} {
		cmd := exec.Command("nsenter", "--preserve-credentials", "--user=/proc/self/fd/3", "cat", "/proc/self/"+name)
		cmd.ExtraFiles = []*os.File{f}
		out, err := cmd.Output()
		if err != nil {
			return nil, nil, fmt.Errorf("look into the user namespace with nsenter: %w", err)
		}
		if i == 0 {
			uids = rootless.ParseMappings(out)
		} else {
			gids = rootless.ParseMappings(out)
		}
	}
	if len(uids) == 0 || len(gids) == 0 {
		return nil, nil, errdefs.New(errdefs.ErrInvalid, "no ids are mapped in it")
	}
	return uids, gids, nil
}

// borrowShm mounts the /dev/shm of the process also below our run directory. Only a thread in that process's mount
// namespace may take a mount from there; this one goes in and comes back.
func (s *startup) borrowShm(proc string) (string, error) {
	ours, err := os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		return "", err
	}
	defer ours.Close()
	theirs, err := os.Open(proc + "/ns/mnt")
	if err != nil {
		return "", err
	}
	defer theirs.Close()
	root, err := os.OpenFile(proc+"/root", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", err
	}
	defer root.Close()
	target := filepath.Join(s.runDir, "shm")
	if err := os.MkdirAll(target, 0o700); err != nil {
		return "", err
	}
	if err := unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNS); err != nil {
		return "", err
	}
	tree, treeErr := cloneShm(root)
	if err := unix.Setns(int(ours.Fd()), unix.CLONE_NEWNS); err != nil {
		return "", err
	}
	if treeErr != nil {
		return "", treeErr
	}
	defer unix.Close(tree)
	return target, unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// cloneShm is a detached copy of the mount at /dev/shm of a container, whose content is not to be trusted.
func cloneShm(root *os.File) (int, error) {
	dir, err := safepath.OpenAt(root, "/dev/shm", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	defer dir.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return -1, err
	}
	if st.Type != unix.TMPFS_MAGIC {
		return -1, errdefs.New(errdefs.ErrInvalid, "it is not on a tmpfs")
	}
	return unix.OpenTree(int(dir.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
}
