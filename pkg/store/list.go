package store

import (
	"context"
	"errors"
	"slices"
)

// Images lists the images of all stores, newest first, without Config and Lower (ReadConfig fills the one, Lookup by
// id both). An image that lies in several stores is listed once. A broken one is left out: Problems names it.
func (s *Store) Images(ctx context.Context) ([]Image, error) {
	var list []Image
	_, err := s.walk(ctx, func(img Image, problem error) {
		if problem == nil {
			list = append(list, img)
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b Image) int { return b.Created.Compare(a.Created) })
	return list, nil
}

// Problem is something wrong in an image store.
type Problem struct {
	Image    string // id of the image it makes unusable; empty: the whole store
	Names    []string
	Graph    string // root of the store
	ReadOnly bool   // it lies in an additional store, where we cannot mend it
	Err      error
}

// Problems looks at every image's layers and configuration on disk, for `system check`.
func (s *Store) Problems(ctx context.Context) ([]Problem, error) {
	var problems []Problem
	broken, err := s.walk(ctx, func(img Image, problem error) {
		if problem == nil {
			problem = s.checkImage(&img)
		}
		if problem != nil {
			problems = append(problems, Problem{Image: img.ID, Names: img.Names, Graph: img.Graph, ReadOnly: img.ReadOnly, Err: problem})
		}
	})
	var own ownStoreError
	if errors.As(err, &own) {
		return append(problems, Problem{Graph: s.dirs.Graph(), Err: own.error}), nil
	}
	return append(problems, broken...), err
}

func (s *Store) checkImage(img *Image) error {
	probe := *img
	probe.Layers, probe.Sizes, probe.Size = nil, nil, 0
	for at, g := range []graph{img.graph()} {
		if err := s.layerSet([]graph{g}).fill(&probe, img.TopLayer(), at, true); err != nil {
			return err
		}
	}
	if img.IsList {
		return nil
	}
	return s.ReadConfig(&probe)
}

// ownStoreError marks that the user's own store cannot be read, which ends a walk; an additional one is passed over.
type ownStoreError struct{ error }

func (e ownStoreError) Unwrap() error { return e.error }

// walk visits every image once. It answers the additional stores that cannot be read.
func (s *Store) walk(ctx context.Context, visit func(img Image, problem error)) ([]Problem, error) {
	roots, confErr := s.additionalRoots()
	var broken []Problem
	if confErr != nil {
		broken = append(broken, Problem{Graph: s.conf(), ReadOnly: true, Err: confErr})
	}
	graphs := graphsOf(s.dirs.Graph(), false)
	for _, root := range roots {
		graphs = append(graphs, graphsOf(root, true)...)
	}
	layers := newLayerSet(graphs)
	seen := map[string]bool{}
	for at, g := range graphs {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		images, err := g.images()
		if err != nil && !g.readOnly {
			return broken, ownStoreError{err}
		}
		if err != nil {
			broken = append(broken, Problem{Graph: g.root, ReadOnly: true, Err: err})
			continue
		}
		named := inLists(g, images)
		for _, rec := range images {
			if seen[rec.ID] {
				continue
			}
			seen[rec.ID] = true
			img := newImage(rec, g)
			_, img.IsList = readList(g, rec)
			img.Listed = slices.ContainsFunc(img.Digests, func(d string) bool { return named[d] })
			visit(img, layers.fill(&img, rec.TopLayer, at, false))
		}
	}
	return broken, nil
}
