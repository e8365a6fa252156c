package server

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/record"
)

const cgroupRoot = "/sys/fs/cgroup/"

// cleanRuntime removes what the OCI runtime keeps of a container that has ended, so that it can be started again.
func (s *Server) cleanRuntime() {
	for _, dir := range s.job.Cgroups {
		s.noteRemoval(removeCgroup(dir))
	}
	for _, path := range s.job.Leftovers {
		if strings.HasPrefix(path, cgroupRoot) {
			s.noteRemoval(removeCgroup(path))
		} else {
			s.noteRemoval(os.RemoveAll(path))
		}
	}
}

func (s *Server) noteRemoval(err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.warn("clean up: %v", err)
	}
}

// removeCgroup removes a cgroup and those below it. What still runs in it is killed.
func removeCgroup(dir string) error {
	if _, err := os.Lstat(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeCgroup(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); !errors.Is(err, unix.EBUSY) {
		return ignoreGone(err)
	}
	if err := emptyCgroup(dir); err != nil {
		return err
	}
	return ignoreGone(unix.Rmdir(dir))
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// emptyWait bounds how long killed processes may take to leave a cgroup.
const emptyWait = time.Second

// emptyCgroup kills what is in a cgroup and waits until its processes have left it.
func emptyCgroup(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0); err != nil {
		return err
	}
	fd, err := unix.Open(filepath.Join(dir, "cgroup.events"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	deadline := now() + int64(emptyWait)
	for now() < deadline {
		if bytes.Contains(readFD(fd), []byte("populated 0")) {
			return nil
		}
		if _, err := unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}, until(deadline), nil); err != nil && err != unix.EINTR {
			return err
		}
		var status unix.WaitStatus
		unix.Wait4(-1, &status, unix.WNOHANG, nil) // its zombies may be ours
	}
	return unix.EBUSY
}

// cleanRunDir unmounts what is mounted below the run directory (in this mount namespace) and removes it. If
// anything stays mounted nothing is removed: it would be the container's own files.
func (s *Server) cleanRunDir() {
	if err := unmountBelow(s.job.RunDir, s.runPath(record.MergedDir), s.runPath(record.NetNSFile)); err != nil {
		s.warn("unmount: %v", err)
		return
	}
	// The mount point is empty now. Removed by rmdir, it cannot take files with it even if it is not.
	if err := unix.Rmdir(s.runPath(record.MergedDir)); err != nil && err != unix.ENOENT && err != unix.ENOTDIR {
		s.warn("remove mount point: %v", err)
		return
	}
	s.noteRemoval(os.RemoveAll(s.job.RunDir))
}

// unmountBelow takes away what is mounted at or below dir and looks that nothing is left. Usually something is at
// the usual places: the list of all mounts is long, and with those gone is read once.
func unmountBelow(dir string, usual ...string) error {
	dir, err := filepath.EvalSymlinks(dir) // as mountinfo has it
	if err != nil {
		return ignoreGone(err)
	}
	for _, point := range usual {
		unmount(point)
	}
	for again := true; ; again = false {
		data, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return err
		}
		points := mountsBelow(data, dir)
		if len(points) == 0 {
			return nil
		}
		if !again {
			return &os.PathError{Op: "unmount", Path: points[0], Err: unix.EBUSY}
		}
		for _, point := range points { // the host shares some, and would lose its own mounts below them
			unix.Mount("", point, "", unix.MS_PRIVATE, "")
		}
		for _, point := range slices.Backward(points) { // the later ones lie on or below the earlier ones
			if err := unmount(point); err != nil && err != unix.EINVAL { // gone with the one above it
				return &os.PathError{Op: "unmount", Path: point, Err: err}
			}
		}
	}
}

func unmount(point string) error {
	return unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
}

// mountsBelow lists the mount points at or below dir, in the order of mountinfo.
func mountsBelow(mountinfo []byte, dir string) []string {
	var points []string
	for line := range bytes.Lines(mountinfo) {
		fields := bytes.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := unescapeMount(string(fields[4]))
		if point == dir || strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	return points
}

// unescapeMount undoes the octal escapes of mountinfo.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
