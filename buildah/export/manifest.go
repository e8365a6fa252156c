package export

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	commonexptypes "github.com/moby/buildkit/exporter/exptypes"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// built is an image, complete but for where its layers' blobs are.
type built struct {
	desc     ocispecs.Descriptor // of the manifest
	manifest []byte
	config   []byte
	configID digest.Digest
	top      string      // uppermost layer in the store
	layers   []layerInfo // the lowest first
	blobs    []ocispecs.Descriptor
	created  time.Time
	platform *ocispecs.Platform
}

// blobs makes descriptors of layers: packed, for elsewhere, or as they are, for the store.
type blobs func(ctx context.Context, list []layerInfo) ([]ocispecs.Descriptor, error)

// target is one tree of the result, with what the frontend says of it.
type target struct {
	id       string // key in the result; "" for a result without platforms
	platform *exptypes.Platform
	tree     *tree.Tree
}

// targets lists what is to be exported.
func (j *job) targets() ([]target, error) {
	_, given := j.Result.Metadata[exptypes.ExporterPlatformsKey]
	if len(j.Result.Refs) > 0 && !given {
		return nil, errdefs.New(errdefs.ErrInvalid, "the build has several results but does not say of which platforms")
	}
	ps, err := exptypes.ParsePlatforms(j.Result.Metadata)
	if err != nil {
		return nil, err
	}
	if len(j.Result.Refs) == 0 && len(ps.Platforms) > 1 {
		return nil, errdefs.New(errdefs.ErrInvalid, "the build names several platforms but has one result")
	}
	if !given {
		return []target{{tree: j.Result.Ref}}, nil
	}
	var list []target
	for i := range ps.Platforms {
		p := &ps.Platforms[i]
		t, ok := j.Result.FindRef(p.ID)
		if !ok {
			return nil, errdefs.New(errdefs.ErrInvalid, "the build has no result for platform %s", p.ID)
		}
		list = append(list, target{id: p.ID, platform: p, tree: t})
	}
	return list, nil
}

// indexed tells whether the result needs an index: it is for several platforms, or something is said of it.
func (j *job) indexed(list []target) bool {
	if len(j.Result.Refs) > 0 {
		return true
	}
	for _, t := range list {
		if len(j.attestations(t.id)) > 0 {
			return true
		}
	}
	return false
}

// oci tells whether manifests have OCI's media types.
func (j *job) oci() bool { return j.settings.ociTypes == nil || *j.settings.ociTypes }

// epochOf is the time that nothing of an image may be younger than; nil: any.
func (j *job) epochOf(p *exptypes.Platform) (*time.Time, error) {
	if j.settings.epochGiven {
		return j.settings.epoch, nil
	}
	keys := []string{commonexptypes.ExporterEpochKey}
	if p != nil {
		keys = []string{fmt.Sprintf("%s/%s", commonexptypes.ExporterEpochKey, p.ID), commonexptypes.ExporterEpochKey}
	}
	for _, key := range keys {
		if value, ok := j.Result.Metadata[key]; ok {
			if len(value) == 0 {
				return nil, nil
			}
			return parseEpoch(string(value))
		}
	}
	return nil, nil
}

// build makes the image of one target.
func (j *job) build(ctx context.Context, t target, inline map[string][]byte, notes annotationsGroup, describe blobs) (*built, error) {
	epoch, err := j.epochOf(t.platform)
	if err != nil {
		return nil, err
	}
	var base *dockerspec.DockerOCIImage
	if data := exptypes.ParseKey(j.Result.Metadata, exptypes.ExporterImageBaseConfigKey, t.platform); len(data) > 0 {
		base = &dockerspec.DockerOCIImage{}
		if err := json.Unmarshal(data, base); err != nil {
			return nil, fmt.Errorf("the configuration of the image below: %w", err)
		}
	}
	b := &built{}
	if t.platform != nil {
		b.platform = &t.platform.Platform
	}
	if err := j.addLayers(ctx, b, t.tree, base, epoch); err != nil {
		return nil, err
	}
	config := exptypes.ParseKey(j.Result.Metadata, exptypes.ExporterImageConfigKey, t.platform)
	if b.config, err = imageConfig(config, b.layers, base, epoch, inline[t.id]); err != nil {
		return nil, err
	}
	b.configID = digest.FromBytes(b.config)
	var made struct{ Created *time.Time }
	if err := json.Unmarshal(b.config, &made); err != nil {
		return nil, err
	}
	b.created = time.Now()
	if made.Created != nil {
		b.created = *made.Created
	}
	return b, j.addManifest(ctx, b, notes, describe)
}

// addLayers makes a chain of the tree's layers.
func (j *job) addLayers(ctx context.Context, b *built, t *tree.Tree, base *dockerspec.DockerOCIImage, epoch *time.Time) error {
	stack, err := j.stack(ctx, t)
	if err != nil {
		return err
	}
	if b.top, err = j.o.Layers.Chain(ctx, stack); err != nil {
		return err
	}
	chain, err := j.o.Layers.Ancestry(b.top)
	if err != nil {
		return err
	}
	if j.settings.rewrite && epoch != nil {
		if chain, err = j.rewritten(ctx, chain, base, *epoch); err != nil {
			return err
		}
		if len(chain) > 0 {
			b.top = chain[len(chain)-1]
		}
	}
	for _, id := range chain {
		l, err := j.o.Layers.Layer(id)
		if err != nil {
			return err
		}
		info := layerInfo{id: id, diffID: l.DiffID, size: l.Size, created: l.Created, packed: l.Packed, compressed: l.Compression}
		if j.o.Describe != nil {
			info.by = j.o.Describe(id)
		}
		b.layers = append(b.layers, info)
	}
	return nil
}

// stack is the tree as layers.
func (j *job) stack(ctx context.Context, t *tree.Tree) ([]string, error) {
	switch {
	case t == nil:
		return nil, nil
	case t.Dir == "":
		return t.Layers, nil
	case j.o.Layered == nil:
		return nil, errdefs.New(errdefs.ErrUnsupported, "the result is a directory and no image (use --output type=local or tar)")
	}
	return j.o.Layered(ctx, t)
}

func (j *job) rewritten(ctx context.Context, chain []string, base *dockerspec.DockerOCIImage, epoch time.Time) ([]string, error) {
	var below []digest.Digest
	if base != nil {
		below = base.RootFS.DiffIDs
	}
	var out []string
	err := j.step(ctx, fmt.Sprintf("rewriting layers with source-date-epoch %d (%s)", epoch.Unix(), epoch), func() (err error) {
		out, err = j.o.Layers.Clamp(ctx, chain, below, epoch)
		return err
	})
	return out, err
}

func (j *job) addManifest(ctx context.Context, b *built, notes annotationsGroup, describe blobs) error {
	m := ocispecs.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageManifest,
		Config:      ocispecs.Descriptor{MediaType: ocispecs.MediaTypeImageConfig, Digest: b.configID, Size: int64(len(b.config))},
		Annotations: notes.of(exptypes.AnnotationManifest, b.platform)}
	if !j.oci() {
		m.MediaType, m.Config.MediaType = images.MediaTypeDockerSchema2Manifest, images.MediaTypeDockerSchema2Config
	}
	var err error
	if b.blobs, err = describe(ctx, b.layers); err != nil {
		return err
	}
	m.Layers = b.blobs
	if b.manifest, err = json.MarshalIndent(m, "", "  "); err != nil {
		return err
	}
	b.desc = describeBlob(m.MediaType, b.manifest)
	b.desc.Annotations = notes.of(exptypes.AnnotationManifestDescriptor, b.platform)
	return nil
}

func describeBlob(mediaType string, data []byte) ocispecs.Descriptor {
	return ocispecs.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// response says what was made, in BuildKit's words. config is empty for an index.
func response(desc ocispecs.Descriptor, config digest.Digest, names []string) (map[string]string, error) {
	data, err := json.Marshal(desc)
	if err != nil {
		return nil, err
	}
	r := map[string]string{
		exptypes.ExporterImageDigestKey:     desc.Digest.String(),
		exptypes.ExporterImageDescriptorKey: base64.StdEncoding.EncodeToString(data),
	}
	if config != "" {
		r[exptypes.ExporterImageConfigDigestKey] = config.String()
	}
	if len(names) > 0 {
		r[exptypes.ExporterImageNameKey] = strings.Join(names, ",")
	}
	return r, nil
}
