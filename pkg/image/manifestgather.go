package image

import (
	"context"
	"errors"

	"github.com/containers/common/libimage/manifests"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// ManifestGather adds images of the store to a list, which is made if there is none: in one step, so that builds which
// do so at the same time end up in the same list.
func (s *Session) ManifestGather(ctx context.Context, name string, ids []string) error {
	full, err := normalizeTag(name)
	if err != nil {
		return err
	}
	made := ""
	err = s.names.WithImagesExclusive(ctx, func() error {
		if _, err := s.listID(name); !errors.Is(err, errdefs.ErrNotFound) {
			return err
		}
		made, err = manifests.Create().SaveToImage(s.store, "", []string{full.String()}, imgspec.MediaTypeImageIndex)
		return explainLocal("make the manifest list "+name, err)
	})
	if err != nil {
		return err
	}
	if made != "" {
		s.note("create", made, full.String())
	}
	_, _, err = s.ManifestAdd(ctx, name, ids, option.ManifestAdd{})
	return err
}
