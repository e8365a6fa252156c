package remotecache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containers/image/v5/pkg/compression"
	types "github.com/moby/buildkit/cache/remotecache/v1/types"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/buildah/layers"
	"github.com/wherry-containers/wherry/buildah/solver"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// reader opens blobs of a cache by digest. What it hands out is checked here.
type reader func(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error)

// imported is a cache that was read. Its layers stay where they are until somebody wants them.
type imported struct {
	results map[digest.Digest]result
	blobs   map[digest.Digest]blob
	read    reader
	store   *layers.Store
	work    func(prefix string) (string, error)
}

// blob is a layer of the cache.
type blob struct {
	desc   ocispecs.Descriptor
	diffID digest.Digest
}

// uncompressed is the annotation with a layer's diff id, BuildKit's.
const uncompressed = "containerd.io/uncompressed"

// open reads a cache whose manifest is data: one of a cache, or of an image that carries one.
func (i *imported) open(ctx context.Context, data []byte) error {
	var m ocispecs.Manifest
	if len(data) > maxDocument {
		return errdefs.New(errdefs.ErrInvalid, "the manifest is too large (%d bytes)", len(data))
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("the manifest: %w", err)
	}
	if m.Config.Digest == "" { // an index: a cache as BuildKit writes it, whose keys are not ours
		return nil
	}
	config, err := i.document(ctx, m.Config)
	if err != nil {
		return err
	}
	if len(m.Layers) > maxLayers {
		return errdefs.New(errdefs.ErrInvalid, "the manifest has too many layers (%d)", len(m.Layers))
	}
	if m.Config.MediaType != types.CacheConfigMediaTypeV0 {
		return i.inline(config, m.Layers)
	}
	for _, l := range m.Layers {
		i.blobs[l.Digest] = blob{desc: l, diffID: digest.Digest(l.Annotations[uncompressed])}
	}
	i.results, err = parse(config)
	return err
}

// inline reads what an image's configuration says of how it was made.
func (i *imported) inline(config []byte, list []ocispecs.Descriptor) error {
	var image struct {
		Cache  []byte `json:"moby.buildkit.cache.v0"`
		RootFS struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(config, &image); err != nil {
		return fmt.Errorf("the image's configuration: %w", err)
	}
	if image.Cache == nil {
		return errors.New("the image carries no build cache (build it with --cache-to type=inline)")
	}
	if len(image.RootFS.DiffIDs) != len(list) {
		return errors.New("the image's configuration does not fit its layers")
	}
	var c types.CacheConfig
	if err := json.Unmarshal(image.Cache, &c.Records); err != nil {
		return fmt.Errorf("the cache's records: %w", err)
	}
	for n, l := range list {
		i.blobs[l.Digest] = blob{desc: l, diffID: image.RootFS.DiffIDs[n]}
		c.Layers = append(c.Layers, types.CacheLayer{Blob: l.Digest, ParentIndex: n - 1})
	}
	var err error
	i.results, err = results(c)
	return err
}

// document reads a small blob.
func (i *imported) document(ctx context.Context, desc ocispecs.Descriptor) ([]byte, error) {
	if !valid(desc.Digest) || desc.Size < 0 || desc.Size > maxDocument {
		return nil, errdefs.New(errdefs.ErrInvalid, "document %q of %d bytes: not taken", string(desc.Digest), desc.Size)
	}
	in, err := i.read(ctx, desc.Digest, desc.Size)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, desc.Size+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != desc.Size || digest.FromBytes(data) != desc.Digest {
		return nil, errdefs.New(errdefs.ErrBroken, "blob %s is not what its digest says", desc.Digest)
	}
	return data, nil
}

// Find is solver.Remote's.
func (i *imported) Find(key digest.Digest) *solver.Found {
	r, ok := i.results[key]
	if !ok {
		return nil
	}
	for _, d := range r.layers {
		if b, ok := i.blobs[d]; !ok || !valid(b.diffID) {
			return nil
		}
	}
	return &solver.Found{As: r.as, Here: func() bool { return i.here(r.layers) }, Fetch: func(ctx context.Context) ([]string, error) { return i.fetch(ctx, r.layers) }}
}

// here tells whether all layers are in the store.
func (i *imported) here(list []digest.Digest) bool {
	parent := ""
	for _, d := range list {
		parent = layers.ChainID(parent, i.blobs[d].diffID)
		if !i.store.Has(parent) {
			return false
		}
	}
	return true
}

// fetch brings layers here, those that are not there.
func (i *imported) fetch(ctx context.Context, list []digest.Digest) ([]string, error) {
	stack, parent := make([]string, 0, len(list)), ""
	for _, d := range list {
		id, err := i.layer(ctx, parent, i.blobs[d])
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", d, err)
		}
		stack, parent = append(stack, id), id
	}
	return stack, nil
}

// layer downloads a layer into a file, looks whether it is what was promised, and unpacks it.
func (i *imported) layer(ctx context.Context, parent string, b blob) (string, error) {
	dir := ""
	defer func() {
		if dir != "" {
			os.RemoveAll(dir)
		}
	}()
	open := func() (io.ReadCloser, error) {
		if dir == "" {
			var err error
			if dir, err = i.work("cache-"); err != nil {
				return nil, err
			}
			if err := i.download(ctx, b.desc, filepath.Join(dir, "layer")); err != nil {
				return nil, err
			}
		}
		return unpacked(filepath.Join(dir, "layer"))
	}
	return i.store.Received(ctx, parent, b.diffID, open)
}

func (i *imported) download(ctx context.Context, desc ocispecs.Descriptor, path string) error {
	in, err := i.read(ctx, desc.Digest, desc.Size)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	sum := desc.Digest.Verifier()
	n, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(in, desc.Size+1))
	if err != nil {
		return err
	}
	if n != desc.Size || !sum.Verified() {
		return errdefs.New(errdefs.ErrBroken, "it is not what its digest says")
	}
	return out.Close()
}

// unpacked opens a file that may be compressed.
func unpacked(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, _, err := compression.AutoDecompress(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &both{r, f}, nil
}

type both struct {
	io.ReadCloser
	file *os.File
}

func (b *both) Close() error { return errors.Join(b.ReadCloser.Close(), b.file.Close()) }
