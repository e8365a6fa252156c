package image

import (
	"context"
	"encoding/json"
	"runtime"
	"slices"
	"strings"

	"github.com/containers/image/v5/image"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/types"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// checkPlatform refuses a single image for another platform than the one that the user asked for. Of an index the
// right one is chosen later.
func (s *Session) checkPlatform(ctx context.Context, sys *types.SystemContext, ref types.ImageReference, want option.Platform) error {
	if !want.Given() {
		return nil
	}
	src, err := ref.NewImageSource(ctx, sys)
	if err != nil {
		return err
	}
	defer src.Close()
	_, mime, err := src.GetManifest(ctx, nil)
	if err != nil || manifest.MIMETypeIsMultiImage(mime) {
		return err
	}
	img, err := image.FromUnparsedImage(ctx, sys, image.UnparsedInstance(src, nil))
	if err != nil {
		return err
	}
	config, err := img.OCIConfig(ctx)
	if err != nil || want.Matches(config.OS, config.Architecture, config.Variant) {
		return err
	}
	has := option.Platform{OS: config.OS, Arch: config.Architecture, Variant: config.Variant}
	return wrongPlatform(want, ref, has.String())
}

// namePlatforms replaces the error of an index that has no fitting image by one that lists what it has. There is no
// type to ask for, so the library's words are.
func (s *Session) namePlatforms(ctx context.Context, sys *types.SystemContext, ref types.ImageReference, fault error) error {
	if !strings.Contains(fault.Error(), "no image found in") {
		return fault
	}
	src, err := ref.NewImageSource(ctx, sys)
	if err != nil {
		return fault
	}
	defer src.Close()
	raw, _, err := src.GetManifest(ctx, nil)
	if err != nil {
		return fault
	}
	list := platformsOf(raw)
	if len(list) == 0 {
		return fault
	}
	want := option.Platform{OS: sys.OSChoice, Arch: sys.ArchitectureChoice, Variant: sys.VariantChoice}
	return wrongPlatform(want, ref, strings.Join(list, ", "))
}

func wrongPlatform(want option.Platform, ref types.ImageReference, has string) error {
	if want.OS == "" {
		want.OS = "linux"
	}
	if want.Arch == "" {
		want.Arch = runtime.GOARCH
	}
	return errdefs.New(errdefs.ErrNotFound, "image %s is not there for platform %s, only for %s (choose with --platform)",
		ref.DockerReference(), want, has)
}

// platformsOf lists the platforms of an index; attestations and other things without one are left out.
func platformsOf(raw []byte) []string {
	var index struct {
		Manifests []struct {
			Platform struct{ OS, Architecture, Variant string }
		}
	}
	if json.Unmarshal(raw, &index) != nil {
		return nil
	}
	var out []string
	for _, m := range index.Manifests {
		p := option.Platform{OS: m.Platform.OS, Arch: m.Platform.Architecture, Variant: m.Platform.Variant}
		if p.Arch == "" || p.Arch == "unknown" || slices.Contains(out, p.String()) {
			continue
		}
		out = append(out, p.String())
	}
	return out
}
