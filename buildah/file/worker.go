package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// worker copies files, one at a time.
type worker struct {
	*copier
	buf []byte
}

// small is the size up to which a file is read and written at once.
const small = 64 << 10

// files copies the files of a job.
func (w *worker) files(j job) error {
	from, err := w.src.OpenEntry(j.files[0].Parent(), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer from.Close()
	for _, e := range j.files {
		if w.ctx.Err() != nil {
			return context.Cause(w.ctx)
		}
		if err := w.file(j.dir, int(from.Fd()), e, e.Name); err != nil {
			return err
		}
	}
	return nil
}

// file copies the entry e to a name in a directory. from is the directory that e is in, if it is open.
func (w *worker) file(dir *directory, from int, e *content.Entry, name string) error {
	at := path.Join(dir.at, name)
	if !dir.fresh {
		if err := makeRoom(dir.fd, name, at, w.replace); err != nil {
			return err
		}
	}
	switch e.Stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return w.regular(dir, from, e, name)
	case unix.S_IFLNK:
		if err := unix.Symlinkat(e.Target, dir.fd, name); err != nil {
			return &os.PathError{Op: "symlink", Path: at, Err: err}
		}
	default:
		if err := w.special(dir, e, name, at); err != nil {
			return err
		}
	}
	return w.dressEntry(dir, e, name, at)
}

// special makes a pipe or a device. A socket becomes an empty file, as in BuildKit.
func (w *worker) special(dir *directory, e *content.Entry, name, at string) error {
	kind := e.Stat.Mode & unix.S_IFMT
	if kind == unix.S_IFCHR && e.Stat.Rdev == 0 {
		return errdefs.New(errdefs.ErrUnsupported, "%s is a character device 0:0, which stands for a removed file in layers", e.Path())
	}
	rdev := 0
	switch kind {
	case unix.S_IFSOCK:
		kind = unix.S_IFREG
	case unix.S_IFCHR, unix.S_IFBLK:
		rdev = int(e.Stat.Rdev)
	}
	err := unix.Mknodat(dir.fd, name, kind|0o600, rdev)
	if errors.Is(err, unix.EPERM) {
		return errdefs.New(errdefs.ErrUnsupported, "%s is a device: a user namespace has no right to make it", e.Path())
	} else if err != nil {
		return &os.PathError{Op: "mknod", Path: at, Err: err}
	}
	return nil
}

// dressEntry gives what is no regular file its look. The name was made by us, and nobody else writes to the directory.
func (w *worker) dressEntry(dir *directory, e *content.Entry, name, at string) error {
	own := w.ownerOf(e)
	if err := unix.Fchownat(dir.fd, name, own.uid, own.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return own.refused(at, err)
	}
	if !e.IsLink() {
		if err := unix.Fchmodat(dir.fd, name, w.modeOf(e), 0); err != nil {
			return &os.PathError{Op: "chmod", Path: at, Err: err}
		}
	}
	return setTimes(dir.fd, name, at, w.stampOf(e))
}

// regular copies a regular file. One that somebody changes meanwhile is copied as it is, and noted.
func (w *worker) regular(dir *directory, from int, e *content.Entry, name string) error {
	in, err := w.openSource(from, e)
	if errors.Is(err, content.ErrChanged) {
		w.changed(e) // it is gone, or no file any more
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(in)
	var st unix.Stat_t
	if err := unix.Fstat(in, &st); err != nil {
		return &os.PathError{Op: "stat", Path: e.Path(), Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		w.changed(e)
		return nil
	}
	at := path.Join(dir.at, name)
	mode := w.modeOf(e)
	out, err := unix.Openat(dir.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode&0o777)
	if err != nil {
		return &os.PathError{Op: "create", Path: at, Err: err}
	}
	defer unix.Close(out)
	if err := w.data(out, in, &st, at); err != nil {
		return err
	}
	if err := w.dressFile(dir, e, out, in, at); err != nil {
		return err
	}
	return w.compare(e, in)
}

// compare notes a file that was written to since its digest was made, or while it was copied.
func (c *copier) compare(e *content.Entry, in int) error {
	if !c.src.Watched() {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(in, &st); err != nil {
		return &os.PathError{Op: "stat", Path: e.Path(), Err: err}
	}
	if c.src.Changed(e, &st) {
		c.changed(e)
	}
	return nil
}

func (w *worker) openSource(from int, e *content.Entry) (int, error) {
	if from == -1 {
		f, err := w.src.OpenEntry(e, unix.O_RDONLY)
		if err != nil {
			return -1, err
		}
		defer f.Close()
		return unix.Dup(int(f.Fd()))
	}
	for {
		fd, err := unix.Openat(from, e.Name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOENT):
			return -1, fmt.Errorf("%s %w", e.Path(), content.ErrChanged)
		case err != nil:
			return -1, &os.PathError{Op: "open", Path: e.Path(), Err: err}
		}
		return fd, nil
	}
}

// data copies the content. Small files, which most are, go by one read and one write.
func (w *worker) data(out, in int, st *unix.Stat_t, at string) error {
	if st.Size > small {
		return w.large(out, in, st, at)
	}
	if w.buf == nil {
		w.buf = make([]byte, small)
	}
	for left := st.Size; left > 0; {
		n, err := unix.Read(in, w.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return &os.PathError{Op: "read", Path: at, Err: err}
		}
		if n == 0 {
			return nil // it became shorter; the caller sees that it changed
		}
		if err := writeAll(out, w.buf[:n]); err != nil {
			return &os.PathError{Op: "write", Path: at, Err: err}
		}
		left -= int64(n)
	}
	return nil
}

func writeAll(out int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(out, data)
		if errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (w *worker) large(out, in int, st *unix.Stat_t, at string) error {
	to, err := duplicate(out, at)
	if err != nil {
		return err
	}
	defer to.Close()
	from, err := duplicate(in, at)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := w.contents.Copy(to, from, st); err != nil {
		return &os.PathError{Op: "copy to", Path: at, Err: err}
	}
	return nil
}

// duplicate is an os.File of its own for a descriptor that somebody else closes.
func duplicate(fd int, at string) (*os.File, error) {
	for {
		d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return nil, &os.PathError{Op: "open", Path: at, Err: err}
		}
		return os.NewFile(uintptr(d), at), nil
	}
}

// dressFile gives a copied file its look. What a new file has anyway is not set again.
func (w *worker) dressFile(dir *directory, e *content.Entry, out, in int, at string) error {
	own, mode := w.ownerOf(e), w.modeOf(e)
	if *own != w.self || dir.inherits {
		if err := unix.Fchown(out, own.uid, own.gid); err != nil {
			return own.refused(at, err)
		}
	}
	if err := unix.Fchmod(out, mode); err != nil {
		return &os.PathError{Op: "chmod", Path: at, Err: err}
	}
	if err := copyAttributes(out, in, at); err != nil {
		return err
	}
	return setTimes(out, "", at, w.stampOf(e))
}

// copyAttributes copies extended attributes. Those that the tree cannot have are left out, as in BuildKit.
func copyAttributes(out, in int, at string) error {
	attributes, err := content.Attributes(in)
	if err != nil {
		return &os.PathError{Op: "read attributes for", Path: at, Err: err}
	}
	for _, a := range attributes {
		err := unix.Fsetxattr(out, a.Name, a.Value, 0)
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			return &os.PathError{Op: "set attribute " + a.Name + " of", Path: at, Err: err}
		}
	}
	return nil
}
