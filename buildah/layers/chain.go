package layers

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containers/storage"
	graphdriver "github.com/containers/storage/drivers"
	"github.com/vbatts/tar-split/tar/asm"
	tarsplit "github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/rootfs"
)

// Chain returns the uppermost layer of a chain of parents with the content of a stack: what an image needs. Where the
// stack is such a chain nothing is made; else a layer that does not stand on the one below it gets a twin that does, of
// the same files by hard links. An empty stack has no uppermost layer.
func (s *Store) Chain(ctx context.Context, layers []string) (top string, err error) {
	if err := s.lease.Hold(ctx, layers); err != nil {
		return "", err
	}
	for _, id := range layers {
		l, err := s.storage.Layer(id)
		if err != nil {
			return "", gone(id, err)
		}
		if l.Parent == top {
			top = id
			continue
		}
		if l.UncompressedDigest == "" {
			return "", errdefs.New(errdefs.ErrBroken, "layer %s has no digest (remove its image and pull it again)", short(id))
		}
		if top, err = s.twin(ctx, l, top); err != nil {
			return "", err
		}
	}
	return top, nil
}

// twin makes a layer of the same content on another parent.
func (s *Store) twin(ctx context.Context, l *storage.Layer, parent string) (string, error) {
	id := ChainID(parent, l.UncompressedDigest)
	if s.driver == rootfs.VFS {
		return id, s.whileNaming(ctx, id, func() error {
			r, err := s.Tar(l.ID)
			if err != nil {
				return err
			}
			defer r.Close()
			_, _, err = s.storage.PutLayer(id, parent, nil, "", false, layerOptions(parent, false), r)
			return err
		})
	}
	if there, err := s.exists(id); there || err != nil {
		return id, errors.Join(err, s.lease.Hold(ctx, []string{id}))
	}
	d := &Draft{store: s}
	if err := d.makePlace(); err != nil {
		return "", fmt.Errorf("begin a layer: %w", err)
	}
	defer d.Discard()
	if err := linkTree(ctx, s.Dir(l.ID), d.upper); err != nil {
		return "", fmt.Errorf("link layer %s: %w", short(l.ID), err)
	}
	split, err := s.split(l.ID, d.place)
	if err != nil {
		return "", err
	}
	faultpoint.Hit("build.linked")
	return s.apply(ctx, &graphdriver.DriverWithDifferOutput{Target: d.upper, UncompressedDigest: l.UncompressedDigest,
		CompressedDigest: l.CompressedDigest, Size: l.UncompressedSize, UIDs: l.UIDs, GIDs: l.GIDs, TarSplit: split}, parent, l.Flags[hidesFlag] == true)
}

// splitPath is where containers/storage records a layer's tar stream.
func (s *Store) splitPath(id string) string {
	driver := "overlay"
	if s.driver == rootfs.VFS {
		driver = "vfs"
	}
	return filepath.Join(s.root(id), driver+"-layers", id+".tar-split.gz")
}

// split copies the record of a layer's tar stream into a file without a name, unpacked.
func (s *Store) split(id, tmp string) (*os.File, error) {
	in, err := os.Open(s.splitPath(id))
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", short(id), err)
	}
	defer in.Close()
	unpacked, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", short(id), err)
	}
	out, err := tempFile(tmp)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(out, unpacked); err != nil {
		return nil, errors.Join(fmt.Errorf("layer %s: %w", short(id), err), out.Close())
	}
	return out, nil
}

// Tar is the layer's uncompressed tar stream, byte for byte the one of its DiffID. No lock is held meanwhile: the caller
// keeps the layer (Hold, Mount, Chain).
func (s *Store) Tar(id string) (io.ReadCloser, error) {
	in, err := os.Open(s.splitPath(id))
	if errors.Is(err, os.ErrNotExist) {
		return s.storage.Diff("", id, &storage.DiffOptions{}) // made by somebody who records nothing
	} else if err != nil {
		return nil, fmt.Errorf("layer %s: %w", short(id), err)
	}
	unpacked, err := gzip.NewReader(in)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("layer %s: %w", short(id), err), in.Close())
	}
	files := tarsplit.NewPathFileGetter(s.Dir(id))
	return &tarReader{ReadCloser: asm.NewOutputTarStream(files, tarsplit.NewJSONUnpacker(unpacked)), split: in}, nil
}

type tarReader struct {
	io.ReadCloser
	split *os.File
}

func (t *tarReader) Close() error { return errors.Join(t.ReadCloser.Close(), t.split.Close()) }

// Hold keeps layers from being removed until the store is closed, and tells whether they are there.
func (s *Store) Hold(ctx context.Context, layers []string) error {
	if err := s.lease.Hold(ctx, layers); err != nil {
		return err
	}
	for _, id := range layers {
		if _, err := os.Lstat(s.Dir(id)); err != nil {
			return gone(id, storage.ErrLayerUnknown)
		}
	}
	return nil
}

// linkTree makes dst, which is not there yet, a copy of the directory src whose files are hard links.
func linkTree(ctx context.Context, src, dst string) error {
	from, err := os.Open(src)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := os.Mkdir(dst, 0o700); err != nil {
		return err
	}
	to, err := os.Open(dst)
	if err != nil {
		return err
	}
	defer to.Close()
	return linkDir(ctx, from, to)
}

// linkDir links what is in a directory, and gives the other the same owner, mode, attributes and time.
func linkDir(ctx context.Context, from, to *os.File) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	entries, err := from.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			err = unix.Linkat(int(from.Fd()), e.Name(), int(to.Fd()), e.Name(), 0)
			if err != nil {
				return &os.PathError{Op: "link", Path: e.Name(), Err: err}
			}
			continue
		}
		if err := linkSub(ctx, from, to, e.Name()); err != nil {
			return err
		}
	}
	return likeDir(from, to)
}

func linkSub(ctx context.Context, from, to *os.File, name string) error {
	src, err := openDir(from, name, name)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := unix.Mkdirat(int(to.Fd()), name, 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	dst, err := openDir(to, name, name)
	if err != nil {
		return err
	}
	defer dst.Close()
	return linkDir(ctx, src, dst)
}

func likeDir(from, to *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return err
	}
	if err := unix.Fchown(int(to.Fd()), int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(int(to.Fd()), st.Mode&0o7777); err != nil {
		return err
	}
	if err := copyAttributes(from, to); err != nil {
		return err
	}
	return unix.UtimesNanoAt(int(to.Fd()), "", []unix.Timespec{st.Atim, st.Mtim}, unix.AT_EMPTY_PATH)
}

// copyAttributes copies all of a directory's attributes, also overlay's: what hides something below must go on to.
func copyAttributes(from, to *os.File) error {
	buf := make([]byte, 1<<16)
	n, err := unix.Flistxattr(int(from.Fd()), buf)
	if errors.Is(err, unix.EOPNOTSUPP) || n == 0 {
		return nil
	} else if err != nil {
		return err
	}
	value := make([]byte, 1<<16)
	for _, name := range splitNames(buf[:n]) {
		size, err := unix.Fgetxattr(int(from.Fd()), name, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		} else if err != nil {
			return fmt.Errorf("read attribute %s: %w", name, err)
		}
		if err := unix.Fsetxattr(int(to.Fd()), name, value[:size], 0); err != nil && name != "security.selinux" {
			return fmt.Errorf("set attribute %s: %w", name, err)
		}
	}
	return nil
}
