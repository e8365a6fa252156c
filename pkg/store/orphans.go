package store

import (
	"context"
	"slices"
	"time"
)

// Orphans lists the layers of the user's own store that no image and none of used stands on and that were made before a
// time.
func (s *Store) Orphans(ctx context.Context, used map[string]bool, before time.Time) ([]string, error) {
	var orphans []string
	for _, g := range graphsOf(s.dirs.Graph(), false) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		images, err := g.images()
		if err != nil {
			return nil, err
		}
		layers, err := g.layers()
		if err != nil {
			return nil, err
		}
		needed := map[string]bool{}
		need := func(id string) {
			for ; id != "" && !needed[id]; id = layers[id].Parent {
				needed[id] = true
			}
		}
		for _, img := range images {
			need(img.TopLayer)
			for _, id := range img.Mapped {
				need(id)
			}
		}
		for id := range used {
			need(id)
		}
		for id, l := range layers {
			if !needed[id] && l.Made.Before(before) {
				orphans = append(orphans, id)
			}
		}
	}
	slices.Sort(orphans)
	return orphans, nil
}
