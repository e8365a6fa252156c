package libpod

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/wherry-containers/wherry/pkg/binfmt"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/store"
)

// checkRuns refuses an image whose programs this machine cannot execute, which the runtime would tell by "exec format
// error".
func checkRuns(img *store.Image, name string) error {
	if binfmt.Native(img.Config.Architecture) {
		return nil
	}
	return cannotRun(img, name, binfmt.Check(img.Config.Architecture))
}

func cannotRun(img *store.Image, name string, err error) error {
	if !errors.Is(err, errdefs.ErrUnsupported) {
		return err
	}
	have := option.Platform{OS: img.Config.OS, Arch: img.Config.Architecture, Variant: img.Config.Variant}
	return fmt.Errorf("image %q is for %s: %w", name, have, err)
}

// emulate makes programs of the image's processor run, where that is not our own. What is registered with the kernel for it
// stays as long as this mount namespace.
func (s *startup) emulate(img *store.Image) error {
	if binfmt.Native(img.Config.Architecture) {
		return nil
	}
	err := binfmt.Enable(img.Config.Architecture, filepath.Join(s.runDir, "binfmt"), s.e.host().rootless)
	return cannotRun(img, s.c.Image.Name, err)
}

// image is what the container was made from.
func (s *startup) image(ctx context.Context) (*store.Image, error) {
	if s.c.image != nil {
		return s.c.image, nil
	}
	img, err := s.e.images.Lookup(ctx, s.c.Image.ID)
	if err != nil {
		return nil, fmt.Errorf("image of container %q: %w", s.c.name(), err)
	}
	s.c.image = img
	return img, nil
}
