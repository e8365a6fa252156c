package libpod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/archive"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/passwd"
	"github.com/wherry-containers/wherry/pkg/safepath"
)

// CopyPlace is one end of a copy.
type CopyPlace struct {
	Container string // name or id; empty: the host
	Path      string // "-" on the host: a tar stream
}

func (p CopyPlace) stream() bool { return p.Container == "" && p.Path == "-" }

func (p CopyPlace) String() string {
	if p.Container == "" {
		return p.Path
	}
	return p.Container + ":" + p.Path
}

// CopyOptions are those of `cp`.
type CopyOptions struct {
	Archive    bool // what is copied into a container belongs to the container's user, not to whom it belonged
	FollowLink bool // copy what a link named as the source points to, not the link
	Overwrite  bool // a file may take the place of a directory, and the reverse
	Stdin      io.Reader
	Stdout     io.Writer
}

// ParseCopyPlace splits CONTAINER:PATH. What begins with / or . is a path of the host, even with a colon in it.
func ParseCopyPlace(arg string) (CopyPlace, error) {
	if arg == "" {
		return CopyPlace{}, errdefs.New(errdefs.ErrInvalid, "an empty path (want CONTAINER:PATH, PATH or -)")
	}
	if strings.ContainsRune(arg, 0) {
		return CopyPlace{}, errdefs.New(errdefs.ErrInvalid, "%q has a zero byte in it", arg)
	}
	container, inside, found := strings.Cut(arg, ":")
	if !found || arg[0] == '/' || arg[0] == '.' {
		return CopyPlace{Path: arg}, nil
	}
	if container == "" || strings.ContainsRune(container, '/') {
		return CopyPlace{}, errdefs.New(errdefs.ErrInvalid, "%q is not CONTAINER:PATH (for a file of the host write ./%s)", arg, arg)
	}
	if inside == "" {
		return CopyPlace{}, errdefs.New(errdefs.ErrInvalid, "%q names no path in the container (its root is %s:/)", arg, container)
	}
	return CopyPlace{Container: container, Path: inside}, nil
}

// Copy copies files between the host and a container, or between two containers. It returns how many files were left out
// because they cannot be copied: sockets, and device nodes where there is no right to them.
func (e *Engine) Copy(ctx context.Context, src, dst CopyPlace, opts CopyOptions) (skipped int64, err error) {
	if src.Container == "" && dst.Container == "" {
		return 0, errdefs.New(errdefs.ErrInvalid, "cp needs a container on one side: CONTAINER:PATH")
	}
	var count atomic.Int64
	c := &copying{e: e, opts: opts, src: src, dst: dst, skipped: &count}
	err = c.onSides(ctx, func(from, to *fileView) error {
		err := c.run(ctx, from, to)
		if err == nil {
			c.note(from, to)
		}
		if err != nil && !errors.As(err, new(*errdefs.Kinded)) {
			err = fmt.Errorf("copy %s to %s: %w", src, dst, err)
		}
		return err
	})
	return count.Load(), err
}

// note writes down that files went out of a container, or into one; the words are Docker's.
func (c *copying) note(from, to *fileView) {
	if from != nil {
		c.e.note(from.c, "archive-path")
	}
	if to != nil {
		c.e.note(to.c, "extract-to-dir")
	}
}

type copying struct {
	e        *Engine
	opts     CopyOptions
	src, dst CopyPlace
	skipped  *atomic.Int64
}

// onSides opens the containers; nil stands for the host. Two stopped ones are locked in the order of their ids, and one
// that is both source and destination only once.
func (c *copying) onSides(ctx context.Context, do func(from, to *fileView) error) error {
	switch {
	case c.src.stream():
		id, err := c.e.resolve(c.dst.Container) // it may get another name meanwhile
		if err != nil {
			return err
		}
		in, done, err := c.e.spool(ctx, id, c.opts.Stdin)
		if err != nil {
			return err
		}
		defer done()
		c.opts.Stdin = in
		return c.e.withFiles(ctx, id, withMounts, func(to *fileView) error { return do(nil, to) })
	case c.src.Container == "":
		return c.e.withFiles(ctx, c.dst.Container, withMounts, func(to *fileView) error { return do(nil, to) })
	case c.dst.Container == "":
		return c.e.withFiles(ctx, c.src.Container, withMounts, func(from *fileView) error { return do(from, nil) })
	}
	ids, err := c.e.ResolveIDs(ctx, c.src.Container, c.dst.Container)
	if err != nil {
		return err
	}
	first, second := ids[0], ids[1]
	if first == second {
		return c.e.withFiles(ctx, first, withMounts, func(v *fileView) error { return do(v, v) })
	}
	if first > second {
		first, second = second, first
	}
	return c.e.withFiles(ctx, first, withMounts, func(a *fileView) error {
		return c.e.withFiles(ctx, second, withMounts, func(b *fileView) error {
			if first == ids[0] {
				return do(a, b)
			}
			return do(b, a)
		})
	})
}

func (c *copying) run(ctx context.Context, from, to *fileView) error {
	opts, err := c.options(from, to)
	if err != nil {
		return err
	}
	if c.src.stream() {
		return c.unpack(ctx, to, opts)
	}
	src, err := c.source(side{from})
	if err != nil {
		return err
	}
	defer src.file.Close()
	if c.dst.stream() {
		packer := archive.NewPacker(c.opts.Stdout, opts)
		if err := packer.Tree(ctx, src.file, src.name); err != nil {
			return err
		}
		return packer.Close()
	}
	dir, name, err := c.target(side{to}, src)
	if err != nil {
		return err
	}
	defer dir.Close()
	return archive.Copy(ctx, src.file, dir, name, opts)
}

func (c *copying) unpack(ctx context.Context, to *fileView, opts archive.Options) error {
	dir, err := side{to}.open(c.dst.Path, unix.O_PATH)
	if err != nil {
		return c.explain(c.dst, err)
	}
	defer dir.Close()
	if info, err := dir.Stat(); err != nil || !info.IsDir() {
		return errdefs.New(errdefs.ErrInvalid, "%s is not a directory (a tar stream is unpacked into one)", c.dst)
	}
	return archive.Unpack(ctx, c.opts.Stdin, to.root, c.dst.Path, opts)
}

// options say whose the copies are. Numbers of a container with a user namespace of its own are translated to what they
// are here and back.
func (c *copying) options(from, to *fileView) (archive.Options, error) {
	opts := archive.Options{Overwrite: c.opts.Overwrite, Skipped: c.skipped}
	if to == nil && !c.dst.stream() { // the host: all belongs to the caller
		opts.Owner = func(int, int) (int, int) { return 0, 0 }
		opts.Attribute = func(name string) bool { return strings.HasPrefix(name, "user.") && !ofOverlay(name) }
		opts.DropSetID, opts.SkipDevices = true, true
		return opts, nil
	}
	opts.Attribute = keepAttribute
	opts.SkipDevices = c.e.host().rootless && !c.dst.stream()
	owner := func(uid, gid int) (int, int) { return uid, gid }
	if from != nil {
		owner = func(uid, gid int) (int, int) {
			return int(inner(from.uids, uint32(uid))), int(inner(from.gids, uint32(gid)))
		}
	}
	if to != nil {
		into, err := c.ownerIn(to)
		if err != nil {
			return opts, err
		}
		read := owner
		owner = func(uid, gid int) (int, int) { return into(read(uid, gid)) }
	}
	opts.Owner = owner
	return opts, nil
}

// ownerIn gives a file to the container's user, or leaves it to whom it belongs.
func (c *copying) ownerIn(to *fileView) (func(uid, gid int) (int, int), error) {
	if !c.opts.Archive || to.c.Process.User == "" { // as Docker has it: owners stay where the container has no user of its own
		return func(uid, gid int) (int, int) { return outside(to.uids, uint32(uid)), outside(to.gids, uint32(gid)) }, nil
	}
	user, err := passwd.Resolve(fdPath(to.root), to.c.Process.User, nil)
	if err != nil {
		return nil, err
	}
	uid, gid := outside(to.uids, user.UID), outside(to.gids, user.GID)
	return func(int, int) (int, int) { return uid, gid }, nil
}

// keepAttribute tells which extended attributes mean the same in a container as where they come from.
func keepAttribute(name string) bool {
	return name == "security.capability" || strings.HasPrefix(name, "user.") && !ofOverlay(name)
}

func ofOverlay(name string) bool {
	return strings.HasPrefix(name, "user.overlay.") || strings.HasPrefix(name, "user.fuseoverlayfs.") || strings.HasPrefix(name, "user.containers.")
}

// source is an open file or directory to copy.
type copySource struct {
	file  *os.File // opened with O_PATH; a link is not followed
	name  string   // what a copy in a directory is called; ./ stands for the content alone
	isDir bool
}

const contentOnly = "./"

// source opens what is to be copied.
func (c *copying) source(s side) (copySource, error) {
	typed := c.src.Path
	asDir := strings.HasSuffix(typed, "/") || typed == "." || strings.HasSuffix(typed, "/.")
	flags := unix.O_PATH
	if !asDir && !c.opts.FollowLink {
		flags |= unix.O_NOFOLLOW
	}
	f, err := s.open(typed, flags)
	if err != nil {
		return copySource{}, c.explain(c.src, err)
	}
	info, err := f.Stat()
	if err == nil && asDir && !info.IsDir() {
		err = errdefs.New(errdefs.ErrInvalid, "%s is not a directory", c.src)
	}
	if err != nil {
		f.Close()
		return copySource{}, err
	}
	src := copySource{file: f, name: path.Base(s.clean(typed)), isDir: info.IsDir()}
	if typed == "." || strings.HasSuffix(typed, "/.") || src.name == "/" {
		src.name = contentOnly
	}
	return src, nil
}

// target finds the directory to write to and the name there, by the rules of docker cp.
func (c *copying) target(s side, src copySource) (dir *os.File, name string, err error) {
	typed := c.dst.Path
	asDir := strings.HasSuffix(typed, "/") || typed == "." || strings.HasSuffix(typed, "/.")
	at, err := s.open(typed, unix.O_PATH)
	if errors.Is(err, fs.ErrNotExist) && asDir && !src.isDir {
		return nil, "", errdefs.New(errdefs.ErrNotFound, "%s is no directory that exists (make it first, or leave the / at the end out)", c.dst)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", c.explain(c.dst, err)
	}
	if err == nil {
		info, err := at.Stat()
		if err == nil && info.IsDir() {
			return at, strings.TrimSuffix(src.name, "/"), nil
		}
		at.Close()
		if err != nil {
			return nil, "", err
		}
		if asDir {
			return nil, "", errdefs.New(errdefs.ErrInvalid, "%s is not a directory", c.dst)
		}
		if src.isDir && !c.opts.Overwrite {
			return nil, "", errdefs.New(errdefs.ErrInvalid, "cannot copy directory %s to %s, which is a file (use --overwrite to replace it)", c.src, c.dst)
		}
	}
	if dir, name, err = s.parent(typed); err != nil {
		return nil, "", c.explain(CopyPlace{c.dst.Container, path.Dir(s.clean(typed))}, err)
	}
	return dir, name, nil
}

func (c *copying) explain(p CopyPlace, err error) error {
	where := "on the host"
	if p.Container != "" {
		where = "in container " + p.Container
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errdefs.New(errdefs.ErrNotFound, "no %s %s", p.Path, where)
	case errors.Is(err, unix.ENOTDIR):
		return errdefs.New(errdefs.ErrInvalid, "%s %s leads through a file", p.Path, where)
	case errors.Is(err, unix.ELOOP):
		return errdefs.New(errdefs.ErrInvalid, "%s %s leads through a link of the kernel's own, or too many links", p.Path, where)
	case errors.Is(err, fs.ErrPermission):
		return errdefs.New(fs.ErrPermission, "%s %s: permission denied", p.Path, where)
	}
	return err
}

// side opens paths of the host (nil) or inside a container.
type side struct{ view *fileView }

func (s side) clean(p string) string {
	if s.view != nil {
		return path.Clean("/" + p)
	}
	if abs, err := filepath.Abs(p); err == nil {
		return abs
	}
	return p
}

func (s side) open(p string, flags int) (*os.File, error) {
	if s.view != nil {
		return safepath.OpenAt(s.view.root, p, flags, 0)
	}
	fd, err := unix.Open(p, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: p, Err: err}
	}
	return os.NewFile(uintptr(fd), p), nil
}

// maxLinks is the kernel's own bound of links in one path.
const maxLinks = 40

// parent opens the directory that p, followed to the end of its links, lies in, and returns the name there. What it
// names need not exist.
func (s side) parent(p string) (*os.File, string, error) {
	p = s.clean(p)
	for range maxLinks {
		dir, err := s.open(path.Dir(p), unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return nil, "", err
		}
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(int(dir.Fd()), path.Base(p), buf)
		if err != nil { // no link, or nothing there
			return dir, path.Base(p), nil
		}
		dir.Close()
		target := string(buf[:n])
		if !path.IsAbs(target) {
			target = path.Dir(p) + "/" + target
		}
		p = path.Clean(target)
	}
	return nil, "", unix.ELOOP
}
