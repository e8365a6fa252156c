package export

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// compression is how layers are packed.
type compression struct {
	kind  kind
	level *int
	force bool // also those that were pulled
}

type kind string

const (
	plainKind kind = "uncompressed"
	gzipKind  kind = "gzip"
	zstdKind  kind = "zstd"
)

func (c *compression) setKind(value string) error {
	switch kind(value) {
	case plainKind, gzipKind, zstdKind:
		c.kind = kind(value)
		return nil
	case "estargz":
		return errdefs.New(errdefs.ErrUnsupported, "compression=estargz is not supported (use gzip or zstd)")
	}
	return errdefs.New(errdefs.ErrInvalid, "compression=%s is not known (want gzip, zstd or uncompressed)", value)
}

func (c *compression) setLevel(value string) error {
	level, err := strconv.Atoi(value)
	if err != nil {
		return errdefs.New(errdefs.ErrInvalid, "compression-level=%s is no number", value)
	}
	c.level = &level
	return nil
}

// of is how a layer is packed: one that was pulled keeps its kind, if it need not be another.
func (c compression) of(l layerInfo) compression {
	if c.force || l.packed == "" {
		return c
	}
	switch l.compressed {
	case "tar.gz":
		return compression{kind: gzipKind, level: c.level}
	case "tar.zst":
		return compression{kind: zstdKind}
	}
	return c
}

func (c compression) writer(w io.Writer) (io.WriteCloser, error) {
	switch c.kind {
	case gzipKind:
		level := gzip.DefaultCompression
		if c.level != nil {
			// As BuildKit has it: what is beyond is the nearest.
			level = max(gzip.HuffmanOnly, min(*c.level, gzip.BestCompression))
		}
		return pgzip.NewWriterLevel(w, level)
	case zstdKind:
		level := zstd.SpeedDefault
		if c.level != nil {
			level = zstd.EncoderLevelFromZstd(*c.level)
		}
		return zstd.NewWriter(w, zstd.WithEncoderLevel(level))
	}
	return nopCloser{w}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func (c compression) mediaType(oci bool) string {
	switch {
	case c.kind == gzipKind && oci:
		return ocispecs.MediaTypeImageLayerGzip
	case c.kind == gzipKind:
		return images.MediaTypeDockerSchema2LayerGzip
	case c.kind == zstdKind:
		return ocispecs.MediaTypeImageLayerZstd
	case oci:
		return ocispecs.MediaTypeImageLayer
	}
	return images.MediaTypeDockerSchema2Layer
}

// name is that of the packed layer in the build cache.
func (c compression) name(diffID digest.Digest) string {
	name := diffID.Encoded() + "." + string(c.kind)
	if c.level != nil {
		name += "." + strconv.Itoa(*c.level)
	}
	return name
}

// packedLayer is a layer as it goes to others.
type packedLayer struct {
	Desc   ocispecs.Descriptor
	DiffID digest.Digest
	path   string
	file   *os.File // open, so that a prune of the build cache does no harm
}

// packedSet are packed layers by their digest.
type packedSet map[digest.Digest]packedLayer

// Pack packs layers, two at a time. Those that were packed before are taken from the build cache.
func (e *Exporter) pack(ctx context.Context, list []layerInfo, c compression) ([]packedLayer, error) {
	out := make([]packedLayer, len(list))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2) // gzip uses every core for each
	for i, l := range list {
		group.Go(func() (err error) {
			out[i], err = e.packed(ctx, l, c.of(l))
			return err
		})
	}
	return out, group.Wait()
}

func (e *Exporter) packed(ctx context.Context, l layerInfo, c compression) (packedLayer, error) {
	dir := buildcache.BlobsDir(e.o.Dirs)
	p := packedLayer{path: filepath.Join(dir, c.name(l.diffID))}
	err := buildcache.Locked(ctx, e.o.Dirs, "blob-"+c.name(l.diffID), func() (err error) {
		if !p.read() {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			if err := e.write(ctx, &p, l, c); err != nil {
				return err
			}
		}
		p.file, err = os.Open(p.path)
		return err
	})
	if err != nil {
		return p, fmt.Errorf("pack layer %s: %w", l.diffID, err)
	}
	p.Desc.MediaType = c.mediaType(true)
	return p, nil
}

// read finds what was packed before. The description is written last, so where it is the blob is whole.
func (p *packedLayer) read() bool {
	data, err := os.ReadFile(p.path + ".json")
	if err != nil || json.Unmarshal(data, p) != nil {
		return false
	}
	info, err := os.Stat(p.path)
	if err != nil || info.Size() != p.Desc.Size || p.Desc.Digest.Validate() != nil {
		return false
	}
	now := time.Now()
	os.Chtimes(p.path, now, now) // of the last use
	return true
}

// write packs a layer. The blob has its name only when it is whole.
func (e *Exporter) write(ctx context.Context, p *packedLayer, l layerInfo, c compression) (err error) {
	in, err := e.o.Layers.Tar(l.id)
	if err != nil {
		return err
	}
	defer in.Close()
	tmp := p.path + ".tmp" // the lock of the name is held
	out, err := os.Create(tmp)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp)
		}
	}()
	defer out.Close()
	sum := digest.SHA256.Digester()
	packed, err := c.writer(io.MultiWriter(out, sum.Hash()))
	if err != nil {
		return err
	}
	if _, err := io.Copy(packed, &ending{ctx, in}); err != nil {
		return errors.Join(err, packed.Close())
	}
	if err := packed.Close(); err != nil {
		return err
	}
	info, err := out.Stat()
	if err != nil {
		return err
	}
	p.DiffID = l.diffID
	p.Desc = ocispecs.Descriptor{Digest: sum.Digest(), Size: info.Size()}
	if err := os.Rename(tmp, p.path); err != nil {
		return err
	}
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return atomicfile.Write(p.path+".json", data, 0o600, atomicfile.Volatile)
}

// ending is a reader that ends with its context.
type ending struct {
	ctx context.Context
	r   io.Reader
}

func (e *ending) Read(p []byte) (int, error) {
	if e.ctx.Err() != nil {
		return 0, context.Cause(e.ctx)
	}
	return e.r.Read(p)
}
