package store

import (
	"context"
	"os"
)

// LayerUse is a layer of the user's own store, for those who add up sizes.
type LayerUse struct {
	Parent  string
	Size    int64 // bytes of its files' tar stream
	ByImage bool  // an image stands on it
	DiffID  string
}

// LayerUses lists the layers of the user's own store by id.
func (s *Store) LayerUses(ctx context.Context) (map[string]LayerUse, error) {
	uses := map[string]LayerUse{}
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
		for id, l := range layers {
			uses[id] = LayerUse{Parent: l.Parent, Size: max(l.Size, 0), DiffID: l.DiffID}
		}
		for _, img := range images {
			for id := img.TopLayer; id != ""; {
				use, ok := uses[id]
				if !ok || use.ByImage {
					break
				}
				use.ByImage = true
				uses[id] = use
				id = use.Parent
			}
		}
	}
	return uses, nil
}

// LayerRoot is the graph root that has a layer's files: the user's own, else an additional one. False: none has.
func (s *Store) LayerRoot(id string) (string, bool) {
	if has(s.dirs.Graph(), id) {
		return s.dirs.Graph(), true
	}
	roots, _ := s.additionalRoots() // one that cannot be read has nothing
	for _, root := range roots {
		if has(root, id) {
			return root, true
		}
	}
	return "", false
}

func has(root, id string) bool {
	for _, g := range graphsOf(root, false) {
		if _, err := os.Lstat(g.layerDir(id)); err == nil {
			return true
		}
	}
	return false
}
