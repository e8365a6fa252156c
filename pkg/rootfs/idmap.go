package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CanIDMap says whether Mount can show layers through another mapping (Spec.IDMap), so that no Mapped copy is needed.
// The kernel allows it to the real root only, because the layers' file system belongs to the first user namespace.
func CanIDMap(layer string) bool {
	if inUserNamespace() || os.Geteuid() != 0 {
		return false
	}
	one := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1, Size: 1}}
	userNS, err := namespaceFor(&Mapping{UIDs: one, GIDs: one})
	if err != nil {
		return false
	}
	defer unix.Close(userNS)
	fd, err := mappedTree(layer, userNS)
	if err != nil {
		return false
	}
	unix.Close(fd)
	ctx, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(ctx)
	return unix.FsconfigSetString(ctx, "lowerdir+", layer) == nil
}

// mountIDMapped mounts overlay over mapped views of the layers. The views need places in the mount tree while overlay
// looks them up: they get them on a small file system at the target, which goes before overlay takes its place.
func mountIDMapped(s Spec) error {
	userNS, err := namespaceFor(s.IDMap)
	if err != nil {
		return fmt.Errorf("map the image's ids: %w", err)
	}
	defer unix.Close(userNS)
	if err := unix.Mount("tmpfs", s.Target, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		return fmt.Errorf("map the image's ids: %w", err)
	}
	staged := true
	defer func() {
		if staged {
			Unmount(s.Target)
		}
	}()
	views := s
	views.Lower = nil
	for i, layer := range s.Lower {
		view := filepath.Join(s.Target, strconv.Itoa(i))
		if err := placeView(layer, view, userNS); err != nil {
			return fmt.Errorf("map the ids of layer %s: %w", layer, err)
		}
		views.Lower = append(views.Lower, view)
	}
	names := &pathNames{}
	defer names.close()
	opts, err := overlayOptions(views, names)
	if err != nil {
		return err
	}
	return opts.mountContext(views, func() {
		Unmount(s.Target)
		staged = false
	})
}

func placeView(layer, view string, userNS int) error {
	if err := os.Mkdir(view, 0o700); err != nil {
		return err
	}
	fd, err := mappedTree(layer, userNS)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.MoveMount(fd, "", unix.AT_FDCWD, view, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// mappedTree is a detached mount of dir that shows its owners through the mapping of the user namespace.
func mappedTree(dir string, userNS int) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userNS)}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// namespaceFor opens a user namespace with the mapping. It belongs to a child that is stopped before its first
// instruction and killed as soon as the namespace is open.
func namespaceFor(m *Mapping) (int, error) {
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"wherry-idmap"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, Ptrace: true, Pdeathsig: syscall.SIGKILL,
		UidMappings: goMappings(m.UIDs), GidMappings: goMappings(m.GIDs),
	}})
	if err != nil {
		return -1, err
	}
	defer reap(pid)
	return unix.Open("/proc/"+strconv.Itoa(pid)+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

func reap(pid int) {
	syscall.Kill(pid, syscall.SIGKILL)
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if err != nil && !errors.Is(err, syscall.EINTR) || err == nil && !status.Stopped() {
			return
		}
	}
}

func goMappings(maps []specs.LinuxIDMapping) []syscall.SysProcIDMap {
	var out []syscall.SysProcIDMap
	for _, m := range maps {
		out = append(out, syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Size)})
	}
	return out
}

// BindMapped mounts source at target, which is there, with the owners of its files shown through m: its ContainerID is the
// id on disk. EPERM says that the file system is not the caller's to map, EINVAL that it cannot be mapped.
func BindMapped(source, target string, m Mapping) error {
	userNS, err := namespaceFor(&m)
	if err != nil {
		return fmt.Errorf("map the ids of %s: %w", source, err)
	}
	defer unix.Close(userNS)
	fd, err := mappedTree(source, userNS)
	if err != nil {
		return fmt.Errorf("map the ids of %s: %w", source, err)
	}
	defer unix.Close(fd)
	return unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
}
