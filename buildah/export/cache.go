package export

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	sessioncontent "github.com/moby/buildkit/session/content"
	"github.com/moby/buildkit/util/contentutil"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Packed are layers as they go to others, in the order in which they were asked for. Close it.
type Packed struct {
	Descriptors []ocispecs.Descriptor
	DiffIDs     []digest.Digest

	e *Exporter
	a assembled
}

// Pack packs layers of the store with the exporters' attributes compression, compression-level and force-compression.
func (e *Exporter) Pack(ctx context.Context, ids []string, attrs map[string]string) (*Packed, error) {
	c, err := cacheCompression(attrs)
	if err != nil {
		return nil, err
	}
	p := &Packed{e: e, a: assembled{packed: packedSet{}, extra: map[digest.Digest][]byte{}}}
	var list []layerInfo
	for _, id := range ids {
		l, err := e.o.Layers.Layer(id)
		if err != nil {
			return nil, err
		}
		list = append(list, layerInfo{id: id, diffID: l.DiffID, size: l.Size, packed: l.Packed, compressed: l.Compression})
	}
	packed, err := e.pack(ctx, list, c)
	for i, layer := range packed {
		if layer.file == nil {
			continue
		}
		if other, ok := p.a.packed[layer.Desc.Digest]; ok {
			other.file.Close()
		}
		p.a.packed[layer.Desc.Digest] = layer
		desc := layer.Desc
		desc.MediaType = c.of(list[i]).mediaType(true)
		p.Descriptors, p.DiffIDs = append(p.Descriptors, desc), append(p.DiffIDs, layer.DiffID)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// CheckCompression finds what is wrong with the attributes that Pack takes.
func CheckCompression(attrs map[string]string) error {
	_, err := cacheCompression(attrs)
	return err
}

func cacheCompression(attrs map[string]string) (compression, error) {
	c := compression{kind: gzipKind}
	if v, ok := attrs["compression"]; ok {
		if err := c.setKind(v); err != nil {
			return c, err
		}
	}
	if v, ok := attrs["compression-level"]; ok {
		if err := c.setLevel(v); err != nil {
			return c, err
		}
	}
	if v, ok := attrs["force-compression"]; ok {
		var err error
		if c.force, err = strconv.ParseBool(v); err != nil {
			return c, errdefs.New(errdefs.ErrInvalid, "force-compression=%s is not true or false", v)
		}
	}
	return c, nil
}

// Add adds a document and describes it.
func (p *Packed) Add(mediaType string, data []byte) ocispecs.Descriptor {
	desc := describeBlob(mediaType, data)
	p.a.extra[desc.Digest] = data
	return desc
}

// PushTo sends the manifest desc, which was added, with all that it names to a registry.
func (p *Packed) PushTo(ctx context.Context, desc ocispecs.Descriptor, ref string, r Request) error {
	dir, err := p.e.o.Images.WorkDir("cache-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	index, err := json.Marshal(ocispecs.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageIndex,
		Manifests: []ocispecs.Descriptor{desc}})
	if err != nil {
		return err
	}
	if err := p.a.provider().layout(dir, index); err != nil {
		return fmt.Errorf("gather what is pushed: %w", err)
	}
	again := option.Retry{Max: pushRetries}
	if r.Retry != nil {
		again = *r.Retry
	}
	return p.e.o.Images.PushLayout(ctx, dir, ref, image.LayoutPush{
		Insecure: r.Attrs["registry.insecure"] == "true", Access: r.Access, Retry: again})
}

// CopyTo sends the manifest desc, which was added, with all that it names to a store of the client.
func (p *Packed) CopyTo(ctx context.Context, desc ocispecs.Descriptor, store string, r Request) error {
	caller, err := (&job{Exporter: p.e, Request: r}).caller(ctx)
	if err != nil {
		return err
	}
	return contentutil.CopyChain(ctx, sessioncontent.NewCallerStore(caller, store), p.a.provider(), desc)
}

// Close gives the packed layers back.
func (p *Packed) Close() error { return p.a.close() }
