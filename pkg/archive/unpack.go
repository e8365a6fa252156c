package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/safepath"
)

// Unpack writes the entries of a tar stream (plain, gzip or bzip2) below dir, a path inside root. Links that are there
// are followed, but never out of root; an entry whose own name leads out of dir is refused.
func Unpack(ctx context.Context, stream io.Reader, root *os.File, dir string, opts Options) error {
	plain, err := decompress(stream)
	if err != nil {
		return err
	}
	u := &unpacker{writer: writer{&opts}, root: root, dir: dir}
	tail := &tailReader{Reader: plain}
	in := tar.NewReader(tail)
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		tail.read = 0
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			if opts.Complete && !tail.ended() {
				return errdefs.New(errdefs.ErrInvalid, "the tar stream is cut off: the blocks of zeroes at its end are missing")
			}
			break
		} else if err != nil {
			return errdefs.New(errdefs.ErrInvalid, "this is no tar stream, or a broken one: %v", err)
		}
		if err := u.entry(h, in); err != nil {
			return fmt.Errorf("tar entry %q: %w", h.Name, err)
		}
		if _, err := io.Copy(io.Discard, in); err != nil { // what was left out
			return errdefs.New(errdefs.ErrInvalid, "this is no tar stream, or a broken one: %v", err)
		}
		faultpoint.Hit("archive.unpacked")
	}
	return u.finish()
}

// decompress looks at the first bytes.
func decompress(stream io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(stream, 64<<10)
	magic, _ := buffered.Peek(6)
	has := func(prefix string) bool { return strings.HasPrefix(string(magic), prefix) }
	switch {
	case has("\x1f\x8b"):
		r, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, errdefs.New(errdefs.ErrInvalid, "broken gzip stream: %v", err)
		}
		return r, nil
	case has("BZh"):
		return bzip2.NewReader(buffered), nil
	case has("\xfd7zXZ\x00"):
		return nil, errdefs.New(errdefs.ErrUnsupported, "the tar stream is compressed by xz (decompress it on the way: xz -dc)")
	case has("\x28\xb5\x2f\xfd"):
		return nil, errdefs.New(errdefs.ErrUnsupported, "the tar stream is compressed by zstd (decompress it on the way: zstd -dc)")
	}
	return buffered, nil
}

// tailReader keeps an eye on what is read behind the last entry: in a whole tar stream a block of zeroes.
type tailReader struct {
	io.Reader
	read   int // since it was last set to 0
	zeroes int // at the end of what was read
}

// tarBlock is what a tar stream consists of; it ends with two of zeroes, and a lone one is good enough, as for GNU tar.
const tarBlock = 512

func (r *tailReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.read += n
	last := len(bytes.TrimRight(p[:n], "\x00"))
	if last > 0 {
		r.zeroes = 0
	}
	r.zeroes += n - last
	return n, err
}

func (r *tailReader) ended() bool { return min(r.read, r.zeroes) >= tarBlock }

type unpacker struct {
	writer
	root *os.File
	dir  string
	dirs []dirMeta // made by us: their times change with each entry, so they are set at the end
}

type dirMeta struct {
	path string
	meta meta
}

// maxHeldDirs bounds what is remembered of directories of a stream without an end; the rest keep the time of their making.
const maxHeldDirs = 1 << 20

// inside is where an entry's name leads. It cannot lead out of the destination.
func (u *unpacker) inside(name string) (string, error) {
	clean := path.Clean("./" + strings.TrimLeft(name, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", errdefs.New(errdefs.ErrInvalid, "%q leads out of the destination", name)
	}
	if strings.ContainsRune(name, 0) {
		return "", errdefs.New(errdefs.ErrInvalid, "a name with a zero byte")
	}
	return clean, nil
}

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	name, err := u.inside(h.Name)
	if err != nil || name == "." && !u.opts.Restate {
		return err // the destination itself stays as it is
	}
	if u.opts.skips(h.Typeflag) {
		u.opts.skip()
		return nil
	}
	parent, err := u.parent(path.Dir(name))
	if err != nil {
		return err
	}
	defer parent.Close()
	dir, base := int(parent.Fd()), path.Base(name)
	m := u.meta(h)
	switch h.Typeflag {
	case tar.TypeDir:
		return u.makeDir(dir, base, name, m)
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.regular(dir, base, h, m, content)
	case tar.TypeSymlink:
		return u.symlink(dir, base, h.Linkname, m)
	case tar.TypeLink:
		return u.hardlink(dir, base, h.Linkname)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return u.special(dir, base, unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)), m)
	}
	return nil // a comment of some program
}

func (o *Options) skips(kind byte) bool {
	return o.SkipDevices && (kind == tar.TypeChar || kind == tar.TypeBlock)
}

func (u *unpacker) meta(h *tar.Header) meta {
	types := map[byte]uint32{tar.TypeDir: unix.S_IFDIR, tar.TypeSymlink: unix.S_IFLNK, tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}
	kind, ok := types[h.Typeflag]
	if !ok {
		kind = unix.S_IFREG
	}
	stamp, err := unix.TimeToTimespec(h.ModTime)
	if err != nil {
		stamp = unix.Timespec{}
	}
	m := meta{mode: kind | uint32(h.Mode&0o7777), uid: h.Uid, gid: h.Gid, atime: stamp, mtime: stamp}
	u.opts.change(&m)
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, paxAttribute); ok && u.opts.Attribute != nil && u.opts.Attribute(name) {
			m.attributes = append(m.attributes, attribute{name, []byte(value)})
		}
	}
	return m
}

// parent opens the directory that an entry goes into, which is made where the stream left it out.
func (u *unpacker) parent(dir string) (*os.File, error) {
	at := path.Join("/", u.dir, dir)
	f, err := safepath.OpenAt(u.root, at, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if !errors.Is(err, unix.ENOENT) || dir == "." {
		return f, plain(err)
	}
	above, err := u.parent(path.Dir(dir))
	if err != nil {
		return nil, err
	}
	defer above.Close()
	m := meta{mode: unix.S_IFDIR | 0o755}
	u.opts.change(&m)
	if err := u.makeDir(int(above.Fd()), path.Base(dir), dir, m); err != nil {
		return nil, err
	}
	f, err = safepath.OpenAt(u.root, at, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	return f, plain(err)
}

func (u *unpacker) makeDir(dir int, base, name string, m meta) error {
	if f, err := safepath.OpenAt(u.root, path.Join("/", u.dir, name), unix.O_RDONLY|unix.O_DIRECTORY, 0); err == nil {
		defer f.Close() // also behind a link, as /lib often is
		return u.restate(f, name, m)
	}
	fd, made, err := u.writer.directory(dir, base)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if made && len(u.dirs) < maxHeldDirs {
		u.dirs = append(u.dirs, dirMeta{name, m})
	}
	if !made {
		return nil
	}
	return m.apply(fd)
}

// restate gives a directory that is there what its entry says, if that was asked for.
func (u *unpacker) restate(dir *os.File, name string, m meta) error {
	if !u.opts.Restate {
		return nil
	}
	if len(u.dirs) < maxHeldDirs {
		u.dirs = append(u.dirs, dirMeta{name, m})
	}
	return m.apply(int(dir.Fd()))
}

func (u *unpacker) regular(dir int, base string, h *tar.Header, m meta, content io.Reader) error {
	if err := enoughSpace(dir, h.Size); err != nil {
		return err
	}
	return u.file(dir, base, m, func(out *os.File) error {
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		_, err := io.CopyBuffer(onlyWriter{out}, onlyReader{content}, *buf)
		return plain(err)
	})
}

// enoughSpace refuses what cannot fit before it fills the disk: a header can promise any size, and a sparse entry is
// short itself.
func enoughSpace(dir int, size int64) error {
	const worthAsking = 64 << 20
	if size < worthAsking {
		return nil
	}
	var fs unix.Statfs_t
	if unix.Fstatfs(dir, &fs) == nil && uint64(size)/uint64(fs.Bsize) > fs.Bavail {
		return fmt.Errorf("%d bytes: %w", size, unix.ENOSPC)
	}
	return nil
}

// hardlink makes a further name of a file that lies below the destination.
func (u *unpacker) hardlink(dir int, base, target string) error {
	name, err := u.inside(target)
	if err != nil {
		return err
	}
	f, err := safepath.OpenAt(u.root, path.Join("/", u.dir, name), unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return plain(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFLNK {
		return errdefs.New(errdefs.ErrInvalid, "a hard link to %q, which is no file", target)
	}
	return u.link(dir, base, int(f.Fd()))
}

// finish gives the new directories the times that the entries in them have changed.
func (u *unpacker) finish() error {
	for i := len(u.dirs) - 1; i >= 0; i-- {
		d := &u.dirs[i]
		f, err := safepath.OpenAt(u.root, path.Join("/", u.dir, d.path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			continue // a later entry took its place
		}
		err = d.meta.times(int(f.Fd()), "")
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
