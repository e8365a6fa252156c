package image

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/pkg/compression"
	"github.com/containers/image/v5/types"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Push copies an image of the store to a registry or to the transport that destination begins with. An empty
// destination is the image's own name.
func (s *Session) Push(ctx context.Context, name, destination string, opts option.Push) error {
	if opts.AllTags {
		return s.pushAllTags(ctx, name, destination, opts)
	}
	img, err := s.lookup(ctx, name)
	if err != nil {
		return err
	}
	if destination == "" {
		destination = img.Ref
	}
	if destination == "" {
		return errdefs.New(errdefs.ErrInvalid, "image %q was named by its id: say where to push it (wherry push %s HOST/NAME:TAG)", name, name)
	}
	if err := s.push(ctx, img, destination, opts); err != nil {
		return err
	}
	s.note("push", img.ID, destination)
	return nil
}

func (s *Session) pushAllTags(ctx context.Context, name, destination string, opts option.Push) error {
	if destination != "" || hasTag(name) {
		return errdefs.New(errdefs.ErrInvalid, "--all-tags takes one name without a tag")
	}
	repo, err := Normalize(name)
	if err != nil {
		return err
	}
	images, err := s.names.Images(ctx)
	if err != nil {
		return err
	}
	pushed := 0
	for i := range images {
		for _, full := range images[i].Names {
			if !strings.HasPrefix(full, repo.Name()+":") {
				continue
			}
			if err := s.push(ctx, &images[i], full, opts); err != nil {
				return err
			}
			s.note("push", images[i].ID, full)
			pushed++
		}
	}
	if pushed == 0 {
		return errdefs.New(errdefs.ErrNotFound, "no image named %s is here (see: wherry images)", repo.Name())
	}
	return nil
}

// push copies one image and reports what the destination calls it.
func (s *Session) push(ctx context.Context, img *store.Image, destination string, opts option.Push) error {
	t, err := s.pushTransfer(img, destination, opts)
	if err != nil {
		return err
	}
	written, err := s.run(ctx, t)
	if err != nil {
		if named := t.dst.DockerReference(); named != nil && t.dst.Transport().Name() == docker.Transport.Name() {
			return explainRegistry("push", err, named)
		}
		return explainLocal("push to "+destination, err)
	}
	digest, err := manifest.Digest(written)
	if err != nil {
		return err
	}
	if opts.DigestFile != "" {
		if err := os.WriteFile(opts.DigestFile, []byte(digest.String()), 0o644); err != nil {
			return fmt.Errorf("write --digestfile: %w", err)
		}
	}
	s.tellPushed(Pushed{Tag: shortTag(t.dst, destination), Digest: digest.String(), Size: len(written)}, opts.Quiet)
	return nil
}

func shortTag(ref types.ImageReference, destination string) string {
	if tagged, ok := ref.DockerReference().(reference.Tagged); ok {
		return tagged.Tag()
	}
	return destination
}

func (s *Session) pushTransfer(img *store.Image, destination string, opts option.Push) (transfer, error) {
	t := transfer{retry: opts.Retry, quiet: opts.Quiet}
	var err error
	if t.src, err = s.storageRef(img.ID); err != nil {
		return t, err
	}
	if t.dst, err = pushTarget(destination); err != nil {
		return t, err
	}
	sys, err := s.pushContext(destination, opts)
	if err != nil {
		return t, err
	}
	if t.options.ForceManifestMIMEType, err = manifestType(opts.Format); err != nil {
		return t, err
	}
	if tagged, ok := mustNamed(img.Ref).(reference.NamedTagged); ok && t.dst.Transport().Name() == "docker-archive" {
		sys.DockerArchiveAdditionalTags = []reference.NamedTagged{tagged}
	}
	if err := encryptInto(&t, opts); err != nil {
		return t, err
	}
	t.options.ForceCompressionFormat = opts.ForceCompression
	t.options.RemoveSignatures = opts.RemoveSignatures
	t.options.SourceCtx, t.options.DestinationCtx = sys, sys
	return t, nil
}

// pushContext is the system context of a destination, with how layers are compressed for it.
func (s *Session) pushContext(destination string, opts option.Push) (*types.SystemContext, error) {
	sys, err := s.registryContext(strings.TrimPrefix(destination, registryPrefix), opts.Options, option.Platform{})
	if err != nil {
		return nil, err
	}
	if opts.CompressionFormat != "" {
		algorithm, err := compression.AlgorithmByName(opts.CompressionFormat)
		if err != nil {
			return nil, errdefs.New(errdefs.ErrInvalid, "invalid --compression-format %q: want gzip, zstd or zstd:chunked", opts.CompressionFormat)
		}
		sys.CompressionFormat = &algorithm
	}
	sys.CompressionLevel = opts.CompressionLevel
	return sys, nil
}

// mustNamed parses a stored name; one that does not parse is no name.
func mustNamed(name string) reference.Named {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil
	}
	return named
}

func pushTarget(destination string) (types.ImageReference, error) {
	ref, err := parseTransport(destination)
	if err != nil || ref != nil {
		return ref, err
	}
	named, err := normalizeTag(strings.TrimPrefix(destination, registryPrefix))
	if err != nil {
		return nil, err
	}
	return docker.NewReference(named)
}

func manifestType(format string) (string, error) {
	switch format {
	case "":
		return "", nil
	case "oci":
		return imgspec.MediaTypeImageManifest, nil
	case "v2s2", "docker":
		return manifest.DockerV2Schema2MediaType, nil
	}
	return "", errdefs.New(errdefs.ErrInvalid, "invalid --format %q: want oci or v2s2", format)
}
