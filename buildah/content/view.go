package content

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"sort"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrNotFound says that a path is not in the tree.
var ErrNotFound = errors.New("not found")

// ErrChanged says that somebody writes to a tree that is being read.
var ErrChanged = errors.New("changed while the build was reading it")

// Options say how a directory is looked at. The zero value takes it as it is.
type Options struct {
	Filter    Filter
	RootOwned bool    // every entry counts as owned by 0:0, and the directory itself as 0755, as BuildKit has it with contexts
	Memory    *Memory // remembers digests from build to build, for a directory that stays; nil: not
}

// View is a directory as a build sees it. What was looked at once is not looked at again, so that a digest and a copy
// are about the same files. It is safe for use by several goroutines.
type View struct {
	dir  string
	root *os.File
	opts Options
	page *page // digests remembered of earlier builds

	mu  sync.Mutex
	top *Entry
}

// Entry is one file of a View.
type Entry struct {
	Name   string // "" is the top
	Stat   unix.Stat_t
	Target string // of a link

	parent   *Entry
	children []*Entry // sorted by name; meaningless before listed
	listed   bool
	sum      *sum // digest of content and extended attributes, once it is known
}

// Open looks at the directory dir. With a filter the whole tree below it is walked now.
func Open(ctx context.Context, dir string, o Options) (*View, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	v := &View{dir: dir, root: os.NewFile(uintptr(fd), dir), opts: o, top: &Entry{}}
	if err := v.start(ctx); err != nil {
		v.root.Close()
		return nil, err
	}
	return v, nil
}

func (v *View) start(ctx context.Context) error {
	if err := unix.Fstat(int(v.root.Fd()), &v.top.Stat); err != nil {
		return &os.PathError{Op: "stat", Path: v.dir, Err: err}
	}
	if v.opts.RootOwned {
		v.top.Stat.Mode = unix.S_IFDIR | 0o755
		v.top.Stat.Uid, v.top.Stat.Gid = 0, 0
		v.top.sum = &sum{} // the directory itself is no part of what was sent, so its attributes are none either
	}
	if v.opts.Memory != nil {
		v.page = v.opts.Memory.open(v.dir)
	}
	if v.opts.Filter.empty() {
		return nil
	}
	f, err := v.opts.Filter.compile(v.dir)
	if err != nil {
		return err
	}
	return v.listFiltered(ctx, f)
}

// Close gives the directory back. Entries and digests stay readable.
func (v *View) Close() error { return v.root.Close() }

// Dir is the directory that the view is of.
func (v *View) Dir() string { return v.dir }

// Root is the open directory (O_PATH) that the view is of. The view owns it.
func (v *View) Root() *os.File { return v.root }

// Top is the directory itself.
func (v *View) Top() *Entry { return v.top }

// Plain tells whether dir, as it lies on disk, is what the view shows: no file hidden, every owner as on disk.
func (v *View) Plain(ctx context.Context) (bool, error) {
	if !v.opts.Filter.empty() {
		return false, nil
	}
	if !v.opts.RootOwned {
		return true, nil
	}
	return v.ownedByRoot(ctx, v.top)
}

func (v *View) ownedByRoot(ctx context.Context, dir *Entry) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, context.Cause(ctx)
	}
	children, err := v.List(dir)
	if err != nil {
		return false, err
	}
	for _, e := range children {
		if e.Stat.Uid != 0 || e.Stat.Gid != 0 {
			return false, nil
		}
		if !e.IsDir() {
			continue
		}
		if ok, err := v.ownedByRoot(ctx, e); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// Owner is whom the entry counts as owned by.
func (v *View) Owner(e *Entry) (uid, gid int) {
	if v.opts.RootOwned {
		return 0, 0
	}
	return int(e.Stat.Uid), int(e.Stat.Gid)
}

// List returns what is in the directory e, sorted by name.
func (v *View) List(e *Entry) ([]*Entry, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.list(e)
}

func (v *View) list(e *Entry) ([]*Entry, error) {
	if e.listed || !e.IsDir() {
		return e.children, nil
	}
	dir, err := v.OpenEntry(e, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	e.children, err = readDir(dir, e, nil)
	e.listed = err == nil
	return e.children, err
}

// readDir describes the files of an open directory; keep, if there is one, chooses among them.
func readDir(dir *os.File, parent *Entry, keep func(*Entry) (bool, error)) ([]*Entry, error) {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, inTree(parent, err)
	}
	sort.Strings(names)
	out := make([]*Entry, 0, len(names))
	for _, name := range names {
		e, err := readEntry(int(dir.Fd()), name, parent)
		if errors.Is(err, unix.ENOENT) {
			continue // gone meanwhile
		} else if err != nil {
			return nil, err
		}
		if keep != nil {
			if ok, err := keep(e); err != nil {
				return nil, err
			} else if !ok {
				continue
			}
		}
		out = append(out, e)
	}
	return out, nil
}

func readEntry(dir int, name string, parent *Entry) (*Entry, error) {
	e := &Entry{Name: name, parent: parent}
	if err := unix.Fstatat(dir, name, &e.Stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, &os.PathError{Op: "stat", Path: e.Path(), Err: err}
	}
	if e.kind() != unix.S_IFLNK {
		return e, nil
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if errors.Is(err, unix.EINVAL) {
		return nil, unix.ENOENT // another file meanwhile; the caller takes it as gone
	} else if err != nil {
		return nil, &os.PathError{Op: "readlink", Path: e.Path(), Err: err}
	}
	e.Target = string(buf[:n])
	return e, nil
}

// OpenEntry opens the entry, whichever file has its place now, but never through a link.
func (v *View) OpenEntry(e *Entry, flags int) (*os.File, error) {
	if flags&unix.O_PATH == 0 {
		flags |= unix.O_NONBLOCK | unix.O_NOCTTY // something else may have its place by now, and opening it must do nothing
	}
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_NOFOLLOW | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	name := e.rel()
	for {
		fd, err := unix.Openat2(int(v.root.Fd()), name, &how)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.ELOOP), errors.Is(err, unix.EXDEV):
			return nil, fmt.Errorf("%s %w", e.Path(), ErrChanged)
		case err != nil:
			return nil, &os.PathError{Op: "open", Path: e.Path(), Err: err}
		}
		return os.NewFile(uintptr(fd), e.Path()), nil
	}
}

// inTree makes an error name the path inside the tree.
func inTree(e *Entry, err error) error {
	var fault *os.PathError
	if errors.As(err, &fault) {
		return &os.PathError{Op: fault.Op, Path: e.Path(), Err: fault.Err}
	}
	return err
}

// Watched tells whether others may write to the directory while the build reads it.
func (v *View) Watched() bool { return v.opts.Memory != nil }

// Changed tells whether the file, which st describes now, is another one than when its digest was made.
func (v *View) Changed(e *Entry, st *unix.Stat_t) bool {
	if !v.Watched() {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return e.sum != nil && !sameContent(&e.Stat, st)
}

// Parent is the directory that the entry is in; nil: the entry is the top.
func (e *Entry) Parent() *Entry { return e.parent }

// Path is where the entry lies in its tree, beginning with a slash.
func (e *Entry) Path() string {
	if e.parent == nil {
		return "/"
	}
	return path.Join(e.parent.Path(), e.Name)
}

// rel is the path for system calls that start at the tree's root.
func (e *Entry) rel() string {
	if e.parent == nil {
		return "."
	}
	return e.Path()[1:]
}

func (e *Entry) kind() uint32 { return e.Stat.Mode & unix.S_IFMT }

// IsDir tells whether the entry is a directory.
func (e *Entry) IsDir() bool { return e.kind() == unix.S_IFDIR }

// IsRegular tells whether the entry is a regular file.
func (e *Entry) IsRegular() bool { return e.kind() == unix.S_IFREG }

// IsLink tells whether the entry is a symbolic link.
func (e *Entry) IsLink() bool { return e.kind() == unix.S_IFLNK }

// child finds a name in a listed directory.
func (e *Entry) child(name string) *Entry {
	i := sort.Search(len(e.children), func(i int) bool { return e.children[i].Name >= name })
	if i < len(e.children) && e.children[i].Name == name {
		return e.children[i]
	}
	return nil
}
