package image

import (
	"context"
	"errors"
	"slices"

	"github.com/containers/storage"

	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/store"
)

// PrunedCache is what a prune of the build cache removed.
type PrunedCache struct {
	Entries   []*buildcache.Entry
	Reclaimed int64 // bytes
}

// PruneBuildCache removes entries of the build cache, and the layers that nothing else needs then.
func (s *Session) PruneBuildCache(ctx context.Context, opts buildcache.PruneOptions) (PrunedCache, error) {
	var out PrunedCache
	err := s.names.WithImagesExclusive(ctx, func() error {
		plan, err := buildcache.Plan(ctx, s.cfg.Dirs, opts)
		if err != nil {
			return err
		}
		removed, layers, err := buildcache.Remove(s.cfg.Dirs, plan)
		out.Entries = removed
		for _, e := range removed {
			if !e.HasLayers() {
				out.Reclaimed += e.Size
			}
		}
		freed, layerErr := s.dropLayers(layers)
		out.Reclaimed += freed
		return errors.Join(err, layerErr)
	})
	return out, explainLocal("prune the build cache", err)
}

// dropLayers deletes those of the layers that no image, no container, no running build and not the build cache needs,
// and says how many bytes they took. The exclusive lock on images is held.
func (s *Session) dropLayers(layers []string) (int64, error) {
	needed, err := s.neededByOthers()
	if err != nil {
		return 0, err
	}
	var freed int64
	for progress := true; progress; {
		progress = false
		for i := len(layers) - 1; i >= 0; i-- {
			if needed[layers[i]] {
				continue
			}
			size, gone, err := s.dropLayer(layers[i])
			if err != nil {
				return freed, err
			}
			if gone { // what lies below it may go now
				freed, progress = freed+size, true
				layers = slices.Delete(layers, i, i+1)
			}
		}
	}
	return freed, nil
}

// dropLayer deletes a layer unless something stands on it.
func (s *Session) dropLayer(id string) (size int64, gone bool, err error) {
	l, err := s.store.Layer(id)
	if errors.Is(err, storage.ErrLayerUnknown) {
		return 0, true, nil
	}
	if err != nil || l.ReadOnly {
		return 0, false, err
	}
	err = s.store.DeleteLayer(id)
	switch {
	case err == nil:
		faultpoint.Hit("image.layer.dropped")
		return max(l.UncompressedSize, 0), true, nil
	case errors.Is(err, storage.ErrLayerHasChildren), errors.Is(err, storage.ErrLayerUsedByImage), errors.Is(err, storage.ErrLayerUsedByContainer):
		return 0, false, nil
	case errors.Is(err, storage.ErrLayerUnknown), errors.Is(err, storage.ErrNotALayer):
		return 0, true, nil
	}
	return 0, false, err
}

// neededByOthers are layers that must stay though no image stands on them: those of the build cache, of running builds
// and of containers.
func (s *Session) neededByOthers() (map[string]bool, error) {
	needed, err := buildcache.Needed(s.cfg.Dirs)
	if err != nil {
		return nil, err
	}
	users, err := Users(s.cfg.Dirs)
	for _, u := range users {
		for _, id := range u.Layers {
			needed[id] = true
		}
	}
	return needed, err
}

// deleteImage deletes an image with those of its layers that nothing else needs. Containers/storage knows nothing of the
// build cache, so where that has one of the layers we look ourselves.
func (s *Session) deleteImage(img *store.Image) error {
	layers := s.chainOf(img)
	cached, err := buildcache.Needed(s.cfg.Dirs)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(layers, func(id string) bool { return cached[id] }) {
		_, err := s.store.DeleteImage(img.ID, true)
		return err
	}
	if err := s.store.Delete(img.ID); err != nil {
		if errors.Is(err, storage.ErrLayerUnknown) {
			err = storage.ErrImageUnknown // its word for: there is nothing of that name
		}
		return err
	}
	_, err = s.dropLayers(layers)
	return err
}

// chainOf lists the image's layers, the lowest first, as far as they are there: a broken image can be deleted, too.
func (s *Session) chainOf(img *store.Image) []string {
	if len(img.Layers) > 0 {
		layers := slices.Clone(img.Layers)
		slices.Reverse(layers)
		return layers
	}
	stored, err := s.store.Image(img.ID)
	if err != nil {
		return nil
	}
	var layers []string
	for id := stored.TopLayer; id != "" && len(layers) < 500; {
		l, err := s.store.Layer(id)
		if err != nil {
			break
		}
		layers = append(layers, id)
		id = l.Parent
	}
	slices.Reverse(layers)
	return layers
}
