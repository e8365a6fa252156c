package file

import (
	"context"
	"errors"
	"os"
	"path"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// timestamp is the time that an action asks for; nil: none.
func timestamp(nanoseconds int64) *unix.Timespec {
	if nanoseconds == -1 {
		return nil
	}
	ts := unix.NsecToTimespec(nanoseconds)
	return &ts
}

func (t *target) mkdir(ctx context.Context, a *pb.FileActionMkDir, users Users) error {
	own, err := users.find(ctx, a.Owner)
	if err != nil {
		return err
	}
	at, err := t.resolve(a.Path, true)
	if err != nil {
		return err
	}
	l := look{uint32(a.Mode) & 0o777, own, timestamp(a.Timestamp)}
	if a.MakeParents {
		made, err := t.makeDirs(at, l)
		if err != nil {
			return err
		}
		return t.restamp(made, l.stamp)
	}
	if _, err := t.stat(at); err == nil {
		return nil
	}
	return t.makeDir(at, l)
}

// restamp sets the times of directories again that have changed as others were made in them.
func (t *target) restamp(dirs []string, stamp *unix.Timespec) error {
	if stamp == nil {
		return nil
	}
	for _, at := range dirs {
		fd, err := t.openDir(at)
		if err != nil {
			return err
		}
		err = setTimes(fd, "", at, *stamp)
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *target) symlink(ctx context.Context, a *pb.FileActionSymlink, users Users) error {
	own, err := users.find(ctx, a.Owner)
	if err != nil {
		return err
	}
	at, err := t.resolve(a.Newpath, true)
	if err != nil {
		return err
	}
	dir, err := t.openDir(path.Dir(at))
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	name := path.Base(at)
	if err := unix.Symlinkat(a.Oldpath, dir, name); err != nil {
		return &os.PathError{Op: "symlink", Path: at, Err: err}
	}
	if own != nil {
		if err := unix.Fchownat(dir, name, own.uid, own.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return own.refused(at, err)
		}
	}
	if stamp := timestamp(a.Timestamp); stamp != nil {
		return setTimes(dir, name, at, *stamp)
	}
	return nil
}

// mkfile makes a file. What lies at its place is replaced, never written to: it could be a device.
func (t *target) mkfile(ctx context.Context, a *pb.FileActionMkFile, users Users) error {
	own, err := users.find(ctx, a.Owner)
	if err != nil {
		return err
	}
	at, err := t.resolve(a.Path, true)
	if err != nil {
		return err
	}
	if at == "/" {
		return &os.PathError{Op: "mkfile", Path: at, Err: unix.EISDIR}
	}
	dir, err := t.openDir(path.Dir(at))
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if err := unix.Unlinkat(dir, path.Base(at), 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "mkfile", Path: at, Err: err}
	}
	fd, err := unix.Openat(dir, path.Base(at), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "mkfile", Path: at, Err: err}
	}
	f := os.NewFile(uintptr(fd), at)
	defer f.Close()
	if _, err := f.Write(a.Data); err != nil {
		return err
	}
	l := look{uint32(a.Mode) & 0o777, own, timestamp(a.Timestamp)}
	return l.apply(int(f.Fd()), at)
}

func (t *target) rm(ctx context.Context, a *pb.FileActionRm) error {
	names := []string{a.Path}
	if a.AllowWildcard {
		var err error
		if names, err = t.expand(ctx, a.Path); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := t.rmOne(name, a.AllowNotFound); err != nil {
			return err
		}
	}
	return nil
}

// expand lists what a path with wildcards stands for in the tree. One without stands for itself.
func (t *target) expand(ctx context.Context, name string) ([]string, error) {
	if !content.HasWildcards(name) {
		return []string{name}, nil
	}
	view, err := content.Open(ctx, t.root.Name(), content.Options{})
	if err != nil {
		return nil, err
	}
	defer view.Close()
	matches, err := view.Matches(name, true, false)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range matches {
		out = append(out, m.Entry.Path())
	}
	return out, nil
}

func (t *target) rmOne(name string, absentIsFine bool) error {
	clean := path.Join("/", name)
	if clean == "/" || strings.HasSuffix(name, "/") {
		return errdefs.New(errdefs.ErrInvalid, "rm %q: there is no name to remove", name)
	}
	at, err := t.resolve(clean, false)
	if err != nil {
		return err
	}
	if !absentIsFine {
		if _, err := t.stat(at); err != nil {
			return err
		}
	}
	return t.remove(at)
}
