package image

import (
	"context"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Tag gives an image further names; an image that had one of them loses it.
func (s *Session) Tag(ctx context.Context, name string, add []string) error {
	full, err := normalizeAll(add)
	if err != nil {
		return err
	}
	return s.withWritable(ctx, name, func(img *store.Image) error {
		if err := s.store.AddNames(img.ID, fullStrings(full)); err != nil {
			return explainLocal("tag "+name, err)
		}
		s.noteNames("tag", img.ID, fullStrings(full))
		return nil
	})
}

// Untag takes names away from an image, all of them when none is given. The image stays.
func (s *Session) Untag(ctx context.Context, name string, drop []string) error {
	full, err := normalizeAll(drop)
	if err != nil {
		return err
	}
	return s.withWritable(ctx, name, func(img *store.Image) error {
		names := fullStrings(full)
		if len(names) == 0 {
			names = img.Names
		}
		for _, n := range names {
			if !contains(img.Names, n) {
				return errdefs.New(errdefs.ErrNotFound, "image %q has no name %q", name, familiar(n))
			}
		}
		if err := s.store.RemoveNames(img.ID, names); err != nil {
			return explainLocal("untag "+name, err)
		}
		s.noteNames("untag", img.ID, names)
		return nil
	})
}

// withWritable runs fn on the image that name names, which lies in our own store and cannot be removed meanwhile.
func (s *Session) withWritable(ctx context.Context, name string, fn func(*store.Image) error) error {
	return s.names.WithImagesShared(ctx, func() error {
		img, err := s.lookup(ctx, name)
		if err != nil {
			return err
		}
		img = asRecord(img)
		if img.ReadOnly {
			return errReadOnly(name, img.Graph)
		}
		return fn(img)
	})
}

func errReadOnly(name, graph string) error {
	return errdefs.New(errdefs.ErrUnsupported, "image %q lies in the read-only store %s (change it with the program that owns it)", name, graph)
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
