package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/manifest"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry/access"
	"github.com/wherry-containers/wherry/pkg/store"
)

// registryImage is an image of a registry, or one of the store that is called as if it came from there.
type registryImage struct {
	name     reference.Named
	platform option.Platform
	pull     bool // ask the registry even if the store has an image of that name
	limit    int  // how many layers, from the lowest; 0: all
	checksum digest.Digest
}

func newImage(name string, attrs map[string]string, p *pb.Platform) (Source, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "image name %q: %v", name, err)
	}
	i := &registryImage{name: reference.TagNameOnly(named), platform: platformOf(p)}
	for key, value := range attrs {
		if err := i.set(key, value); err != nil {
			return nil, fmt.Errorf("source docker-image://%s: attribute %s: %w", name, key, err)
		}
	}
	return i, nil
}

func (i *registryImage) set(key, value string) (err error) {
	switch key {
	case pb.AttrImageResolveMode:
		i.pull, err = asksRegistry(value)
	case pb.AttrImageLayerLimit:
		i.limit, err = layerLimit(value)
	case pb.AttrImageChecksum:
		i.checksum, err = digest.Parse(value)
	}
	return err
}

func asksRegistry(mode string) (bool, error) {
	switch mode {
	case "", pb.AttrImageResolveModeDefault, pb.AttrImageResolveModePreferLocal:
		return false, nil
	case pb.AttrImageResolveModeForcePull:
		return true, nil
	}
	return false, errdefs.New(errdefs.ErrInvalid, "unknown resolve mode %q", mode)
}

func layerLimit(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err == nil && n <= 0 {
		err = errdefs.New(errdefs.ErrInvalid, "%q is no number of layers", value)
	}
	return n, err
}

func (i *registryImage) Name() string { return "docker-image://" + i.name.String() }

// Key is made of the image's layers: what else an image is does not change what is built on it here.
func (i *registryImage) Key(ctx context.Context, env *Env) (digest.Digest, string, error) {
	found, err := i.find(ctx, env)
	if err != nil {
		return "", "", err
	}
	key, err := layersKey(found.Config, i.limit)
	return key, string(found.Digest), err
}

// Fetch pulls the image unless the store has it.
func (i *registryImage) Fetch(ctx context.Context, env *Env) (*tree.Tree, error) {
	found, err := i.find(ctx, env)
	if err != nil {
		return nil, err
	}
	img := found.stored
	if img == nil {
		if img, err = i.download(ctx, env, found); err != nil {
			return nil, err
		}
	}
	return imageTree(img, i.limit, string(found.Digest)), nil
}

// imageTree is the tree of the lowest layers of an image, or of all.
func imageTree(img *store.Image, limit int, pin string) *tree.Tree {
	layers := slices.Clone(img.Layers)
	slices.Reverse(layers)
	if limit > 0 && limit < len(layers) {
		layers = layers[:limit]
	}
	return &tree.Tree{Layers: layers, Pin: pin}
}

// layersKey names the layers that a configuration lists.
func layersKey(config []byte, limit int) (digest.Digest, error) {
	var c struct {
		RootFS struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return "", errdefs.New(errdefs.ErrBroken, "the image's configuration: %v", err)
	}
	ids := c.RootFS.DiffIDs
	for _, id := range ids {
		if err := id.Validate(); err != nil {
			return "", errdefs.New(errdefs.ErrBroken, "the image's configuration: layer %q: %v", string(id), err)
		}
	}
	if limit > 0 && limit < len(ids) {
		ids = ids[:limit]
	}
	return digest.FromString("image " + string(identity.ChainID(ids))), nil
}

// foundImage is what a name stands for.
type foundImage struct {
	Digest   digest.Digest // of an index, where there is one
	Config   []byte
	stored   *store.Image    // nil: it is to be pulled
	remote   reference.Named // from where
	instance digest.Digest   // which image of the index
	rights   access.Options  // how the registry was asked
}

// find looks into the store, then asks the registry.
func (i *registryImage) find(ctx context.Context, env *Env) (*foundImage, error) {
	if !i.pull || isDigested(i.name) || env.NeverPull {
		if found, err := i.stored(ctx, env, i.name); found != nil || err != nil {
			return i.checked(found, err)
		}
	}
	if env.NeverPull {
		return nil, errdefs.New(errdefs.ErrNotFound, "image %s is not in the store, and no registry is asked (--pull=never)", reference.FamiliarString(i.name))
	}
	return i.checked(i.resolve(ctx, env))
}

func isDigested(named reference.Named) bool {
	_, ok := named.(reference.Digested)
	return ok
}

// checked compares the digest with the one that was demanded.
func (i *registryImage) checked(found *foundImage, err error) (*foundImage, error) {
	if err == nil && i.checksum != "" && found.Digest != i.checksum {
		return nil, errdefs.New(errdefs.ErrInvalid, "image %s is %s, not %s as demanded", reference.FamiliarString(i.name), found.Digest, i.checksum)
	}
	return found, err
}

// stored finds the image in the store; nil: it is not there for the platform.
func (i *registryImage) stored(ctx context.Context, env *Env, name reference.Named) (*foundImage, error) {
	images := store.Open(env.Dirs)
	img, err := images.Lookup(ctx, name.String())
	if errors.Is(err, errdefs.ErrNotFound) {
		img, err = images.Lookup(ctx, reference.FamiliarString(name)) // perhaps one that Podman built, as localhost/NAME
	}
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	index, list := indexOf(images, img)
	if !i.fits(img) {
		if img, err = i.sibling(ctx, images, name, index, list); img == nil || err != nil {
			return nil, err
		}
	}
	config, err := images.ConfigBlob(img)
	if err != nil {
		return nil, err
	}
	found := &foundImage{Digest: digest.Digest(img.Digest), Config: config, stored: img}
	if index != "" {
		found.Digest = index
	}
	if d, ok := name.(reference.Digested); ok {
		found.Digest = d.Digest()
	}
	return found, nil
}

func (i *registryImage) fits(img *store.Image) bool {
	c := &img.Config
	want := i.platform.Normal()
	if c.OS == "" && c.Architecture == "" {
		return true // its maker did not say what it is for
	}
	return want.Matches(c.OS, c.Architecture, c.Variant)
}

// indexOf finds the index that an image was chosen from, if the store has it.
func indexOf(images *store.Store, img *store.Image) (digest.Digest, manifest.List) {
	for _, d := range img.Digests {
		raw, err := images.ListBlob(img, d)
		if err != nil {
			continue
		}
		mime := manifest.GuessMIMEType(raw)
		if !manifest.MIMETypeIsMultiImage(mime) {
			continue
		}
		if list, err := manifest.ListFromBlob(raw, mime); err == nil {
			return digest.Digest(d), list
		}
	}
	return "", nil
}

// sibling finds the image for the platform that an index names and that was pulled before.
func (i *registryImage) sibling(ctx context.Context, images *store.Store, name reference.Named, index digest.Digest, list manifest.List) (*store.Image, error) {
	if index == "" {
		return nil, nil
	}
	sys := platformContext(i.platform)
	instance, err := list.ChooseInstance(&sys)
	if err != nil {
		return nil, nil // the registry may know more, and explains what is missing
	}
	byDigest, err := reference.WithDigest(reference.TrimNamed(name), instance)
	if err != nil {
		return nil, err
	}
	img, err := images.Lookup(ctx, byDigest.String())
	if errors.Is(err, errdefs.ErrNotFound) || err == nil && !i.fits(img) {
		return nil, nil
	}
	return img, err
}

// resolve asks the registry. An image that the store turns out to have, by its digest, is not asked for more.
func (i *registryImage) resolve(ctx context.Context, env *Env) (*foundImage, error) {
	end := showStep(ctx, "resolve "+i.name.String())
	rights, err := env.rights(ctx, i.name)
	if err != nil {
		return nil, err
	}
	var here *foundImage
	known := func(sum digest.Digest) bool {
		byDigest, err := reference.WithDigest(reference.TrimNamed(i.name), sum)
		if err == nil {
			here, err = i.stored(ctx, env, byDigest)
		}
		return err == nil && here != nil
	}
	r, err := image.Resolve(ctx, env.Image, i.name.String(), i.platform, rights, env.again(0), known)
	end(err)
	if err != nil {
		return nil, err
	}
	if r.Manifest == "" {
		return here, nil
	}
	from, err := reference.WithDigest(reference.TrimNamed(r.Name), r.Manifest)
	if err != nil {
		return nil, err
	}
	if found, err := i.stored(ctx, env, from); found != nil || err != nil {
		if found != nil {
			found.Digest = r.Digest
		}
		return found, err
	}
	return &foundImage{Digest: r.Digest, Config: r.Config, remote: r.Name, instance: r.Manifest, rights: rights}, nil
}

// download pulls what resolve found.
func (i *registryImage) download(ctx context.Context, env *Env, found *foundImage) (*store.Image, error) {
	cfg := env.Image
	layers := showLayers(ctx)
	defer layers.end()
	cfg.Watch = image.Watch{Blob: layers.blob}
	session, err := image.Open(cfg)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	from, as, err := i.names(found)
	if err != nil {
		return nil, err
	}
	id, err := session.Fetch(ctx, from, as, option.Pull{Options: found.rights, Platform: i.platform, Quiet: true, Retry: env.again(pullRetries)})
	if err != nil {
		return nil, err
	}
	return store.Open(env.Dirs).Lookup(ctx, "sha256:"+id)
}

// names are what to pull and how to call it. An image for this machine's platform gets its tag, as a pull would give it;
// one for another platform must not take the tag from its sibling.
func (i *registryImage) names(found *foundImage) (from, as reference.Named, err error) {
	repo := reference.TrimNamed(found.remote)
	sum := found.Digest
	if !i.native() {
		sum = found.instance
	}
	if from, err = reference.WithDigest(repo, sum); err != nil {
		return nil, nil, err
	}
	if tag, ok := i.name.(reference.Tagged); ok && i.native() {
		as, err = reference.WithTag(repo, tag.Tag())
		return from, as, err
	}
	return from, from, nil
}

// pullRetries is how often a pull is tried again after a fault of the network, where nobody says how often.
const pullRetries = 3

// again is how often something is tried again: as the user wishes, else so many times.
func (e *Env) again(times int) option.Retry {
	if e.OwnLogins && e.Retry != nil {
		return *e.Retry
	}
	return option.Retry{Max: times}
}

func (i *registryImage) native() bool {
	host := hostPlatform()
	return i.platform.Matches(host.OS, host.Arch, host.Variant)
}
