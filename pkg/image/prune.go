package image

import (
	"context"
	"time"

	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/image/list"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Pruned is what a prune removed.
type Pruned struct {
	Images    []string // ids
	Reclaimed int64    // bytes of layers
}

// Prune removes images that no container stands on: those without a name, or all with opts.All; and layers that
// belong to no image because a pull was killed.
func (s *Session) Prune(ctx context.Context, opts option.Prune) (Pruned, error) {
	filter, err := list.ParseFilter(opts.Filters, time.Now(), "until", "label", "dangling")
	if err != nil {
		return Pruned{}, err
	}
	var out Pruned
	err = s.names.WithImagesExclusive(ctx, func() error {
		out, err = s.pruneLocked(ctx, filter, opts)
		return err
	})
	if err == nil {
		s.notePrune(out.Reclaimed)
	}
	return out, explainLocal("prune images", err)
}

func (s *Session) pruneLocked(ctx context.Context, filter list.Filter, opts option.Prune) (Pruned, error) {
	users, err := Users(s.cfg.Dirs)
	if err != nil {
		return Pruned{}, err
	}
	images, err := s.names.Images(ctx)
	if err != nil {
		return Pruned{}, err
	}
	before, err := s.layerBytes()
	if err != nil {
		return Pruned{}, err
	}
	all := opts.All
	if value, given := filter.DanglingGiven(); given {
		all = !value
	}
	var out Pruned
	for i := range images {
		img := &images[i]
		if opts.Layers || img.ReadOnly || (!all && !list.IsDangling(*img)) || len(usersOf(users, img.ID)) > 0 || s.mounted(img.ID) ||
			(!all && hasChild(images, img)) || !s.matches(filter, img) {
			continue
		}
		if err := s.deleteStored(ctx, img); err != nil {
			return out, err
		}
		out.Images = append(out.Images, img.ID)
	}
	if err := s.collectLayers(users); err != nil {
		return out, err
	}
	after, err := s.layerBytes()
	out.Reclaimed = before - after
	return out, err
}

func (s *Session) matches(filter list.Filter, img *store.Image) bool {
	if filter.NeedsConfig() && s.names.ReadConfig(img) != nil {
		return false // what cannot be read is not known to fit
	}
	if _, given := filter.DanglingGiven(); given {
		return filter.MatchWithoutDangling(*img)
	}
	return filter.Match(*img)
}

func (s *Session) layerBytes() (int64, error) {
	layers, err := s.store.Layers()
	if err != nil {
		return 0, err
	}
	var sum int64
	for i := range layers {
		if !layers[i].ReadOnly && layers[i].UncompressedSize > 0 {
			sum += layers[i].UncompressedSize
		}
	}
	return sum, nil
}

// collectLayers deletes layers that no image and no container needs. They come from killed transfers; while another
// session is open they may be of one that still goes on, so then nothing is done.
func (s *Session) collectLayers(users []User) error {
	if !s.work.alone() {
		return nil
	}
	if err := s.collectFiles(); err != nil {
		return err
	}
	needed, err := s.neededLayers(users)
	if err != nil {
		return err
	}
	for progress := true; progress; {
		progress = false
		layers, err := s.store.Layers()
		if err != nil {
			return err
		}
		parents := map[string]bool{}
		for i := range layers {
			parents[layers[i].Parent] = true
		}
		for i := range layers {
			l := &layers[i]
			if l.ReadOnly || needed[l.ID] || parents[l.ID] {
				continue
			}
			if err := s.store.DeleteLayer(l.ID); err != nil {
				return err
			}
			progress = true
		}
	}
	return nil
}

// neededLayers are the top layers of images and containers' layers. What lies below them has children and stays.
func (s *Session) neededLayers(users []User) (map[string]bool, error) {
	needed, err := buildcache.Needed(s.cfg.Dirs)
	if err != nil {
		return nil, err
	}
	images, err := s.store.Images()
	if err != nil {
		return nil, err
	}
	for i := range images {
		needed[images[i].TopLayer] = true
		for _, id := range images[i].MappedTopLayers {
			needed[id] = true
		}
	}
	containers, err := s.store.Containers()
	if err != nil {
		return nil, err
	}
	for i := range containers {
		needed[containers[i].LayerID] = true
	}
	for _, u := range users {
		for _, id := range u.Layers {
			needed[id] = true
		}
	}
	return needed, nil
}
