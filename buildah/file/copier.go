package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/pkg/archive"
)

// copier copies files of a view into a tree. Directories are made in order by one goroutine; the files in them are
// copied by several. Times of directories and further names of files come last, when nothing changes them any more.
type copier struct {
	ctx      context.Context //nolint:containedctx // of one copy, which this value stands for
	stop     context.CancelCauseFunc
	t        *target
	src      *content.View
	owner    *owner // of everything; nil: as in the source
	self     owner  // whose the files are that we make
	stamp    *unix.Timespec
	mode     func(uint32) uint32 // nil: as in the source
	parents  uint32              // mode of directories made on the way to the destination
	patterns *content.Patterns
	replace  bool // what is in the way goes, whatever it is

	contents archive.Contents
	taken    map[string]bool // destinations of earlier matches; with a slash at the end: directories seen to
	names    map[inode]string
	links    []hardLink
	stamps   []stamped

	mu    sync.Mutex
	moved string // a file that somebody changed meanwhile

	jobs    chan job
	pending sync.WaitGroup // jobs
	workers sync.WaitGroup
}

type inode struct{ dev, ino uint64 }

// hardLink is a further name of a file that is copied already.
type hardLink struct{ first, at string }

// stamped is a directory whose times are to be set.
type stamped struct {
	at    string
	stamp unix.Timespec
}

// job is some files of one directory.
type job struct {
	dir   *directory
	files []*content.Entry
}

const batch = 32 // files of a job

func newCopier(ctx context.Context, t *target, src *content.View) *copier {
	c := &copier{t: t, src: src, parents: 0o755, taken: map[string]bool{}, names: map[inode]string{}, self: owner{os.Geteuid(), os.Getegid()}}
	c.ctx, c.stop = context.WithCancelCause(ctx)
	c.patterns = &content.Patterns{}
	return c
}

// submit hands files to the workers, which are started by the first ones.
func (c *copier) submit(j job) {
	if c.jobs == nil {
		c.jobs = make(chan job)
		for range max(2, min(4, runtime.GOMAXPROCS(0))) {
			c.workers.Go(c.work)
		}
	}
	c.pending.Add(1)
	j.dir.hold()
	c.jobs <- j
}

func (c *copier) work() {
	w := worker{copier: c}
	for j := range c.jobs {
		if c.ctx.Err() == nil {
			if err := w.files(j); err != nil {
				c.stop(err)
			}
		}
		j.dir.release()
		c.pending.Done()
	}
}

// wait waits till what was submitted is done.
func (c *copier) wait() error {
	c.pending.Wait()
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return nil
}

// finish ends the workers and does what comes last. Without well everything stays as it is.
func (c *copier) finish(well bool) error {
	if c.jobs != nil {
		close(c.jobs)
		c.workers.Wait()
	}
	defer c.stop(nil)
	if !well {
		return c.wait()
	}
	if err := c.settle(); err != nil {
		return err
	}
	for i := len(c.stamps) - 1; i >= 0; i-- {
		if err := c.t.restamp([]string{c.stamps[i].at}, &c.stamps[i].stamp); err != nil {
			return err
		}
	}
	if c.moved != "" {
		return fmt.Errorf("%s %w", c.moved, content.ErrChanged)
	}
	return nil
}

// settle waits till what was submitted is done, and makes the further names of files.
func (c *copier) settle() error {
	if err := c.wait(); err != nil {
		return err
	}
	for _, l := range c.links {
		if err := c.link(l); err != nil {
			return err
		}
	}
	c.links = nil
	return nil
}

// changed notes that what was copied is not what the digest of the source says.
func (c *copier) changed(e *content.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moved == "" {
		c.moved = e.Path()
	}
}

func (c *copier) link(l hardLink) error {
	from, err := c.t.openDir(path.Dir(l.first))
	if err != nil {
		return err
	}
	defer unix.Close(from)
	to, err := c.t.openDir(path.Dir(l.at))
	if err != nil {
		return err
	}
	defer unix.Close(to)
	if err := makeRoom(to, path.Base(l.at), l.at, c.replace); err != nil {
		return err
	}
	if err := unix.Linkat(from, path.Base(l.first), to, path.Base(l.at), 0); err != nil {
		return &os.PathError{Op: "link", Path: l.at, Err: err}
	}
	return nil
}

// tree copies the directory e to the place at. Of a directory that is there only the times change.
func (c *copier) tree(e *content.Entry, at string) error {
	d := &directory{c: c, entry: e, at: at, chosen: true, top: true}
	if at != "/" {
		parent, err := c.openParent(path.Dir(at))
		if err != nil {
			return err
		}
		d.parent = parent
		defer parent.release()
	}
	d.hold()
	defer d.release()
	if err := d.open(); err != nil {
		return err
	}
	return c.below(d, "", content.State{})
}

// below copies what is in a directory, or of it what the patterns choose.
func (c *copier) below(d *directory, rel string, s content.State) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	children, err := c.src.List(d.entry)
	if err != nil {
		return err
	}
	var files []*content.Entry
	for _, e := range children {
		name := path.Join(rel, e.Name)
		chosen, enter, state, err := c.patterns.Match(name, s)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir() && (chosen || enter):
			err = c.subtree(d, e, chosen, name, state)
		case !e.IsDir() && chosen:
			if err = d.open(); err == nil && !c.alias(e, d, e.Name) {
				files = append(files, e)
			}
		}
		if err != nil {
			return err
		}
		if len(files) == batch {
			c.submit(job{d, files})
			files = nil
		}
	}
	if len(files) > 0 {
		c.submit(job{d, files})
	}
	return nil
}

// subtree copies a directory in another one. One that is not chosen itself is made when something in it is.
func (c *copier) subtree(parent *directory, e *content.Entry, chosen bool, rel string, s content.State) error {
	d := &directory{c: c, parent: parent, entry: e, at: path.Join(parent.at, e.Name), chosen: chosen}
	d.hold()
	defer d.release()
	if chosen {
		if err := d.open(); err != nil {
			return err
		}
	}
	return c.below(d, rel, s)
}

// one copies a single file.
func (c *copier) one(e *content.Entry, dir *directory, name string) error {
	defer dir.release()
	if c.alias(e, dir, name) {
		return nil
	}
	if name != e.Name { // a worker takes the name from the entry
		w := worker{copier: c}
		return w.file(dir, -1, e, name)
	}
	c.submit(job{dir, []*content.Entry{e}})
	return nil
}

// alias notes a further name of a file that was copied, and tells whether it is one.
func (c *copier) alias(e *content.Entry, dir *directory, name string) bool {
	if e.Stat.Nlink < 2 || !e.IsRegular() {
		return false
	}
	id, at := inode{e.Stat.Dev, e.Stat.Ino}, path.Join(dir.at, name)
	first, ok := c.names[id]
	if !ok {
		c.names[id] = at
		return false
	}
	if first != at {
		c.links = append(c.links, hardLink{first, at})
	}
	return true
}

// openParent opens a directory of the tree that stays as it is. The caller releases it.
func (c *copier) openParent(at string) (*directory, error) {
	fd, err := c.t.openDir(at)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "stat", Path: at, Err: err}
	}
	d := &directory{c: c, at: at, fd: fd, opened: true, inherits: st.Mode&unix.S_ISGID != 0}
	d.hold()
	return d, nil
}

// makeRoom removes a file that is in the way of another one. A directory goes only if replace says so.
func makeRoom(dir int, name, at string, replace bool) error {
	err := unix.Unlinkat(dir, name, 0)
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return nil
	case !errors.Is(err, unix.EISDIR):
		return &os.PathError{Op: "replace", Path: at, Err: err}
	case replace:
		return removeAll(dir, name, at)
	}
	return fmt.Errorf("cannot replace directory %s with file", at)
}
