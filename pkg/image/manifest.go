package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containers/common/libimage/manifests"
	"github.com/containers/image/v5/copy"
	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/manifest"
	istorage "github.com/containers/image/v5/storage"
	"github.com/containers/image/v5/types"
	"github.com/containers/storage"
	"github.com/opencontainers/go-digest"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// A manifest list in the store is an image without layers, in the form that containers/common gives it, which Podman and
// Buildah read as well: the list as its manifest, and beside it where each entry's image is to be found.

// ManifestCreate makes a manifest list of images of the store or of registries.
func (s *Session) ManifestCreate(ctx context.Context, name string, images []string, opts option.ManifestCreate) (string, error) {
	full, err := normalizeTag(name)
	if err != nil {
		return "", err
	}
	if _, err := s.store.Image(full.String()); err == nil {
		if !opts.Amend {
			return "", errdefs.New(errdefs.ErrInUse, "%s is there already (add to it with --amend, or remove it: wherry manifest rm %s)", name, name)
		}
		return s.changeList(ctx, name, func(l manifests.List) error { return s.fillList(ctx, l, images, opts) })
	}
	l := manifests.Create()
	if err := s.fillList(ctx, l, images, opts); err != nil {
		return "", err
	}
	var id string
	err = s.names.WithImagesShared(ctx, func() error {
		id, err = l.SaveToImage(s.store, "", []string{full.String()}, imgspec.MediaTypeImageIndex)
		return err
	})
	if err != nil {
		return "", explainLocal("make the manifest list "+name, err)
	}
	s.note("create", id, full.String())
	return id, nil
}

func (s *Session) fillList(ctx context.Context, l manifests.List, images []string, opts option.ManifestCreate) error {
	for _, image := range images {
		if _, err := s.addToList(ctx, l, image, opts.Options, option.Instance{}, opts.All); err != nil {
			return err
		}
	}
	return annotateList(l, nil, opts.Annotations)
}

// annotateList sets annotations, of the list itself where there is no instance.
func annotateList(l manifests.List, instance *digest.Digest, annotations []string) error {
	if len(annotations) == 0 {
		return nil
	}
	set := map[string]string{}
	for _, text := range annotations {
		key, value, found := strings.Cut(text, "=")
		if !found || key == "" {
			return errdefs.New(errdefs.ErrInvalid, "invalid --annotation %q: want KEY=VALUE", text)
		}
		set[key] = value
	}
	return l.SetAnnotations(instance, set)
}

// listID finds a manifest list in the store by name or id.
func (s *Session) listID(name string) (string, error) {
	candidates := []string{strings.TrimPrefix(name, "sha256:")}
	if full, err := normalizeTag(name); err == nil {
		candidates = append([]string{full.String()}, candidates...)
	}
	for _, candidate := range candidates {
		img, err := s.store.Image(candidate)
		if errors.Is(err, storage.ErrImageUnknown) {
			continue
		} else if err != nil {
			return "", explainLocal("find "+name, err)
		}
		if _, _, err := manifests.LoadFromImage(s.store, img.ID); err != nil {
			return "", errdefs.New(errdefs.ErrInvalid, "%s is an image, not a manifest list", name)
		}
		return img.ID, nil
	}
	return "", errdefs.New(errdefs.ErrNotFound, "no manifest list %q (wherry manifest create %s makes one)", name, name)
}

// changeList loads a list, lets fn change it and saves it, while no other process does so.
func (s *Session) changeList(ctx context.Context, name string, fn func(manifests.List) error) (string, error) {
	id, err := s.listID(name)
	if err != nil {
		return "", err
	}
	lock, err := manifests.LockerForImage(s.store, id)
	if err != nil {
		return "", explainLocal("lock "+name, err)
	}
	lock.Lock()
	defer lock.Unlock()
	_, l, err := manifests.LoadFromImage(s.store, id)
	if err != nil {
		return "", explainLocal("read "+name, err)
	}
	if err := fn(l); err != nil {
		return "", err
	}
	err = s.names.WithImagesShared(ctx, func() error {
		_, err := l.SaveToImage(s.store, id, nil, imgspec.MediaTypeImageIndex)
		return err
	})
	return id, explainLocal("save "+name, err)
}

// addToList adds an image, or all images of a list, and states what is known better than the image says.
func (s *Session) addToList(ctx context.Context, l manifests.List, image string, access access.Options, what option.Instance, all bool) (digest.Digest, error) {
	ref, sys, err := s.manifestSource(ctx, image, access, what.Platform)
	if err != nil {
		return "", err
	}
	added, err := l.Add(ctx, sys, ref, all)
	if err != nil {
		if named := ref.DockerReference(); named != nil && ref.Transport().Name() == docker.Transport.Name() {
			return "", explainRegistry("add", err, named)
		}
		return "", explainLocal("add "+image, err)
	}
	if all {
		return added, nil
	}
	return added, stateInstance(l, added, what)
}

// manifestSource is where an image is: at a transport that it names, in the store, else in its registry.
func (s *Session) manifestSource(ctx context.Context, image string, opts access.Options, platform option.Platform) (types.ImageReference, *types.SystemContext, error) {
	sys, err := s.registryContext(strings.TrimPrefix(image, registryPrefix), opts, platform)
	if err != nil {
		return nil, nil, err
	}
	if ref, err := parseTransport(image); err != nil || ref != nil {
		return ref, sys, err
	}
	if !strings.HasPrefix(image, registryPrefix) {
		if id, err := s.listID(image); err == nil {
			ref, err := s.storageRef(id)
			return ref, sys, err
		}
		if img, err := s.lookup(ctx, image); err == nil {
			ref, err := s.storageRef(img.ID)
			return ref, sys, err
		}
	}
	named, err := normalizeTag(strings.TrimPrefix(image, registryPrefix))
	if err != nil {
		return nil, nil, err
	}
	ref, err := docker.NewReference(named)
	return ref, sys, err
}

// stateInstance sets what the user said of an entry.
func stateInstance(l manifests.List, d digest.Digest, what option.Instance) error {
	for _, set := range []struct {
		given bool
		do    func() error
	}{
		{what.OS != "", func() error { return l.SetOS(d, what.OS) }},
		{what.Arch != "", func() error { return l.SetArchitecture(d, what.Arch) }},
		{what.Variant != "", func() error { return l.SetVariant(d, what.Variant) }},
		{what.OSVersion != "", func() error { return l.SetOSVersion(d, what.OSVersion) }},
		{len(what.Features) > 0, func() error { return l.SetFeatures(d, what.Features) }},
		{len(what.OSFeatures) > 0, func() error { return l.SetOSFeatures(d, what.OSFeatures) }},
	} {
		if set.given {
			if err := set.do(); err != nil {
				return err
			}
		}
	}
	return annotateList(l, &d, what.Annotations)
}

// ManifestAdd adds images, or files as an artifact, to a list, and returns its id and what was added last.
func (s *Session) ManifestAdd(ctx context.Context, name string, images []string, opts option.ManifestAdd) (id string, added digest.Digest, err error) {
	id, err = s.changeList(ctx, name, func(l manifests.List) error {
		if opts.Artifact.Wanted {
			added, err = s.addArtifact(ctx, l, images, opts)
			return err
		}
		for _, image := range images {
			if added, err = s.addToList(ctx, l, image, opts.Options, opts.Instance, opts.All); err != nil {
				return err
			}
		}
		return nil
	})
	return id, added, err
}

func (s *Session) addArtifact(ctx context.Context, l manifests.List, files []string, opts option.ManifestAdd) (digest.Digest, error) {
	a := opts.Artifact
	add := manifests.AddArtifactOptions{ExcludeTitles: a.ExcludeTitles, ConfigFile: a.Config,
		Platform: imgspec.Platform{OS: opts.OS, Architecture: opts.Arch, Variant: opts.Variant, OSVersion: opts.OSVersion, OSFeatures: opts.OSFeatures}}
	if a.Type != "" {
		add.ManifestArtifactType = &a.Type
	}
	if a.LayerType != "" {
		add.LayerMediaType = &a.LayerType
	}
	if a.Config != "" || a.ConfigType != "" {
		config := imgspec.Descriptor{MediaType: a.ConfigType, Digest: digest.Canonical.FromBytes(nil)}
		if a.Config != "" {
			data, err := os.ReadFile(a.Config)
			if err != nil {
				return "", errdefs.New(errdefs.ErrInvalid, "--artifact-config: %v", err)
			}
			config.Size, config.Digest = int64(len(data)), digest.Canonical.FromBytes(data)
		}
		add.ConfigDescriptor = &config
	}
	sys := s.sys
	if a.Subject != "" {
		ref, subjectSys, err := s.manifestSource(ctx, a.Subject, opts.Options, option.Platform{})
		if err != nil {
			return "", err
		}
		add.SubjectReference, sys = ref, *subjectSys
	}
	added, err := l.AddArtifact(ctx, &sys, add, files...)
	if err != nil {
		return "", explainLocal("add "+strings.Join(files, " "), err)
	}
	return added, annotateList(l, &added, opts.Annotations)
}

// instanceOf finds an entry by digest, by the name of its image, or by a file of an artifact.
func (s *Session) instanceOf(ctx context.Context, l manifests.List, text string) (digest.Digest, error) {
	d, err := digest.Parse(text)
	if _, suffix, found := strings.Cut(text, "@"); err != nil && found {
		d, err = digest.Parse(suffix)
	}
	if err != nil {
		if byFile, fileErr := l.InstanceByFile(text); fileErr == nil {
			d, err = byFile, nil
		} else if ref, sys, refErr := s.manifestSource(ctx, text, access.Options{}, option.Platform{}); refErr == nil {
			d, err = manifestDigest(ctx, ref, sys)
		}
	}
	if err == nil {
		for _, known := range l.Instances() {
			if known == d {
				return d, nil
			}
		}
	}
	return "", errdefs.New(errdefs.ErrNotFound, "the list has no entry %q (wherry manifest inspect shows them by digest)", text)
}

func manifestDigest(ctx context.Context, ref types.ImageReference, sys *types.SystemContext) (digest.Digest, error) {
	src, err := ref.NewImageSource(ctx, sys)
	if err != nil {
		return "", err
	}
	defer src.Close()
	data, _, err := src.GetManifest(ctx, nil)
	if err != nil {
		return "", err
	}
	return manifest.Digest(data)
}

// ManifestAnnotate changes what a list says of an entry, or of itself.
func (s *Session) ManifestAnnotate(ctx context.Context, name, instance string, opts option.ManifestAnnotate) (string, error) {
	return s.changeList(ctx, name, func(l manifests.List) error {
		if opts.Subject != "" {
			subject, err := s.subject(ctx, opts.Subject)
			if err != nil {
				return err
			}
			if err := l.SetSubject(subject); err != nil {
				return err
			}
		}
		if opts.Index || instance == "" {
			return annotateList(l, nil, opts.Annotations)
		}
		d, err := s.instanceOf(ctx, l, instance)
		if err != nil {
			return err
		}
		return stateInstance(l, d, opts.Instance)
	})
}

func (s *Session) subject(ctx context.Context, image string) (*imgspec.Descriptor, error) {
	ref, sys, err := s.manifestSource(ctx, image, access.Options{}, option.Platform{})
	if err != nil {
		return nil, err
	}
	src, err := ref.NewImageSource(ctx, sys)
	if err != nil {
		return nil, explainLocal("read "+image, err)
	}
	defer src.Close()
	data, kind, err := src.GetManifest(ctx, nil)
	if err != nil {
		return nil, explainLocal("read "+image, err)
	}
	d, err := manifest.Digest(data)
	return &imgspec.Descriptor{MediaType: kind, Digest: d, Size: int64(len(data))}, err
}

// ManifestTake takes an entry out of a list.
func (s *Session) ManifestTake(ctx context.Context, name, instance string) (id string, taken digest.Digest, err error) {
	id, err = s.changeList(ctx, name, func(l manifests.List) error {
		if taken, err = s.instanceOf(ctx, l, instance); err != nil {
			return err
		}
		return l.Remove(taken)
	})
	return id, taken, err
}

// ManifestRemove removes lists; their images stay.
func (s *Session) ManifestRemove(ctx context.Context, names []string, ignore bool) (removed []string, err error) {
	for _, name := range names {
		err := s.names.WithImagesExclusive(ctx, func() error {
			id, err := s.listID(name)
			if err != nil {
				return err
			}
			if _, err := s.store.DeleteImage(id, true); err != nil {
				return explainLocal("remove "+name, err)
			}
			removed = append(removed, id)
			s.note("delete", id, name)
			return nil
		})
		if err != nil && !(ignore && errors.Is(err, errdefs.ErrNotFound)) {
			return removed, err
		}
	}
	return removed, nil
}

// ManifestExists tells whether a list is in the store.
func (s *Session) ManifestExists(name string) (bool, error) {
	_, err := s.listID(name)
	if errors.Is(err, errdefs.ErrNotFound) || errors.Is(err, errdefs.ErrInvalid) {
		return false, nil
	}
	return err == nil, err
}

// ManifestInspect is the list, or the manifest of an image, of the store or else of its registry, as indented JSON.
func (s *Session) ManifestInspect(ctx context.Context, name string, opts access.Options) ([]byte, error) {
	ref, sys, err := s.manifestSource(ctx, name, opts, option.Platform{})
	if err != nil {
		return nil, err
	}
	src, err := ref.NewImageSource(ctx, sys)
	if err == nil {
		defer src.Close()
		var data []byte
		if data, _, err = src.GetManifest(ctx, nil); err == nil {
			var out bytes.Buffer
			err = json.Indent(&out, data, "", "    ")
			return out.Bytes(), err
		}
	}
	if named := ref.DockerReference(); named != nil && ref.Transport().Name() == docker.Transport.Name() {
		return nil, explainRegistry("inspect", err, named)
	}
	return nil, explainLocal("inspect "+name, err)
}

// ManifestPush sends a list, with opts.All the images in it as well, to a registry or another transport.
func (s *Session) ManifestPush(ctx context.Context, name, destination string, opts option.ManifestPush) (digest.Digest, error) {
	id, err := s.listID(name)
	if err != nil {
		return "", err
	}
	_, l, err := manifests.LoadFromImage(s.store, id)
	if err != nil {
		return "", explainLocal("read "+name, err)
	}
	if destination == "" {
		destination = name
	}
	t, err := s.pushListTransfer(destination, opts)
	if err != nil {
		return "", err
	}
	push := manifests.PushOptions{Store: s.store, SystemContext: t.options.DestinationCtx, ImageListSelection: copy.CopySpecificImages,
		RemoveSignatures: opts.RemoveSignatures, ManifestType: t.options.ForceManifestMIMEType, AddCompression: opts.AddCompression,
		ForceCompressionFormat: opts.ForceCompression}
	if opts.All {
		push.ImageListSelection = copy.CopyAllImages
	}
	if !opts.Quiet {
		push.ReportWriter = s.cfg.Err
	}
	tries := uint(max(opts.Retry.Max, 0))
	push.MaxRetries = &tries
	if opts.Delay > 0 {
		push.RetryDelay = &opts.Delay
	}
	_, pushed, err := l.Push(ctx, t.dst, push)
	if err != nil {
		if named := t.dst.DockerReference(); named != nil && t.dst.Transport().Name() == docker.Transport.Name() {
			return "", explainRegistry("push", err, named)
		}
		return "", explainLocal("push to "+destination, err)
	}
	if opts.DigestFile != "" {
		if err := os.WriteFile(opts.DigestFile, []byte(pushed.String()), 0o644); err != nil {
			return "", fmt.Errorf("write --digestfile: %w", err)
		}
	}
	s.note("push", id, destination)
	if opts.Remove {
		_, err = s.ManifestRemove(ctx, []string{id}, false)
	}
	return pushed, err
}

func (s *Session) pushListTransfer(destination string, opts option.ManifestPush) (transfer, error) {
	var t transfer
	var err error
	if t.dst, err = pushTarget(destination); err != nil {
		return t, err
	}
	if t.dst.Transport().Name() == istorage.Transport.Name() {
		return t, errdefs.New(errdefs.ErrInvalid, "a manifest list is in the store already (wherry tag gives it another name)")
	}
	sys, err := s.pushContext(destination, opts.Push)
	if err != nil {
		return t, err
	}
	t.options.DestinationCtx = sys
	t.options.ForceManifestMIMEType, err = listType(opts.Format)
	return t, err
}

func listType(format string) (string, error) {
	switch format {
	case "":
		return "", nil
	case "oci":
		return imgspec.MediaTypeImageIndex, nil
	case "v2s2", "docker":
		return manifest.DockerV2ListMediaType, nil
	}
	return "", errdefs.New(errdefs.ErrInvalid, "invalid --format %q: want oci or v2s2", format)
}
