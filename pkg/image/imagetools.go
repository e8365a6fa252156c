package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/image"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// What `buildx imagetools` does: it works on manifests in registries alone, and brings nothing into the store.

// remoteManifest is a manifest in a registry.
type remoteManifest struct {
	desc imgspec.Descriptor
	raw  []byte
	from reference.Named // whose repository has it
	src  types.ImageSource
	sys  *types.SystemContext
}

func (m *remoteManifest) isIndex() bool { return manifest.MIMETypeIsMultiImage(m.desc.MediaType) }

// fetchManifest reads a manifest of a registry. Close its source.
func (s *Session) fetchManifest(ctx context.Context, named reference.Named, opts access.Options) (*remoteManifest, error) {
	m := &remoteManifest{from: named}
	var err error
	if m.sys, err = s.registryContext(named.String(), opts, option.Platform{}); err != nil {
		return nil, err
	}
	ref, err := docker.NewReference(named)
	if err != nil {
		return nil, err
	}
	if m.src, err = ref.NewImageSource(ctx, m.sys); err != nil {
		return nil, explainRegistry("inspect", err, named)
	}
	raw, mime, err := m.src.GetManifest(ctx, nil)
	if err != nil {
		return nil, errors.Join(explainRegistry("inspect", err, named), m.src.Close())
	}
	m.raw, m.desc = raw, imgspec.Descriptor{MediaType: mime, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	return m, nil
}

// config is the configuration of an image, or of one that an index names.
func (m *remoteManifest) config(ctx context.Context, instance *digest.Digest) (*imgspec.Image, error) {
	img, err := image.FromUnparsedImage(ctx, m.sys, image.UnparsedInstance(m.src, instance))
	if err != nil {
		return nil, err
	}
	return img.OCIConfig(ctx)
}

// listed is a manifest that the new index names, and where it is now.
type listed struct {
	desc imgspec.Descriptor
	from reference.Named
}

// entries are the manifests of an index, or the manifest of an image with its platform.
func (m *remoteManifest) entries(ctx context.Context) ([]listed, error) {
	if m.isIndex() {
		var index imgspec.Index
		if err := json.Unmarshal(m.raw, &index); err != nil {
			return nil, errdefs.New(errdefs.ErrBroken, "%s: its index: %v", m.from, err)
		}
		var list []listed
		for _, d := range index.Manifests {
			if err := d.Digest.Validate(); err != nil {
				return nil, errdefs.New(errdefs.ErrBroken, "%s: its index: %v", m.from, err)
			}
			list = append(list, listed{d, m.from})
		}
		return list, nil
	}
	desc := m.desc
	if config, err := m.config(ctx, nil); err == nil && config.Architecture != "" {
		desc.Platform = &config.Platform
	}
	return []listed{{desc, m.from}}, nil
}

// ImagetoolsCreate makes an index of images in registries, and writes it there. It returns the index, or with a single
// source and without PreferIndex a copy of what that is.
func (s *Session) ImagetoolsCreate(ctx context.Context, sources []string, opts option.ImagetoolsCreate) ([]byte, error) {
	tags, err := tagsOf(opts)
	if err == nil {
		sources, err = allSources(sources, tags, opts)
	}
	if err != nil {
		return nil, err
	}
	var all []listed
	var only *remoteManifest
	for _, source := range sources {
		m, known, err := s.readSource(ctx, source, tags, opts.Options)
		if err != nil {
			return nil, err
		}
		defer m.src.Close()
		list, err := m.entries(ctx)
		if err != nil {
			return nil, err
		}
		if known != nil && known.Platform != nil && len(list) == 1 {
			list[0].desc.Platform, list[0].desc.Annotations = known.Platform, known.Annotations
		}
		all, only = joinEntries(all, list), m
	}
	raw, mime := only.raw, only.desc.MediaType
	if len(sources) > 1 || len(opts.Annotations) > 0 || opts.PreferIndex && !only.isIndex() {
		if raw, err = makeIndex(all, opts.Annotations); err != nil {
			return nil, err
		}
		mime = imgspec.MediaTypeImageIndex
	} else if !only.isIndex() {
		all = []listed{{only.desc, only.from}}
	}
	if opts.DryRun {
		return raw, nil
	}
	for _, tag := range tags {
		if err := s.publish(ctx, tag, raw, mime, all, opts.Options); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

func tagsOf(opts option.ImagetoolsCreate) ([]reference.Named, error) {
	var tags []reference.Named
	for _, tag := range opts.Tags {
		named, err := Normalize(tag)
		if err != nil {
			return nil, err
		}
		tags = append(tags, named)
	}
	if len(tags) == 0 && (!opts.DryRun || opts.Append) {
		return nil, errdefs.New(errdefs.ErrInvalid, "where to? Name the new image with --tag HOST/NAME:TAG")
	}
	return tags, nil
}

// allSources are those of the command line and of files, after the image that is added to.
func allSources(sources []string, tags []reference.Named, opts option.ImagetoolsCreate) ([]string, error) {
	var all []string
	if opts.Append {
		all = append(all, tags[0].String())
	}
	for _, file := range opts.Files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, errdefs.New(errdefs.ErrInvalid, "--file: %v", err)
		}
		all = append(all, strings.TrimSpace(string(data)))
	}
	if all = append(all, sources...); len(all) == 0 {
		return nil, errdefs.New(errdefs.ErrInvalid, "no sources: name images, or give --file")
	}
	return all, nil
}

// readSource reads what a source is: a name, or a digest or a descriptor as JSON in the repository of the first tag.
func (s *Session) readSource(ctx context.Context, text string, tags []reference.Named, opts access.Options) (*remoteManifest, *imgspec.Descriptor, error) {
	var known *imgspec.Descriptor
	sum, err := digest.Parse(text)
	if strings.HasPrefix(text, "{") {
		known = &imgspec.Descriptor{}
		if err := json.Unmarshal([]byte(text), known); err != nil {
			return nil, nil, errdefs.New(errdefs.ErrInvalid, "source: no descriptor in JSON: %v", err)
		}
		sum, err = known.Digest, known.Digest.Validate()
		if err != nil {
			return nil, nil, errdefs.New(errdefs.ErrInvalid, "source: the descriptor's digest: %v", err)
		}
	}
	if err != nil {
		named, err := Normalize(text)
		if err != nil {
			return nil, nil, err
		}
		m, err := s.fetchManifest(ctx, named, opts)
		return m, nil, err
	}
	if len(tags) == 0 {
		return nil, nil, errdefs.New(errdefs.ErrInvalid, "source %s: in which repository? Name it with --tag", sum)
	}
	named, err := reference.WithDigest(reference.TrimNamed(tags[0]), sum)
	if err != nil {
		return nil, nil, err
	}
	m, err := s.fetchManifest(ctx, named, opts)
	return m, known, err
}

// joinEntries adds entries that are not there yet.
func joinEntries(all, more []listed) []listed {
	for _, e := range more {
		if !slices.ContainsFunc(all, func(have listed) bool { return have.desc.Digest == e.desc.Digest }) {
			all = append(all, e)
		}
	}
	return all
}

// makeIndex is an index of manifests. An annotation is KEY=VALUE, of the index, also with index: before it.
func makeIndex(all []listed, annotations []string) ([]byte, error) {
	index := imgspec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: imgspec.MediaTypeImageIndex}
	for _, e := range all {
		index.Manifests = append(index.Manifests, e.desc)
	}
	for _, text := range annotations {
		key, value, ok := strings.Cut(strings.TrimPrefix(text, "index:"), "=")
		if !ok || key == "" || strings.HasPrefix(key, "manifest") && strings.Contains(key, ":") {
			return nil, errdefs.New(errdefs.ErrInvalid, "invalid --annotation %q: want [index:]KEY=VALUE", text)
		}
		if index.Annotations == nil {
			index.Annotations = map[string]string{}
		}
		index.Annotations[key] = value
	}
	return json.MarshalIndent(index, "", "  ")
}

// publish brings the manifests of an index to where it goes, then the index itself.
func (s *Session) publish(ctx context.Context, tag reference.Named, raw []byte, mime string, all []listed, opts access.Options) error {
	sys, err := s.registryContext(tag.String(), opts, option.Platform{})
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := s.copyEntry(ctx, e, tag, sys, opts); err != nil {
			return err
		}
	}
	ref, err := docker.NewReference(tag)
	if err != nil {
		return err
	}
	dst, err := ref.NewImageDestination(ctx, sys)
	if err != nil {
		return explainRegistry("push", err, tag)
	}
	defer dst.Close()
	if err := dst.PutManifest(ctx, raw, nil); err != nil {
		return explainRegistry("push", err, tag)
	}
	s.note("push", "", tag.String())
	return nil
}

// copyEntry copies an image from one repository to another; the layers that a registry has are not sent again.
func (s *Session) copyEntry(ctx context.Context, e listed, tag reference.Named, sys *types.SystemContext, opts access.Options) error {
	if e.from.Name() == tag.Name() {
		return nil
	}
	var refs [2]types.ImageReference
	for i, repo := range []reference.Named{e.from, tag} {
		named, err := reference.WithDigest(reference.TrimNamed(repo), e.desc.Digest)
		if err != nil {
			return err
		}
		if refs[i], err = docker.NewReference(named); err != nil {
			return err
		}
	}
	from, err := s.registryContext(e.from.String(), opts, option.Platform{})
	if err != nil {
		return err
	}
	t := transfer{src: refs[0], dst: refs[1], quiet: true, retry: option.Retry{Max: 3}}
	t.options.SourceCtx, t.options.DestinationCtx, t.options.PreserveDigests = from, sys, true
	if _, err := s.run(ctx, t); err != nil {
		return explainRegistry(fmt.Sprintf("copy %s to", e.from), err, tag)
	}
	return nil
}

// RemoteImage is what imagetools inspect shows.
type RemoteImage struct {
	Name     string
	Manifest RemoteIndex
	Image    any    // *imgspec.Image, or by platform where there are several
	Raw      []byte `json:"-"`
}

// RemoteIndex is an index, or the descriptor of a manifest.
type RemoteIndex struct {
	SchemaVersion int                  `json:"schemaVersion,omitempty"`
	MediaType     string               `json:"mediaType"`
	Digest        digest.Digest        `json:"digest"`
	Size          int64                `json:"size"`
	Manifests     []imgspec.Descriptor `json:"manifests,omitempty"`
	Annotations   map[string]string    `json:"annotations,omitempty"`
}

// ImagetoolsInspect asks a registry for an image; withConfig for the configurations, too.
func (s *Session) ImagetoolsInspect(ctx context.Context, name string, withConfig bool, opts access.Options) (*RemoteImage, error) {
	named, err := Normalize(name)
	if err != nil {
		return nil, err
	}
	m, err := s.fetchManifest(ctx, named, opts)
	if err != nil {
		return nil, err
	}
	defer m.src.Close()
	r := &RemoteImage{Name: named.String(), Raw: m.raw}
	if m.isIndex() {
		if err := json.Unmarshal(m.raw, &r.Manifest); err != nil {
			return nil, errdefs.New(errdefs.ErrBroken, "%s: its index: %v", named, err)
		}
	}
	r.Manifest.MediaType, r.Manifest.Digest, r.Manifest.Size = m.desc.MediaType, m.desc.Digest, m.desc.Size
	if !withConfig {
		return r, nil
	}
	if !m.isIndex() {
		if r.Image, err = m.config(ctx, nil); err != nil {
			return nil, explainRegistry("inspect", err, named)
		}
		return r, nil
	}
	configs := map[string]*imgspec.Image{}
	for _, d := range r.Manifest.Manifests {
		if d.Platform == nil || d.Platform.OS == "unknown" {
			continue
		}
		config, err := m.config(ctx, &d.Digest)
		if err != nil {
			return nil, explainRegistry("inspect", err, named)
		}
		configs[strings.TrimSuffix(d.Platform.OS+"/"+d.Platform.Architecture+"/"+d.Platform.Variant, "/")] = config
	}
	r.Image = configs
	return r, nil
}
