package archive

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

// ErrKind says that a file stands where a directory is to go, or the reverse.
var ErrKind = errors.New("file and directory")

// writer makes entries in directories. Each appears under its name only when it is whole.
type writer struct {
	opts *Options
}

// WriteFile makes or replaces the file at path, of whose name a link is followed. A kill while fill is at work leaves what
// was there, and nothing else.
func WriteFile(path string, fill func(out *os.File) error) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	dir, err := openat(unix.AT_FDCWD, filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return pathError("open", filepath.Dir(path), err)
	}
	defer unix.Close(dir)
	out, temp, err := openTemp(dir, 0o666)
	if err != nil {
		return pathError("create", path, err)
	}
	defer out.Close()
	if temp != "" {
		defer unix.Unlinkat(dir, temp, 0)
	}
	if err := fill(out); err != nil {
		return err
	}
	w := writer{&Options{}}
	return pathError("write", path, w.place(dir, filepath.Base(path), temp, out))
}

// file makes a regular file. A kill while fill is at work leaves nothing: the file has no name yet.
func (w *writer) file(dir int, name string, m meta, fill func(out *os.File) error) error {
	out, temp, err := openTemp(dir, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if temp != "" {
		defer unix.Unlinkat(dir, temp, 0) // gone already when all went well
	}
	if err := fill(out); err != nil {
		return err
	}
	if err := m.apply(int(out.Fd())); err != nil {
		return err
	}
	faultpoint.Hit("archive.filled")
	return w.place(dir, name, temp, out)
}

// place gives a whole file its name. Only where another one has the name is there a moment with a temporary one, too.
func (w *writer) place(dir int, name, temp string, out *os.File) error {
	if temp == "" {
		err := unix.Linkat(unix.AT_FDCWD, fdPath(int(out.Fd())), dir, name, unix.AT_SYMLINK_FOLLOW)
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
		temp = tempName()
		if err := unix.Linkat(unix.AT_FDCWD, fdPath(int(out.Fd())), dir, temp, unix.AT_SYMLINK_FOLLOW); err != nil {
			return err
		}
		defer unix.Unlinkat(dir, temp, 0)
	}
	err := w.replace(dir, temp, name)
	if errors.Is(err, unix.EBUSY) {
		return writeOver(dir, name, out) // something is mounted there: /etc/hosts, -v FILE:FILE
	}
	return err
}

// openTemp opens a file without a name, or, where the file system has none such, one under a temporary name.
func openTemp(dir int, mode uint32) (out *os.File, temp string, err error) {
	fd, err := openat(dir, ".", unix.O_TMPFILE|unix.O_RDWR, mode)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		temp = tempName()
		fd, err = openat(dir, temp, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_RDWR, mode)
	}
	if err != nil {
		return nil, "", err
	}
	return os.NewFile(uintptr(fd), "file"), temp, nil
}

// tempName is a name that nobody else has.
func tempName() string {
	var b [8]byte
	rand.Read(b[:])
	return fmt.Sprintf(".wherry-%x", b)
}

// replace gives the entry temp the name of another one, which goes. A directory goes only where that was asked for.
func (w *writer) replace(dir int, temp, name string) error {
	if isMountPoint(dir, name) {
		return unix.EBUSY
	}
	err := unix.Renameat(dir, temp, dir, name)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		if !w.opts.Overwrite {
			return errdefs.New(ErrKind, "there is a directory of that name (use --overwrite to replace it)")
		}
		if err := removeAll(dir, name); err != nil {
			return err
		}
		err = unix.Renameat(dir, temp, dir, name)
	}
	return err
}

// writeOver puts the content of out into the existing regular file, whose name cannot be given to another one.
func writeOver(dir int, name string, out *os.File) error {
	fd, err := openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return unix.EBUSY
	}
	target, err := reopen(fd, unix.O_WRONLY|unix.O_TRUNC)
	if err != nil {
		return err
	}
	into := os.NewFile(uintptr(target), name)
	defer into.Close()
	if _, err := unix.Seek(int(out.Fd()), 0, unix.SEEK_SET); err != nil {
		return err
	}
	return copyData(into, out, false)
}

// directory opens the directory of that name, which it makes if it is not there. The caller closes it.
func (w *writer) directory(dir int, name string) (fd int, made bool, err error) {
	err = unix.Mkdirat(dir, name, 0o700)
	made = err == nil
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, false, err
	}
	fd, err = openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err == nil || made || !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
		return fd, made, err
	}
	if !w.opts.Overwrite {
		return -1, false, errdefs.New(ErrKind, "there is a file of that name (use --overwrite to replace it by a directory)")
	}
	if isMountPoint(dir, name) {
		return -1, false, unix.EBUSY
	}
	if err := unix.Unlinkat(dir, name, 0); err != nil {
		return -1, false, err
	}
	return w.directory(dir, name)
}

// symlink makes a symbolic link.
func (w *writer) symlink(dir int, name, target string, m meta) error {
	return w.viaTemp(dir, name, m, func(temp string) error { return unix.Symlinkat(target, dir, temp) })
}

// special makes a pipe or a device node. It tells whether it did: a user namespace has no right to devices.
func (w *writer) special(dir int, name string, rdev uint64, m meta) error {
	isPipe := m.mode&unix.S_IFMT == unix.S_IFIFO
	if !isPipe && w.opts.SkipDevices {
		w.opts.skip()
		return nil
	}
	err := w.viaTemp(dir, name, m, func(temp string) error { return unix.Mknodat(dir, temp, m.mode&^0o077, int(rdev)) })
	if !isPipe && errors.Is(err, unix.EPERM) {
		w.opts.skip()
		return nil
	}
	return err
}

// link makes a further name of the file that fd names.
func (w *writer) link(dir int, name string, fd int) error {
	err := unix.Linkat(unix.AT_FDCWD, fdPath(fd), dir, name, unix.AT_SYMLINK_FOLLOW)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	temp := tempName()
	if err := unix.Linkat(unix.AT_FDCWD, fdPath(fd), dir, temp, unix.AT_SYMLINK_FOLLOW); err != nil {
		return err
	}
	defer unix.Unlinkat(dir, temp, 0) // a rename of a file onto itself leaves both names
	return w.replace(dir, temp, name)
}

func (w *writer) viaTemp(dir int, name string, m meta, create func(temp string) error) error {
	temp := tempName()
	if err := create(temp); err != nil {
		return err
	}
	defer unix.Unlinkat(dir, temp, 0)
	if err := unix.Fchownat(dir, temp, m.uid, m.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return ownerError(&m, err)
	}
	if m.mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(dir, temp, m.mode&0o7777, 0); err != nil {
			return err
		}
	}
	if err := m.times(dir, temp); err != nil {
		return err
	}
	return w.replace(dir, temp, name)
}

// isMountPoint tells whether something is mounted at the entry. The kernel refuses to remove or replace a mount point of
// the caller's own mount namespace only: one in a container's is taken away with the mount.
func isMountPoint(dir int, name string) bool {
	var st unix.Statx_t
	if unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW, 0, &st) == nil && st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	}
	var here, there unix.Stat_t // a kernel before 5.8
	return unix.Fstat(dir, &here) == nil && unix.Fstatat(dir, name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil && here.Dev != there.Dev
}

// removeAll removes an entry with all below it; links are removed, not followed. It stops at what is mounted there, whose
// content is not the container's.
func removeAll(dir int, name string) error {
	if isMountPoint(dir, name) {
		return unix.EBUSY
	}
	err := unix.Unlinkat(dir, name, 0)
	if !errors.Is(err, unix.EISDIR) {
		return ignoreAbsent(err)
	}
	fd, err := openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return ignoreAbsent(err)
	}
	list := os.NewFile(uintptr(fd), name)
	defer list.Close()
	names, err := list.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, below := range names {
		if err := removeAll(fd, below); err != nil {
			return err
		}
	}
	return ignoreAbsent(unix.Unlinkat(dir, name, unix.AT_REMOVEDIR))
}

func ignoreAbsent(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
