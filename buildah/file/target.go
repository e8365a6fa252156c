package file

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// maxLinks bounds the links in one path.
const maxLinks = 255

// target is the tree that is being made. Paths in it are resolved here, by reading links one at a time; the kernel is
// only given paths that have none, and told to refuse any.
type target struct {
	root *os.File // O_PATH
}

func openTarget(dir string) (*target, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return &target{os.NewFile(uintptr(fd), dir)}, nil
}

func (t *target) close() { t.root.Close() }

// open opens what lies at a resolved path. A link there is not followed.
func (t *target) open(at string, flags int) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_NOFOLLOW | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	rel := strings.TrimPrefix(at, "/")
	if rel == "" {
		rel = "."
	}
	for {
		fd, err := unix.Openat2(int(t.root.Fd()), rel, &how)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		} else if err != nil {
			return -1, &os.PathError{Op: "open", Path: at, Err: err}
		}
		return fd, nil
	}
}

// openDir opens the directory at a resolved path.
func (t *target) openDir(at string) (int, error) {
	return t.open(at, unix.O_RDONLY|unix.O_DIRECTORY)
}

// stat describes what lies at a resolved path; a link is described itself.
func (t *target) stat(at string) (unix.Stat_t, error) {
	var st unix.Stat_t
	fd, err := t.open(at, unix.O_PATH)
	if err != nil {
		return st, err
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &st); err != nil {
		return st, &os.PathError{Op: "stat", Path: at, Err: err}
	}
	return st, nil
}

// resolve says where a path leads when its links are followed inside the tree. Names that are not there are taken as
// they are, so that they can be made. The last name is followed only if follow says so.
func (t *target) resolve(name string, follow bool) (string, error) {
	at, rest, links := "/", name, 0
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		next := path.Join(at, part)
		if part == "" || part == "." || next == "/" {
			at = next
			continue
		}
		link, err := t.readlink(next)
		if err != nil {
			return "", err
		}
		if link == "" || !follow && strings.Trim(rest, "/") == "" {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", &os.PathError{Op: "follow", Path: path.Join("/", name), Err: unix.ELOOP}
		}
		if rest = link + "/" + rest; path.IsAbs(link) {
			at = "/"
		}
	}
	return at, nil
}

// readlink is where the link at a resolved path leads; empty: there is none.
func (t *target) readlink(at string) (string, error) {
	fd, err := t.open(at, unix.O_PATH)
	if errors.Is(err, unix.ENOENT) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return "", nil // no link
	} else if err != nil {
		return "", &os.PathError{Op: "readlink", Path: at, Err: err}
	}
	return string(buf[:n]), nil
}

// look is what a file is given beside its content.
type look struct {
	mode  uint32 // permission bits and those beside them
	owner *owner // nil: whoever makes it
	stamp *unix.Timespec
}

// makeDirs makes the directory at a resolved path, with its parents. It tells which ones it made, the highest first.
func (t *target) makeDirs(at string, l look) (made []string, err error) {
	st, err := t.stat(at)
	switch {
	case err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return nil, nil
	case err == nil:
		return nil, &os.PathError{Op: "mkdir", Path: at, Err: unix.ENOTDIR}
	case !errors.Is(err, unix.ENOENT):
		return nil, err
	}
	if made, err = t.makeDirs(path.Dir(at), l); err != nil {
		return nil, err
	}
	if err := t.makeDir(at, l); err != nil {
		return nil, err
	}
	return append(made, at), nil
}

// makeDir makes one directory, whose parent is there.
func (t *target) makeDir(at string, l look) error {
	dir, err := t.openDir(path.Dir(at))
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if err := unix.Mkdirat(dir, path.Base(at), 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: at, Err: err}
	}
	fd, err := t.openDir(at)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return l.apply(fd, at)
}

// apply gives an open file its look. The owner comes first: a change of it takes the set-id bits away.
func (l *look) apply(fd int, at string) error {
	if l.owner != nil {
		if err := unix.Fchown(fd, l.owner.uid, l.owner.gid); err != nil {
			return l.owner.refused(at, err)
		}
	}
	if err := unix.Fchmod(fd, l.mode); err != nil {
		return &os.PathError{Op: "chmod", Path: at, Err: err}
	}
	if l.stamp == nil {
		return nil
	}
	return setTimes(fd, "", at, *l.stamp)
}

// setTimes sets the times of the entry name of a directory, or of the open file itself if name is empty.
func setTimes(fd int, name, at string, stamp unix.Timespec) error {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags = unix.AT_EMPTY_PATH
	}
	if err := unix.UtimesNanoAt(fd, name, []unix.Timespec{stamp, stamp}, flags); err != nil {
		return &os.PathError{Op: "set times", Path: at, Err: err}
	}
	return nil
}

// remove removes the entry at a resolved path with all below it. What is not there already is removed.
func (t *target) remove(at string) error {
	if at == "/" {
		return errdefs.New(errdefs.ErrInvalid, "the root of the tree cannot be removed")
	}
	dir, err := t.openDir(path.Dir(at))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(dir)
	return removeAll(dir, path.Base(at), at)
}

func removeAll(dir int, name, at string) error {
	err := unix.Unlinkat(dir, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	} else if !errors.Is(err, unix.EISDIR) {
		return &os.PathError{Op: "remove", Path: at, Err: err}
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: at, Err: err}
	}
	list := os.NewFile(uintptr(fd), at)
	defer list.Close()
	names, err := list.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, below := range names {
		if err := removeAll(int(list.Fd()), below, path.Join(at, below)); err != nil {
			return err
		}
	}
	if err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: at, Err: err}
	}
	return nil
}
