package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Packer writes a tar stream.
type Packer struct {
	opts  Options
	out   io.Writer
	file  *os.File // out itself, where it is a file the kernel can move data to
	links map[inode]string
	head  bytes.Buffer
	zero  [512]byte
}

// NewPacker returns a Packer to out.
func NewPacker(out io.Writer, opts Options) *Packer {
	file, _ := out.(*os.File)
	return &Packer{opts: opts, out: out, file: file, links: map[inode]string{}}
}

// Close writes the end of the stream.
func (p *Packer) Close() error {
	_, err := p.out.Write(make([]byte, 1024))
	return err
}

// Tree writes what src names, which may be opened with O_PATH, under the name given, and all that is below it. An empty
// name leaves out the entry of the directory itself.
func (p *Packer) Tree(ctx context.Context, src *os.File, name string) error {
	return p.node(ctx, int(src.Fd()), name)
}

// Entry writes one entry of the directory without what is below it.
func (p *Packer) Entry(dir *os.File, base, name string) error {
	fd, err := openat(int(dir.Fd()), base, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return pathError("open", name, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return pathError("stat", name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return pathError("pack", name, p.leaf(fd, &st, name))
	}
	in, err := reopen(fd, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return pathError("open", name, err)
	}
	defer unix.Close(in)
	return p.directory(in, &st, name)
}

// Whiteout writes the entry by which an image's layer says that a file of the layers below is not there.
func (p *Packer) Whiteout(name string) error {
	return p.header(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(path.Dir(name), whiteout+path.Base(name)), Mode: 0o600})
}

// whiteout is what the name of a removed file begins with in an image's layer.
const whiteout = ".wh."

// Changes writes the layer of an image that makes the changes: what was added or changed as it is below root now, what
// was deleted as a whiteout.
func (p *Packer) Changes(ctx context.Context, root *os.File, changes []Change) error {
	var dir *os.File // the directory of the last one: the next is often in it, too
	at := ""
	defer func() { dir.Close() }()
	for _, c := range changes {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		name := strings.TrimPrefix(c.Path, "/")
		if c.Kind == 'D' {
			if err := p.Whiteout(name); err != nil {
				return err
			}
			continue
		}
		parent := path.Dir(c.Path)
		if dir == nil || parent != at {
			dir.Close()
			var err error
			dir, err = openBelow(root, parent)
			if errors.Is(err, unix.ENOENT) {
				continue // it went meanwhile
			} else if err != nil {
				return err
			}
			at = parent
		}
		if err := p.Entry(dir, path.Base(c.Path), name); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}

// openBelow opens a directory that no link leads to.
func openBelow(root *os.File, dir string) (*os.File, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(int(root.Fd()), "."+dir, &how)
	if err != nil {
		return nil, pathError("open", dir, err)
	}
	return os.NewFile(uintptr(fd), dir), nil
}

func (p *Packer) node(ctx context.Context, fd int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return pathError("stat", name, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return p.subtree(ctx, fd, &st, name)
	}
	return pathError("pack", name, p.leaf(fd, &st, name))
}

func (p *Packer) subtree(ctx context.Context, fd int, st *unix.Stat_t, name string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	in, err := reopen(fd, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return pathError("open", name, err)
	}
	list := os.NewFile(uintptr(in), name)
	defer list.Close()
	if name != "" {
		if err := p.directory(in, st, name); err != nil {
			return err
		}
	}
	if isKernels(in) {
		return nil
	}
	names, err := list.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, base := range names {
		if err := p.child(ctx, in, base, join(name, base)); err != nil {
			return err
		}
	}
	return nil
}

// join keeps a leading "./", which path.Join would drop.
func join(dir, base string) string {
	if dir == "" {
		return base
	}
	return strings.TrimSuffix(dir, "/") + "/" + base
}

func (p *Packer) child(ctx context.Context, dir int, base, name string) error {
	fd, err := openat(dir, base, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil // it went meanwhile
	} else if err != nil {
		return pathError("open", name, err)
	}
	defer unix.Close(fd)
	return p.node(ctx, fd, name)
}

func (p *Packer) directory(in int, st *unix.Stat_t, name string) error {
	h, err := p.headerOf(in, st, strings.TrimSuffix(name, "/")+"/")
	if err != nil {
		return pathError("pack", name, err)
	}
	h.Typeflag = tar.TypeDir
	return p.header(h)
}

// leaf writes what is no directory.
func (p *Packer) leaf(fd int, st *unix.Stat_t, name string) error {
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFREG {
		return p.regular(fd, st, name)
	}
	h, err := p.headerOf(-1, st, name)
	if err != nil {
		return err
	}
	switch kind {
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = readlink(fd); err != nil {
			return err
		}
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		if p.opts.SkipDevices {
			p.opts.skip()
			return nil
		}
		h.Typeflag = tar.TypeChar
		if kind == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev)))
	default:
		p.opts.skip() // a socket
		return nil
	}
	return p.header(h)
}

func (p *Packer) regular(fd int, st *unix.Stat_t, name string) error {
	id := inode{uint64(st.Dev), st.Ino}
	if st.Nlink > 1 {
		if first, ok := p.links[id]; ok {
			h, err := p.headerOf(-1, st, name)
			if err != nil {
				return err
			}
			h.Typeflag, h.Linkname = tar.TypeLink, first
			return p.header(h)
		}
		p.links[id] = name
	}
	in, err := reopen(fd, unix.O_RDONLY)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(in), name)
	defer file.Close()
	h, err := p.headerOf(in, st, name)
	if err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, st.Size
	if err := p.header(h); err != nil {
		return err
	}
	return p.content(file, st.Size)
}

// headerOf describes the file; in is -1 where there are no attributes to read.
func (p *Packer) headerOf(in int, st *unix.Stat_t, name string) (*tar.Header, error) {
	m := p.opts.metaOf(st)
	h := &tar.Header{Name: name, Mode: int64(m.mode & 0o7777), Uid: m.uid, Gid: m.gid,
		ModTime: time.Unix(m.mtime.Unix()), Format: tar.FormatPAX}
	if in < 0 {
		return h, nil
	}
	attributes, err := p.opts.keptAttributes(in)
	for _, a := range attributes {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[paxAttribute+a.name] = string(a.value)
	}
	return h, err
}

// paxAttribute is what the names of extended attributes begin with in a tar stream.
const paxAttribute = "SCHILY.xattr."

// header writes the blocks before the content. Each is made by itself, so that the content need not go through the
// library's writer.
func (p *Packer) header(h *tar.Header) error {
	p.head.Reset()
	if err := tar.NewWriter(&p.head).WriteHeader(h); err != nil {
		return fmt.Errorf("tar entry %s: %w", h.Name, err)
	}
	_, err := p.out.Write(p.head.Bytes())
	return err
}

// content writes size bytes of the file, whatever becomes of it meanwhile, and fills the last block.
func (p *Packer) content(file *os.File, size int64) error {
	left := size
	if p.file != nil && size > smallFile {
		for left > 0 {
			n, err := unix.Sendfile(int(p.file.Fd()), int(file.Fd()), nil, int(min(left, 1<<30)))
			if n <= 0 || err != nil && !errors.Is(err, unix.EINTR) {
				break // the plain way says what is wrong
			}
			left -= int64(n)
		}
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for left > 0 {
		n, err := file.Read((*buf)[:min(left, bufferSize)])
		if n == 0 && errors.Is(err, io.EOF) {
			clear(*buf)
			n = int(min(left, bufferSize)) // it became shorter: the header promised more
		} else if n == 0 && err != nil {
			return err
		}
		if _, err := p.out.Write((*buf)[:n]); err != nil {
			return err
		}
		left -= int64(n)
	}
	_, err := p.out.Write(p.zero[:(512-size%512)%512])
	return err
}
