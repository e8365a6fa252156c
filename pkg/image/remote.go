package image

import (
	"context"
	"errors"
	"strings"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/image"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// Remote is what a registry says of an image without it being pulled.
type Remote struct {
	MediaType string
	Digest    string
	Size      int // of the manifest
	Platforms []option.Platform
}

// Inspect asks the registry that name names for the image's manifest.
func Inspect(ctx context.Context, cfg Config, name string, opts access.Options) (*Remote, error) {
	named, err := Normalize(name)
	if err != nil {
		return nil, err
	}
	sys := SystemContext(cfg)
	if err := registry.Apply(&sys, reference.Domain(named), opts); err != nil {
		return nil, err
	}
	ref, err := docker.NewReference(named)
	if err != nil {
		return nil, err
	}
	src, err := ref.NewImageSource(ctx, &sys)
	if err != nil {
		return nil, explainRegistry("inspect", err, named)
	}
	defer src.Close()
	raw, mime, err := src.GetManifest(ctx, nil)
	if err != nil {
		return nil, explainRegistry("inspect", err, named)
	}
	sum, err := manifest.Digest(raw)
	if err != nil {
		return nil, err
	}
	r := &Remote{MediaType: mime, Digest: sum.String(), Size: len(raw)}
	if manifest.MIMETypeIsMultiImage(mime) {
		r.Platforms, err = listedPlatforms(raw, mime)
	} else {
		r.Platforms, err = ownPlatform(ctx, &sys, src)
	}
	return r, err
}

// listedPlatforms are those of an index; attestations have none that a machine could have.
func listedPlatforms(raw []byte, mime string) ([]option.Platform, error) {
	list, err := manifest.ListFromBlob(raw, mime)
	if err != nil {
		return nil, err
	}
	var platforms []option.Platform
	for _, instance := range list.Instances() {
		p, err := platformOf(list, instance)
		if err != nil {
			return nil, err
		}
		if p != nil && p.Arch != "" && p.Arch != "unknown" {
			platforms = append(platforms, *p)
		}
	}
	return platforms, nil
}

func platformOf(list manifest.List, instance digest.Digest) (*option.Platform, error) {
	update, err := list.Instance(instance)
	if err != nil || update.ReadOnly.Platform == nil {
		return nil, err
	}
	p := update.ReadOnly.Platform
	return &option.Platform{OS: p.OS, Arch: p.Architecture, Variant: p.Variant}, nil
}

func ownPlatform(ctx context.Context, sys *types.SystemContext, src types.ImageSource) ([]option.Platform, error) {
	img, err := image.FromUnparsedImage(ctx, sys, image.UnparsedInstance(src, nil))
	if err != nil {
		return nil, err
	}
	config, err := img.OCIConfig(ctx)
	if err != nil {
		return nil, err
	}
	return []option.Platform{{OS: config.OS, Arch: config.Architecture, Variant: config.Variant}}, nil
}

// CheckLogin asks a registry whether it takes a user's name and password. Nothing is kept.
func CheckLogin(ctx context.Context, cfg Config, server, user, password string) error {
	host, err := registry.ParseHost(server)
	if err != nil {
		return err
	}
	sys := SystemContext(cfg)
	if err := registry.Apply(&sys, host, access.Options{}); err != nil {
		return err
	}
	host, _, _ = strings.Cut(host, "/")
	err = docker.CheckAuth(ctx, &sys, user, password, host)
	if errors.Is(err, context.Canceled) {
		return err
	}
	return registry.Explain("log in at", err, registry.Place{Host: host})
}
