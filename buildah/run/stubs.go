package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/safepath"
)

// stub is a mount point that the root did not have: it is taken away after the step if nothing has become of it, so that
// it is in no layer.
type stub struct {
	path string // in the root, without links
	dir  bool
}

// systemMounts are what the runtime mounts in each container; mount points in these are not in the root.
var systemMounts = []string{"/proc", "/dev", "/sys"}

// makeStubs makes the mount points that the root lacks. A directory that gets one keeps its times.
func (st *step) makeStubs(mounts []specs.Mount) error {
	for _, m := range mounts {
		if st.inMount(m.Destination, mounts) {
			continue // the runtime makes it there
		}
		if err := st.makeStub(m); err != nil {
			return fmt.Errorf("mount point %s: %w", m.Destination, err)
		}
	}
	return nil
}

func (st *step) inMount(target string, mounts []specs.Mount) bool {
	for _, dir := range systemMounts {
		if target == dir || below(target, dir) {
			return true
		}
	}
	for _, m := range mounts {
		if below(target, m.Destination) {
			return true
		}
	}
	return false
}

func (st *step) makeStub(m specs.Mount) error {
	if _, err := safepath.StatIn(st.root, m.Destination); !errors.Is(err, fs.ErrNotExist) {
		return nil // it is there; or the runtime tells better what is wrong with it
	}
	target, missing, err := st.resolve(m.Destination)
	if err != nil {
		return err
	}
	top := path.Dir(missing)
	times, err := st.timesOf(top)
	if err != nil {
		return err
	}
	isDir := m.Type != "bind"
	if !isDir {
		info, err := os.Stat(m.Source)
		if err != nil {
			return err
		}
		isDir = info.IsDir()
	}
	parent := target
	if !isDir {
		parent = path.Dir(target)
	}
	if err := safepath.MkdirAllIn(st.root, parent, 0o755, 0, 0); err != nil {
		return err
	}
	if m.Type == "tmpfs" { // runc gives the file system the mode of its mount point
		if err := st.openToAll(target); err != nil {
			return err
		}
	}
	if !isDir {
		f, err := safepath.OpenIn(st.root, target, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW, 0o644)
		if err != nil {
			return err
		}
		f.Close()
	}
	st.note(target, missing, isDir)
	return st.setTimes(top, times)
}

func (st *step) openToAll(dir string) error {
	f, err := safepath.OpenIn(st.root, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Chmod(0o777 | fs.ModeSticky)
}

// note keeps in mind what is to be taken away: the mount point, and with it the directories that were made for it if the
// step asks for that, deepest first.
func (st *step) note(target, missing string, isDir bool) {
	st.stubs = append(st.stubs, stub{target, isDir})
	if !st.Meta.RemoveMountStubsRecursive {
		return
	}
	for dir := path.Dir(target); dir == missing || below(dir, missing); dir = path.Dir(dir) {
		st.stubs = append(st.stubs, stub{dir, true})
	}
}

// maxLinks is the kernel's own bound.
const maxLinks = 40

// resolve follows the links of a path in the root as far as it exists: the path without them, and the first part of it
// that is missing.
func (st *step) resolve(target string) (real, missing string, err error) {
	rest := strings.Split(strings.Trim(path.Clean(target), "/"), "/")
	real = "/"
	for links := 0; len(rest) > 0; {
		next := path.Join(real, rest[0])
		if missing != "" || rest[0] == ".." {
			real, rest = next, rest[1:]
			continue
		}
		link, err := st.readlink(next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing, real, rest = next, next, rest[1:]
		case errors.Is(err, unix.EINVAL): // no link
			real, rest = next, rest[1:]
		case err != nil:
			return "", "", err
		default:
			if links++; links > maxLinks {
				return "", "", unix.ELOOP
			}
			rest = append(strings.Split(strings.Trim(link, "/"), "/"), rest[1:]...)
			if path.IsAbs(link) {
				real = "/"
			}
		}
	}
	if missing == "" {
		return "", "", fs.ErrExist
	}
	return real, missing, nil
}

// readlink reads a link in the root; the path to it has none.
func (st *step) readlink(name string) (string, error) {
	dir, err := safepath.OpenIn(st.root, path.Dir(name), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), path.Base(name), buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// times are a directory's before it got an entry of ours.
type times struct {
	access unix.Timespec
	modify unix.Timespec
}

func (st *step) timesOf(dir string) (times, error) {
	f, err := safepath.OpenIn(st.root, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return times{}, err
	}
	defer f.Close()
	return timesOf(f)
}

func timesOf(f *os.File) (times, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return times{}, err
	}
	return times{access: stat.Atim, modify: stat.Mtim}, nil
}

func (st *step) setTimes(dir string, t times) error {
	f, err := safepath.OpenIn(st.root, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return setTimes(f, t)
}

func setTimes(f *os.File, t times) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), []unix.Timespec{t.access, t.modify}, 0)
}

// removeStubs takes the mount points away that nothing has become of. The step may have done anything to the root: a path
// that now leads over a link is left alone.
func (st *step) removeStubs() error {
	root, err := unix.Open(st.root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	for _, s := range st.stubs {
		removeStub(root, s)
	}
	return nil
}

func removeStub(root int, s stub) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV}
	fd, err := unix.Openat2(root, path.Dir(s.path), &how)
	if err != nil {
		return
	}
	parent := os.NewFile(uintptr(fd), s.path)
	defer parent.Close()
	before, err := timesOf(parent)
	if err != nil {
		return
	}
	name, flags := path.Base(s.path), 0
	if s.dir {
		flags = unix.AT_REMOVEDIR // fails when there is something in it
	} else {
		var stat unix.Stat_t
		if unix.Fstatat(fd, name, &stat, unix.AT_SYMLINK_NOFOLLOW) != nil || stat.Size != 0 || stat.Mode&unix.S_IFMT != unix.S_IFREG {
			return
		}
	}
	if unix.Unlinkat(fd, name, flags) == nil {
		setTimes(parent, before)
	}
}
