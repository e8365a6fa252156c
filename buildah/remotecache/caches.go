package remotecache

import (
	"context"
	"encoding/json"
	"io"
	"strconv"

	ctrcontent "github.com/containerd/containerd/v2/core/content"
	controlapi "github.com/moby/buildkit/api/services/control"
	types "github.com/moby/buildkit/cache/remotecache/v1/types"
	"github.com/moby/buildkit/session"
	sessioncontent "github.com/moby/buildkit/session/content"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/buildah/export"
	"github.com/wherry-containers/wherry/buildah/layers"
	"github.com/wherry-containers/wherry/buildah/solver"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Options are what remote caches need from their surroundings.
type Options struct {
	Exporter *export.Exporter
	Layers   *layers.Store
	Images   *image.Session
	Config   image.Config
	Sessions *session.Manager
	Retry    *option.Retry // of pushes; nil: as often as is usual
}

// Caches reads and writes remote caches.
type Caches struct{ o Options }

// New makes Caches.
func New(o Options) *Caches { return &Caches{o} }

// attributes are those that are known, by type and direction. Names without a value stand for whatever is said.
var attributes = map[string][]string{
	"import registry": {"ref", "registry.insecure"},
	"import local":    {"src", "digest", "tag"},
	"export registry": {"ref", "registry.insecure", "mode", "ignore-error", "image-manifest", "oci-mediatypes", "compression", "compression-level", "force-compression"},
	"export local":    {"dest", "tag", "reset", "mode", "ignore-error", "image-manifest", "oci-mediatypes", "compression", "compression-level", "force-compression"},
	"export inline":   {"mode", "ignore-error"},
}

// Check finds what is wrong with caches before anything is built.
func (c *Caches) Check(imports, exports []*controlapi.CacheOptionsEntry) error {
	for _, e := range imports {
		if err := checkAttributes("import", "--cache-from", e); err != nil {
			return err
		}
	}
	for _, e := range exports {
		if err := checkAttributes("export", "--cache-to", e); err != nil {
			return err
		}
		if err := checkExport(e); err != nil {
			return err
		}
	}
	return nil
}

func checkAttributes(direction, flag string, e *controlapi.CacheOptionsEntry) error {
	known, ok := attributes[direction+" "+e.Type]
	if !ok {
		return errdefs.New(errdefs.ErrUnsupported, "%s type=%s is not supported (use registry, local or inline)", flag, e.Type)
	}
	has := map[string]bool{}
	for _, name := range known {
		has[name] = true
	}
	for name := range e.Attrs {
		if !has[name] {
			return errdefs.New(errdefs.ErrUnsupported, "%s type=%s: the attribute %s is not supported", flag, e.Type, name)
		}
	}
	if e.Type == "registry" && e.Attrs["ref"] == "" {
		return errdefs.New(errdefs.ErrInvalid, "%s type=registry: an image name is needed: ref=NAME", flag)
	}
	return nil
}

func checkExport(e *controlapi.CacheOptionsEntry) error {
	if m := e.Attrs["mode"]; m != "" && m != "min" && m != "max" {
		return errdefs.New(errdefs.ErrInvalid, "--cache-to mode=%s: want min or max", m)
	}
	for _, name := range []string{"image-manifest", "oci-mediatypes"} {
		v, ok := e.Attrs[name]
		if !ok {
			continue
		}
		if on, err := strconv.ParseBool(v); err != nil || !on {
			return errdefs.New(errdefs.ErrUnsupported, "--cache-to %s=%s is not supported: caches are OCI image manifests", name, v)
		}
	}
	if v, ok := e.Attrs["ignore-error"]; ok {
		if _, err := strconv.ParseBool(v); err != nil {
			return errdefs.New(errdefs.ErrInvalid, "--cache-to ignore-error=%s: want true or false", v)
		}
	}
	return export.CheckCompression(e.Attrs)
}

// Import reads a cache for a job.
func (c *Caches) Import(ctx context.Context, j *solver.Job, e *controlapi.CacheOptionsEntry) (solver.Remote, func(), error) {
	i := &imported{blobs: map[digest.Digest]blob{}, store: c.o.Layers, work: c.o.Images.WorkDir}
	if e.Type == "local" {
		return i, func() {}, c.openLocal(ctx, j, e, i)
	}
	rights, err := j.Rights(ctx, e.Attrs["ref"])
	if err != nil {
		return nil, nil, err
	}
	if e.Attrs["registry.insecure"] == "true" {
		verify := false
		rights.TLSVerify = &verify
	}
	remote, err := image.OpenBlobs(ctx, c.o.Config, e.Attrs["ref"], rights)
	if err != nil {
		return nil, nil, err
	}
	i.read = remote.Blob
	manifest, err := remote.Manifest(ctx)
	if err == nil {
		err = i.open(ctx, manifest)
	}
	if err != nil {
		remote.Close()
		return nil, nil, err
	}
	return i, func() { remote.Close() }, nil
}

func (c *Caches) openLocal(ctx context.Context, j *solver.Job, e *controlapi.CacheOptionsEntry, i *imported) error {
	id := digest.Digest(e.Attrs["digest"])
	if !valid(id) {
		return errdefs.New(errdefs.ErrInvalid, "%q is no digest of a manifest", string(id))
	}
	var caller session.Caller
	err := c.o.Sessions.Any(ctx, j.Session, func(_ context.Context, _ string, found session.Caller) error {
		caller = found
		return nil
	})
	if err != nil {
		return err
	}
	store := sessioncontent.NewCallerStore(caller, "local:"+e.Attrs["src"])
	i.read = func(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
		at, err := store.ReaderAt(ctx, ocispecs.Descriptor{Digest: d, Size: size})
		if err != nil {
			return nil, err
		}
		return &section{io.NewSectionReader(at, 0, at.Size()), at}, nil
	}
	info, err := store.Info(ctx, id)
	if err != nil {
		return err
	}
	manifest, err := i.document(ctx, ocispecs.Descriptor{Digest: id, Size: info.Size})
	if err != nil {
		return err
	}
	return i.open(ctx, manifest)
}

type section struct {
	io.Reader
	ctrcontent.ReaderAt
}

func (s *section) Close() error { return s.ReaderAt.Close() }

// Export writes what a job has made to a cache, and says what became of it in BuildKit's words.
func (c *Caches) Export(ctx context.Context, j *solver.Job, edges []solver.Edge, e *controlapi.CacheOptionsEntry) (map[string]string, error) {
	known, err := c.known(ctx, j, edges, e.Attrs["mode"] == "max")
	if err != nil {
		return nil, err
	}
	var ids []string
	index := map[string]int{}
	for _, k := range known {
		for _, id := range k.Layers {
			if _, ok := index[id]; !ok {
				index[id] = len(ids)
				ids = append(ids, id)
			}
		}
	}
	packed, err := c.o.Exporter.Pack(ctx, ids, e.Attrs)
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	desc, err := describe(packed, marshal(known, index))
	if err != nil {
		return nil, err
	}
	r := export.Request{Attrs: e.Attrs, Retry: c.o.Retry}
	if ids := session.AllSessionIDs(j.Session); len(ids) > 0 {
		r.SessionID = ids[0]
	}
	if e.Type == "registry" {
		if r.Access, err = j.Rights(ctx, e.Attrs["ref"]); err != nil {
			return nil, err
		}
		err = packed.PushTo(ctx, desc, e.Attrs["ref"], r)
	} else {
		err = packed.CopyTo(ctx, desc, "local:"+e.Attrs["dest"], r)
	}
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(desc)
	return map[string]string{"cache.manifest": string(data)}, err
}

// describe adds the cache's configuration and manifest.
func describe(p *export.Packed, records []types.CacheRecord) (ocispecs.Descriptor, error) {
	c := types.CacheConfig{Records: records}
	m := ocispecs.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageManifest, Layers: []ocispecs.Descriptor{}}
	there := map[digest.Digest]bool{}
	for n, d := range p.Descriptors {
		c.Layers = append(c.Layers, types.CacheLayer{Blob: d.Digest, ParentIndex: -1})
		if !there[d.Digest] {
			there[d.Digest] = true
			d.Annotations = map[string]string{uncompressed: p.DiffIDs[n].String()}
			m.Layers = append(m.Layers, d)
		}
	}
	config, err := json.Marshal(c)
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	m.Config = p.Add(types.CacheConfigMediaTypeV0, config)
	manifest, err := json.Marshal(m)
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	return p.Add(m.MediaType, manifest), nil
}

// known is what is worth telling: all, or only what is in the result.
func (c *Caches) known(ctx context.Context, j *solver.Job, edges []solver.Edge, all bool) ([]solver.Known, error) {
	list, err := j.Known(ctx, edges, all)
	if err != nil || all {
		return list, err
	}
	wanted := map[string]bool{}
	for _, e := range edges {
		t, err := j.Result(ctx, e)
		if err != nil {
			return nil, err
		}
		for _, id := range t.Layers {
			wanted[id] = true
		}
	}
	var out []solver.Known
	for _, k := range list {
		if within(k.Layers, wanted) {
			out = append(out, k)
		}
	}
	return out, nil
}

func within(layers []string, wanted map[string]bool) bool {
	for _, id := range layers {
		if !wanted[id] {
			return false
		}
	}
	return true
}

// Inline is what an image says of how it was made: the records whose layers are all in it.
func (c *Caches) Inline(ctx context.Context, j *solver.Job, e solver.Edge) ([]byte, error) {
	t, err := j.Result(ctx, e)
	if err != nil || t.Dir != "" {
		return nil, err
	}
	index := map[string]int{}
	for n, id := range t.Layers {
		index[id] = n
	}
	known, err := c.known(ctx, j, []solver.Edge{e}, false)
	if err != nil {
		return nil, err
	}
	return json.Marshal(marshal(known, index))
}
