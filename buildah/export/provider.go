package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/containerd/v2/core/content"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// provider is all that was assembled, by digest, in the form that containerd's libraries want. Packed layers are files,
// the rest is in memory.
type provider struct {
	data  map[digest.Digest][]byte
	files map[digest.Digest]packedLayer
}

func (a *assembled) provider() *provider {
	p := &provider{data: map[digest.Digest][]byte{}, files: a.packed}
	for d, data := range a.extra {
		p.data[d] = data
	}
	for _, b := range a.images {
		p.data[b.desc.Digest], p.data[b.configID] = b.manifest, b.config
	}
	if a.index != nil {
		p.data[a.desc.Digest] = a.index
	}
	return p
}

// ReaderAt opens a blob.
func (p *provider) ReaderAt(_ context.Context, desc ocispecs.Descriptor) (content.ReaderAt, error) {
	if data, ok := p.data[desc.Digest]; ok {
		return &readerAt{ReaderAt: bytes.NewReader(data), size: int64(len(data)), close: func() error { return nil }}, nil
	}
	layer, ok := p.files[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, cerrdefs.ErrNotFound)
	}
	return &readerAt{ReaderAt: layer.file, size: layer.Desc.Size, close: func() error { return nil }}, nil
}

// Info says how large a blob is.
func (p *provider) Info(_ context.Context, d digest.Digest) (content.Info, error) {
	if data, ok := p.data[d]; ok {
		return content.Info{Digest: d, Size: int64(len(data))}, nil
	}
	if layer, ok := p.files[d]; ok {
		return content.Info{Digest: d, Size: layer.Desc.Size}, nil
	}
	return content.Info{}, fmt.Errorf("blob %s: %w", d, cerrdefs.ErrNotFound)
}

type readerAt struct {
	io.ReaderAt
	size  int64
	close func() error
}

func (r *readerAt) Size() int64  { return r.size }
func (r *readerAt) Close() error { return r.close() }

// layout writes an OCI layout of all blobs into an empty directory. Layers are hard links where that is possible.
func (p *provider) layout(dir string, index []byte) error {
	blobs := dir + "/blobs/sha256/"
	if err := os.MkdirAll(blobs, 0o700); err != nil {
		return err
	}
	var faults []error
	for d, data := range p.data {
		faults = append(faults, os.WriteFile(blobs+d.Encoded(), data, 0o600))
	}
	for d, layer := range p.files {
		if err := os.Link(layer.path, blobs+d.Encoded()); err != nil { // pruned meanwhile
			faults = append(faults, copyFile(layer, blobs+d.Encoded()))
		}
	}
	faults = append(faults, os.WriteFile(dir+"/index.json", index, 0o600),
		os.WriteFile(dir+"/oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600))
	return errors.Join(faults...)
}

func copyFile(layer packedLayer, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(layer.file, 0, layer.Desc.Size))
	return errors.Join(err, f.Close())
}

// close gives the packed layers back.
func (a *assembled) close() error {
	var faults []error
	for _, layer := range a.packed {
		faults = append(faults, layer.file.Close())
	}
	return errors.Join(faults...)
}
