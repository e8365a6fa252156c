package store

import (
	"os"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// maxDepth bounds a chain of layers, so that a loop in a broken store ends. It is containers/storage's own bound.
const maxDepth = 500

// layerSet resolves chains of layers over several stores: a layer of one may have its parent in another.
// Each layers.json is read once, and only if it is asked for.
type layerSet struct {
	graphs []graph
	lists  []map[string]layerRecord // by graph; nil: not read yet
}

func newLayerSet(graphs []graph) *layerSet {
	return &layerSet{graphs: graphs, lists: make([]map[string]layerRecord, len(graphs))}
}

// find looks for a layer, first in the graph of the given index.
func (s *layerSet) find(id string, first int) (layerRecord, int, error) {
	order := append([]int{first}, make([]int, 0, len(s.graphs))...)
	for i := range s.graphs {
		if i != first && s.graphs[i].driver == s.graphs[first].driver {
			order = append(order, i)
		}
	}
	for _, i := range order {
		if s.lists[i] == nil {
			list, err := s.graphs[i].layers()
			if err != nil {
				return layerRecord{}, 0, err
			}
			s.lists[i] = list
		}
		if l, ok := s.lists[i][id]; ok {
			return l, i, nil
		}
	}
	return layerRecord{}, 0, errdefs.New(errdefs.ErrBroken, "layer %s is missing from %s", short(id), s.graphs[first].layersFile())
}

// fill sets what follows from the image's chain of layers: Layers, Sizes, Size. With dirs also Lower, each checked.
func (s *layerSet) fill(img *Image, top string, at int, dirs bool) error {
	driver := s.graphs[at].driver
	for id := top; id != ""; {
		if len(img.Layers) >= maxDepth {
			return errdefs.New(errdefs.ErrBroken, "image %s has more than %d layers, or they form a loop", short(img.ID), maxDepth)
		}
		l, found, err := s.find(id, at)
		if err != nil {
			return imageBroken(img, err)
		}
		if l.incomplete() {
			return imageBroken(img, errdefs.New(errdefs.ErrBroken, "layer %s is incomplete", short(id)))
		}
		at = found
		img.Layers = append(img.Layers, id)
		img.Sizes = append(img.Sizes, max(l.Size, 0))
		img.Size += max(l.Size, 0)
		// A vfs layer is a full copy of all below it.
		if dirs && (driver != VFS || len(img.Lower) == 0) {
			dir := s.graphs[at].layerDir(id)
			if err := checkLayerDir(dir, driver); err != nil {
				return imageBroken(img, err)
			}
			img.Lower = append(img.Lower, dir)
		}
		id = l.Parent
	}
	return nil
}

func checkLayerDir(dir, driver string) error {
	info, err := os.Stat(dir)
	switch {
	case absent(err), err == nil && !info.IsDir():
		return errdefs.New(errdefs.ErrBroken, "the layer directory %s is missing", dir)
	case err != nil:
		return err
	}
	if driver == Overlay {
		if _, err := os.Lstat(dir + "/../composefs-data"); err == nil {
			return errdefs.New(errdefs.ErrUnsupported, "the layer %s is stored as composefs, which cannot be mounted in a user namespace", dir)
		}
	}
	return nil
}

func imageBroken(img *Image, err error) error {
	name := short(img.ID)
	if len(img.Names) > 0 {
		name = familiar(img.Names[0])
	}
	return errdefs.New(kindOf(err), "image %s is broken: %v (remove it with wherry rmi -f %s and pull it again)", name, err, short(img.ID))
}

// short is the 12 digits of an id that people see.
func short(id string) string { return id[:min(12, len(id))] }
