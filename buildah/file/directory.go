package file

import (
	"errors"
	"fmt"
	"os"
	"path"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/content"
)

// directory is one of the tree into which files are copied. It is made and opened by one goroutine; workers use it
// while they hold it.
type directory struct {
	c      *copier
	parent *directory // nil: the root, or one that was open from the start
	entry  *content.Entry
	at     string
	chosen bool // not only made because of what is in it
	top    bool // the one that was asked for, whose look stays if it is there already

	opened   bool
	fresh    bool // made by us: nothing is in the way of what is copied into it
	inherits bool // files in it get its group
	fd       int
	users    atomic.Int32
}

func (d *directory) hold() { d.users.Add(1) }

// release closes the directory when its last user lets go of it.
func (d *directory) release() {
	if d.users.Add(-1) == 0 && d.opened {
		unix.Close(d.fd)
	}
}

// open makes the directory if it is not there, and its parents.
func (d *directory) open() error {
	if d.opened {
		return nil
	}
	if d.parent == nil {
		fd, err := d.c.t.openDir(d.at)
		if err != nil {
			return err
		}
		d.fd, d.opened = fd, true
		return d.dress()
	}
	if err := d.parent.open(); err != nil {
		return err
	}
	if err := d.enter(); err != nil {
		return err
	}
	d.opened = true
	return d.dress()
}

// enter makes the directory in its parent, or opens the one that is there.
func (d *directory) enter() error {
	name := path.Base(d.at)
	for {
		err := unix.Mkdirat(d.parent.fd, name, 0o700)
		d.fresh = err == nil
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return &os.PathError{Op: "mkdir", Path: d.at, Err: err}
		}
		d.fd, err = unix.Openat(d.parent.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP):
			return &os.PathError{Op: "open", Path: d.at, Err: err}
		case !d.c.replace:
			return fmt.Errorf("cannot copy directory %s to non-directory %s", d.entry.Path(), d.at)
		}
		if err := unix.Unlinkat(d.parent.fd, name, 0); err != nil {
			return &os.PathError{Op: "replace", Path: d.at, Err: err}
		}
	}
}

// dress gives the open directory the look of its entry.
func (d *directory) dress() error {
	stamp := d.c.stampOf(d.entry)
	if d.fresh || !d.top && d.chosen {
		l := look{mode: d.c.modeOf(d.entry), owner: d.c.ownerOf(d.entry)}
		if err := l.apply(d.fd, d.at); err != nil {
			return err
		}
		if err := d.attributes(); err != nil {
			return err
		}
		d.inherits = l.mode&unix.S_ISGID != 0
	} else if !d.top {
		// There already, and only on the way to what is chosen: BuildKit changes its mode, and nothing else.
		l := look{mode: d.entry.Stat.Mode & 0o7777}
		return l.apply(d.fd, d.at)
	}
	d.c.stamps = append(d.c.stamps, stamped{d.at, stamp})
	return nil
}

func (d *directory) attributes() error {
	f, err := d.c.src.OpenEntry(d.entry, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.Close()
	return copyAttributes(d.fd, int(f.Fd()), d.at)
}

func (c *copier) modeOf(e *content.Entry) uint32 {
	if c.mode != nil {
		return c.mode(e.Stat.Mode)
	}
	return e.Stat.Mode & 0o7777
}

func (c *copier) ownerOf(e *content.Entry) *owner {
	if c.owner != nil {
		return c.owner
	}
	uid, gid := c.src.Owner(e)
	return &owner{uid, gid}
}

func (c *copier) stampOf(e *content.Entry) unix.Timespec {
	if c.stamp != nil {
		return *c.stamp
	}
	return e.Stat.Mtim
}
