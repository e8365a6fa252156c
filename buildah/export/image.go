package export

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/image"
)

// image puts the result into the store, and pushes it where that is asked for.
func (j *job) image(ctx context.Context) (map[string]string, error) {
	if name, ok := j.Result.Metadata[exptypes.ExporterImageNameKey]; ok && len(j.settings.names) == 1 && j.settings.names[0] == "*" {
		j.settings.names = nil
		if err := j.settings.setNames(string(name)); err != nil {
			return nil, err
		}
	}
	var out map[string]string
	if j.settings.store || !j.settings.push {
		made, err := j.assemble(ctx, j.asStored)
		if err != nil {
			return nil, err
		}
		if out, err = j.keep(ctx, made); err != nil {
			return nil, err
		}
	}
	if !j.settings.push {
		return out, nil
	}
	pushed, err := j.push(ctx)
	if err != nil {
		return nil, err
	}
	// What the registry has is what others will ask for; the configuration is the same in both.
	return pushed, nil
}

// assembled is all that is written of a result.
type assembled struct {
	desc   ocispecs.Descriptor // of the index, or of the only manifest
	index  []byte              // nil: there is only one manifest
	images []*built
	extra  map[digest.Digest][]byte // what is said of the images, by digest
	packed packedSet                // the layers' blobs; empty: they are as in the store
}

// config is the digest of the only configuration; empty: there are several.
func (a *assembled) config() digest.Digest {
	if a.index != nil || len(a.images) != 1 {
		return ""
	}
	return a.images[0].configID
}

// assemble makes the images of the result and, where there is more than one thing to say, their index.
func (j *job) assemble(ctx context.Context, describe blobs) (*assembled, error) {
	list, err := j.targets()
	if err != nil {
		return nil, err
	}
	notes, err := j.settings.annotations.withMetadata(j.Result.Metadata)
	if err != nil {
		return nil, err
	}
	if err := notes.check(j.Result, j.oci()); err != nil {
		return nil, err
	}
	inline, err := j.inlineCache(ctx, list)
	if err != nil {
		return nil, err
	}
	a := &assembled{extra: map[digest.Digest][]byte{}}
	for _, t := range list {
		b, err := j.build(ctx, t, inline, notes, describe)
		if err != nil {
			return nil, err
		}
		a.images = append(a.images, b)
	}
	if !j.indexed(list) {
		if len(notes.of(exptypes.AnnotationIndex, nil))+len(notes.of(exptypes.AnnotationIndexDescriptor, nil)) > 0 {
			return nil, errors.New("annotations of an index need several platforms or an attestation (use --annotation manifest:...)")
		}
		a.desc = a.images[0].desc
		if len(list) == 1 && list[0].platform != nil {
			a.desc.Platform = &list[0].platform.Platform
		}
		return a, nil
	}
	return a, j.addIndex(ctx, a, list, notes)
}

func (j *job) addIndex(ctx context.Context, a *assembled, list []target, notes annotationsGroup) error {
	index := ocispecs.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageIndex,
		Annotations: notes.of(exptypes.AnnotationIndex, nil)}
	if !j.oci() {
		index.MediaType = images.MediaTypeDockerSchema2ManifestList
	}
	var said []ocispecs.Descriptor
	for i, t := range list {
		desc := a.images[i].desc
		desc.Platform = a.images[i].platform
		index.Manifests = append(index.Manifests, desc)
		more, err := j.attest(ctx, a, t, a.images[i])
		if err != nil {
			return err
		}
		said = append(said, more...)
	}
	index.Manifests = append(index.Manifests, said...)
	var err error
	if a.index, err = json.MarshalIndent(index, "", "  "); err != nil {
		return err
	}
	a.desc = describeBlob(index.MediaType, a.index)
	a.desc.Annotations = notes.of(exptypes.AnnotationIndexDescriptor, nil)
	return nil
}

// inlineCache is what this build tells later ones, by target.
func (j *job) inlineCache(ctx context.Context, list []target) (map[string][]byte, error) {
	if j.InlineCache == nil {
		return nil, nil
	}
	res, err := j.InlineCache(ctx)
	if err != nil || res == nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, t := range list {
		entry := res.Ref
		if t.id != "" {
			entry, _ = res.FindRef(t.id)
		}
		if entry != nil {
			out[t.id] = entry.Data
		}
	}
	return out, nil
}

// asStored describes layers as containers/storage keeps them: unpacked.
func (j *job) asStored(_ context.Context, list []layerInfo) ([]ocispecs.Descriptor, error) {
	mediaType := ocispecs.MediaTypeImageLayer
	if !j.oci() {
		mediaType = images.MediaTypeDockerSchema2Layer
	}
	var out []ocispecs.Descriptor
	for _, l := range list {
		out = append(out, ocispecs.Descriptor{MediaType: mediaType, Digest: l.diffID, Size: l.size})
	}
	return out, nil
}

// keep writes images, and the list of several, into the store.
func (j *job) keep(ctx context.Context, a *assembled) (map[string]string, error) {
	names, ids := j.names(a.desc.Digest), map[digest.Digest]string{}
	for _, b := range a.images {
		var own []string
		if a.index == nil || len(a.images) == 1 {
			own = names // what is said of an only image is left to those who pull it
		}
		err := j.step(ctx, "exporting manifest "+b.desc.Digest.String(), func() error {
			id, err := j.o.Images.PutBuilt(ctx, image.Built{Config: b.config, Manifest: b.manifest, Top: b.top, Created: b.created, Names: own})
			ids[b.desc.Digest] = id
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if j.settings.list != "" {
		err := j.step(ctx, "adding to manifest list "+j.settings.list, func() error {
			var built []string
			for _, b := range a.images {
				built = append(built, ids[b.desc.Digest])
			}
			return j.o.Images.ManifestGather(ctx, j.settings.list, built)
		})
		if err != nil {
			return nil, err
		}
	}
	if a.index != nil && len(a.images) > 1 && (j.settings.list == "" || len(names) > 0) {
		list := image.BuiltList{Manifest: a.index, Images: ids, Created: a.images[0].created, Names: names}
		err := j.step(ctx, "exporting manifest list "+a.desc.Digest.String(), func() error {
			_, err := j.o.Images.PutList(ctx, list)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	desc, config := a.desc, a.config()
	if len(a.images) == 1 {
		desc, config = a.images[0].desc, a.images[0].configID
		desc.Platform = a.images[0].platform
	}
	return response(desc, config, j.settings.names)
}

// names are those that the image gets in the store.
func (j *job) names(d digest.Digest) []string {
	names := append([]string(nil), j.settings.names...)
	if j.settings.canonical {
		for _, name := range j.settings.names {
			names = append(names, name+"@"+d.String())
		}
	}
	return names
}
