package image

import (
	"context"

	"github.com/containers/image/v5/copy"
	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/image"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/oci/layout"
	istorage "github.com/containers/image/v5/storage"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// Resolved is what a name stands for in a registry now.
type Resolved struct {
	Name     reference.Named // the name that was found, in full, with the tag or digest that was asked for
	Digest   digest.Digest   // of what the name points to, often an index
	Manifest digest.Digest   // of the image for the platform; the same as Digest where there is no index
	Config   []byte          // the image's configuration
}

// Resolve asks the registry what a name stands for on a platform, without pulling it. known, if given, is asked first
// whether the digest of the name says enough: then Manifest and Config stay empty and nothing more is downloaded.
func Resolve(ctx context.Context, cfg Config, name string, platform option.Platform, opts access.Options, again option.Retry, known func(digest.Digest) bool) (*Resolved, error) {
	s := &Session{cfg: cfg, sys: SystemContext(cfg)}
	sys, err := s.registryContext(name, opts, platform)
	if err != nil {
		return nil, err
	}
	list, err := candidates(sys, name)
	if err != nil {
		return nil, joinLines(err)
	}
	var faults []error
	for _, c := range list {
		var r *Resolved
		err := s.retried(ctx, again, func() (err error) {
			r, err = s.resolve(ctx, sys, c.name, platform, known)
			return err
		})
		if err == nil {
			return r, nil
		}
		faults = append(faults, explainRegistry("resolve", err, c.name))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, joinFaults(faults)
}

func (s *Session) resolve(ctx context.Context, sys *types.SystemContext, name reference.Named, platform option.Platform, known func(digest.Digest) bool) (*Resolved, error) {
	ref, err := docker.NewReference(name)
	if err != nil {
		return nil, err
	}
	if known != nil {
		if sum, err := docker.GetDigest(ctx, sys, ref); err == nil && known(sum) {
			return &Resolved{Name: name, Digest: sum}, nil
		}
	}
	src, err := ref.NewImageSource(ctx, sys)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return s.resolveSource(ctx, sys, src, name, platform)
}

// resolveSource reads manifest and configuration for the platform of sys.
func (s *Session) resolveSource(ctx context.Context, sys *types.SystemContext, src types.ImageSource, name reference.Named, platform option.Platform) (*Resolved, error) {
	raw, mime, err := src.GetManifest(ctx, nil)
	if err != nil {
		return nil, err
	}
	r := &Resolved{Name: name}
	if r.Digest, err = manifest.Digest(raw); err != nil {
		return nil, err
	}
	r.Manifest = r.Digest
	var instance *digest.Digest
	if manifest.MIMETypeIsMultiImage(mime) {
		list, err := manifest.ListFromBlob(raw, mime)
		if err != nil {
			return nil, err
		}
		if r.Manifest, err = list.ChooseInstance(sys); err != nil {
			return nil, s.namePlatforms(ctx, sys, src.Reference(), err)
		}
		instance = &r.Manifest
	}
	img, err := image.FromUnparsedImage(ctx, sys, image.UnparsedInstance(src, instance))
	if err != nil {
		return nil, err
	}
	config, err := img.OCIConfig(ctx)
	if err != nil {
		return nil, err
	}
	if platform.Given() && !platform.Matches(config.OS, config.Architecture, config.Variant) && instance == nil {
		has := option.Platform{OS: config.OS, Arch: config.Architecture, Variant: config.Variant}
		return nil, wrongPlatform(platform, src.Reference(), has.String())
	}
	r.Config, err = img.ConfigBlob(ctx)
	return r, err
}

// Fetch pulls the image of a registry that from names into the store, where it gets the name as. It returns its id.
func (s *Session) Fetch(ctx context.Context, from, as reference.Named, opts option.Pull) (string, error) {
	sys, err := s.registryContext(from.String(), opts.Options, opts.Platform)
	if err != nil {
		return "", err
	}
	src, err := docker.NewReference(reference.TagNameOnly(from))
	if err != nil {
		return "", err
	}
	dst, err := istorage.Transport.NewStoreReference(s.store, as, "")
	if err != nil {
		return "", err
	}
	id, err := s.intoStore(ctx, transfer{src: src, dst: dst, retry: opts.Retry, quiet: opts.Quiet,
		options: copy.Options{SourceCtx: sys, DestinationCtx: sys}})
	if err != nil {
		return "", explainRegistry("pull", s.namePlatforms(ctx, sys, src, err), from)
	}
	s.note("pull", id, as.String())
	return id, nil
}

// FetchLayout copies the one image of an OCI layout, a directory, into the store and returns its id. It gets no name.
func (s *Session) FetchLayout(ctx context.Context, dir string) (string, error) {
	src, err := layout.NewReference(dir, "")
	if err != nil {
		return "", err
	}
	if src, err = s.checked(src); err != nil {
		return "", err
	}
	dst, err := s.unnamedTarget(ctx, src)
	if err != nil {
		return "", err
	}
	id, err := s.intoStore(ctx, transfer{src: src, dst: dst, quiet: true, options: copy.Options{SourceCtx: &s.sys, DestinationCtx: &s.sys}})
	return id, explainLocal("read the layout", err)
}
