package file

import (
	"archive/tar"
	"bufio"
	"compress/bzip2"
	"context"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/pkg/archive"
)

// unpack unpacks the file e below dst if it is an archive, and tells whether it is one. For links in the archive dst is
// the root.
func (t *target) unpack(ctx context.Context, c *copier, e *content.Entry, dst string) (bool, error) {
	f, err := c.src.OpenEntry(e, unix.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if !isArchive(f) {
		return false, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	plain, closeStream, err := decompress(f)
	if err != nil {
		return false, err
	}
	defer closeStream()
	root, err := t.unpackRoot(c, dst)
	if err != nil {
		return false, err
	}
	defer root.Close()
	opts := archive.Options{Overwrite: true, Restate: true, Attribute: unpacked}
	if c.owner != nil {
		opts.Owner = func(int, int) (int, int) { return c.owner.uid, c.owner.gid }
	}
	if err := archive.Unpack(ctx, plain, root, ".", opts); err != nil {
		return false, err
	}
	return true, c.compare(e, int(f.Fd()))
}

// unpackRoot makes and opens the directory that an archive is unpacked into.
func (t *target) unpackRoot(c *copier, dst string) (*os.File, error) {
	at, err := t.resolve(dst, true)
	if err != nil {
		return nil, err
	}
	made, err := t.makeDirs(at, look{0o755, c.owner, c.stamp})
	if err != nil {
		return nil, err
	}
	if c.stamp != nil {
		for _, dir := range made {
			c.stamps = append(c.stamps, stamped{dir, *c.stamp})
		}
	}
	fd, err := t.openDir(at)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), at), nil
}

// unpacked tells which attributes of an archive's entries count: none that steers an overlay mount or this machine.
func unpacked(name string) bool {
	return name == "security.capability" || strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.")
}

// isArchive tells whether a file begins as a tar archive does, perhaps a compressed one.
func isArchive(f *os.File) bool {
	plain, closeStream, err := decompress(f)
	if err != nil {
		return false
	}
	defer closeStream()
	_, err = tar.NewReader(plain).Next()
	return err == nil
}

// decompress looks at the first bytes of a stream.
func decompress(stream io.Reader) (io.Reader, func(), error) {
	buffered := bufio.NewReaderSize(stream, 128<<10)
	magic, _ := buffered.Peek(6)
	has := func(prefix string) bool { return strings.HasPrefix(string(magic), prefix) }
	switch {
	case has("\x1f\x8b\x08"):
		r, err := gzip.NewReader(buffered)
		return r, func() {}, err
	case has("BZh"):
		return bzip2.NewReader(buffered), func() {}, nil
	case has("\xfd7zXZ\x00"):
		r, err := xz.NewReader(buffered)
		return r, func() {}, err
	case has("\x28\xb5\x2f\xfd") || len(magic) > 3 && magic[0]&0xf0 == 0x50 && has(string(magic[:1])+"\x2a\x4d\x18"):
		r, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	}
	return buffered, func() {}, nil
}

// maxWindow bounds the memory that a zstd stream may ask for.
const maxWindow = 256 << 20
