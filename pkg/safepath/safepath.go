// Package safepath opens paths inside a root directory whose content is not trusted: symbolic links, ".." and magic
// links never lead out of the root.
package safepath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

const (
	resolve = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS
	// maxRetries bounds the EAGAIN that openat2 answers while something in the tree is renamed.
	maxRetries = 64
	// maxLinks is the kernel's own bound of links in one path.
	maxLinks = 40
)

// noOpenat2 remembers that the kernel, or a seccomp filter around us, refuses openat2.
var noOpenat2 atomic.Bool

// OpenIn opens path as seen by a process whose root directory is root. Flags and mode are those of open(2);
// O_CLOEXEC is added. The file's name is the path inside the root.
func OpenIn(root, path string, flags int, mode os.FileMode) (*os.File, error) {
	dir, err := openRoot(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return OpenAt(dir, path, flags, mode)
}

// OpenAt is OpenIn for a root that is already open.
func OpenAt(root *os.File, path string, flags int, mode os.FileMode) (*os.File, error) {
	fd, err := openat2(int(root.Fd()), path, flags, mode)
	if errors.Is(err, errNoOpenat2) {
		return openSlow(root, path, flags, mode)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// StatIn describes what path names inside root, links followed.
func StatIn(root, path string) (os.FileInfo, error) {
	f, err := OpenIn(root, path, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// ReadFileIn reads a regular file inside root. A file of more than limit bytes is an error, and so is anything
// that is not a regular file: a device or a pipe put there could block or never end.
func ReadFileIn(root, path string, limit int64) ([]byte, error) {
	f, err := OpenIn(root, path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errdefs.New(errdefs.ErrInvalid, "%s is not a regular file", path)
	}
	if info.Size() > limit {
		return nil, errdefs.New(errdefs.ErrInvalid, "%s is larger than %d bytes", path, limit)
	}
	return readAll(f, limit)
}

func readAll(f *os.File, limit int64) ([]byte, error) {
	data := make([]byte, 0, 4096)
	for int64(len(data)) <= limit {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := unix.Read(int(f.Fd()), data[len(data):cap(data)])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, &os.PathError{Op: "read", Path: f.Name(), Err: err}
		case n == 0:
			return data, nil
		default:
			data = data[:len(data)+n]
		}
	}
	return nil, errdefs.New(errdefs.ErrInvalid, "%s is larger than %d bytes", f.Name(), limit)
}

// MkdirAllIn makes the directory path inside root, with its parents. What is made gets mode and the owner; what
// exists stays as it is. A link that points to nothing is followed, inside the root, and its target made.
func MkdirAllIn(root, path string, mode os.FileMode, uid, gid int) error {
	dir, err := openRoot(root)
	if err != nil {
		return err
	}
	defer dir.Close()
	f, err := mkdirAll(dir, filepath.Clean("/"+path), mode, uid, gid, 0)
	if err != nil {
		return fmt.Errorf("make directory %s in %s: %w", path, root, err)
	}
	return f.Close()
}

func mkdirAll(root *os.File, path string, mode os.FileMode, uid, gid, links int) (*os.File, error) {
	f, err := OpenAt(root, path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err == nil || !errors.Is(err, unix.ENOENT) {
		return f, err
	}
	if links > maxLinks {
		return nil, unix.ELOOP
	}
	parent, err := mkdirAll(root, filepath.Dir(path), mode, uid, gid, links)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	base := filepath.Base(path)
	err = unix.Mkdirat(int(parent.Fd()), base, uint32(mode.Perm()))
	if errors.Is(err, unix.EEXIST) {
		return followDangling(root, parent, path, mode, uid, gid, links)
	}
	if err != nil {
		return nil, err
	}
	return own(parent, base, mode, uid, gid)
}

// followDangling handles a name that exists although it cannot be opened: a link to nothing, or a directory that
// somebody else made in this moment.
func followDangling(root, parent *os.File, path string, mode os.FileMode, uid, gid, links int) (*os.File, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(parent.Fd()), filepath.Base(path), buf)
	if errors.Is(err, unix.EINVAL) {
		return OpenAt(root, path, unix.O_PATH|unix.O_DIRECTORY, 0)
	}
	if err != nil {
		return nil, err
	}
	target := string(buf[:n])
	if !strings.HasPrefix(target, "/") {
		target = filepath.Dir(path) + "/" + target
	}
	return mkdirAll(root, filepath.Clean(target), mode, uid, gid, links+1)
}

// own opens the directory just made and gives it owner and mode, which the umask may have narrowed.
func own(parent *os.File, base string, mode os.FileMode, uid, gid int) (*os.File, error) {
	fd, err := unix.Openat(int(parent.Fd()), base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), base)
	if err := f.Chown(uid, gid); err != nil {
		f.Close()
		return nil, err
	}
	if err := f.Chmod(mode); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func openRoot(root string) (*os.File, error) {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}
	return os.NewFile(uintptr(fd), root), nil
}

var errNoOpenat2 = errors.New("no openat2")

func openat2(dir int, path string, flags int, mode os.FileMode) (int, error) {
	if noOpenat2.Load() {
		return -1, errNoOpenat2
	}
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolve}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(mode.Perm())
	}
	for range maxRetries {
		fd, err := unix.Openat2(dir, path, &how)
		switch {
		case err == nil:
			return fd, nil
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM) && !works(dir):
			noOpenat2.Store(true)
			return -1, errNoOpenat2
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			return -1, err
		}
	}
	return -1, unix.EAGAIN
}

// works tells an EPERM of a seccomp filter (old Docker's) from one that is meant for the file.
func works(dir int) bool {
	fd, err := unix.Openat2(dir, ".", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolve})
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// openSlow does the same without openat2, through securejoin's walk with one open per component.
func openSlow(root *os.File, path string, flags int, mode os.FileMode) (*os.File, error) {
	handle, err := pathrs.OpenatInRoot(root, path)
	if errors.Is(err, unix.ENOENT) && flags&unix.O_CREAT != 0 {
		return createSlow(root, path, flags, mode)
	}
	if err != nil {
		return nil, err
	}
	if flags&unix.O_CREAT != 0 && flags&unix.O_EXCL != 0 {
		handle.Close()
		return nil, &os.PathError{Op: "open", Path: path, Err: unix.EEXIST}
	}
	if flags&unix.O_PATH != 0 {
		return checkHandle(handle, path, flags)
	}
	defer handle.Close()
	return pathrs.Reopen(handle, flags&^(unix.O_CREAT|unix.O_EXCL)|unix.O_CLOEXEC)
}

func checkHandle(handle *os.File, path string, flags int) (*os.File, error) {
	info, err := handle.Stat()
	if err == nil && flags&unix.O_DIRECTORY != 0 && !info.IsDir() {
		err = &os.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
	}
	if err != nil {
		handle.Close()
		return nil, err
	}
	return handle, nil
}

func createSlow(root *os.File, path string, flags int, mode os.FileMode) (*os.File, error) {
	path = filepath.Clean("/" + path)
	parent, err := pathrs.OpenatInRoot(root, filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	fd, err := unix.Openat(int(parent.Fd()), filepath.Base(path), flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(mode.Perm()))
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
