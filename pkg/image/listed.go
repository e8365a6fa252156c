package image

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/containers/storage"

	"github.com/wherry-containers/wherry/pkg/store"
)

// asRecord is the manifest list itself, where the image was found as one that it names.
func asRecord(img *store.Image) *store.Image {
	if img.List == "" {
		return img
	}
	return &store.Image{ID: img.List, Names: img.ListNames, Ref: img.Ref, Graph: img.Graph, Driver: img.Driver, ReadOnly: img.ReadOnly, IsList: true}
}

// digestsIn are the manifests that a list names.
func (s *Session) digestsIn(img *store.Image) []string {
	if !img.IsList {
		return nil
	}
	data, err := s.store.ImageBigData(img.ID, storage.ImageDigestBigDataKey)
	if err != nil {
		return nil // a broken list names none
	}
	var l struct{ Manifests []struct{ Digest string } }
	if json.Unmarshal(data, &l) != nil {
		return nil
	}
	var digests []string
	for _, m := range l.Manifests {
		digests = append(digests, m.Digest)
	}
	return digests
}

// deleteListed removes the nameless images that a list, which is gone, has named and nothing else needs.
func (s *Session) deleteListed(ctx context.Context, users []User, digests []string) error {
	images, err := s.names.Images(ctx)
	if err != nil {
		return err
	}
	for i := range images {
		img := &images[i]
		if len(img.Names) > 0 || img.Listed || img.ReadOnly || img.IsList || len(usersOf(users, img.ID)) > 0 || s.mounted(img.ID) ||
			!slices.Contains(digests, img.Digest) || hasChild(images, img) {
			continue
		}
		if err := s.deleteStored(ctx, img); err != nil {
			return err
		}
	}
	return nil
}
