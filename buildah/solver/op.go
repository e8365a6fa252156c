// Package solver carries out the graph of a build: it finds out which steps are done already, runs the others side by
// side, each once, and tells what it does.
package solver

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/buildah/tree"
)

// Op is what one vertex of the graph does.
type Op interface {
	// Key says what the outputs depend on. It does not touch the inputs.
	Key(ctx context.Context, s Surroundings) (Key, error)
	// Run makes the outputs. inputs has a tree for every edge into the vertex.
	Run(ctx context.Context, s Surroundings, inputs []*tree.Tree) ([]*tree.Tree, error)
}

// Key says what the outputs of an operation depend on: the operation, and each input in its way.
type Key struct {
	Digest digest.Digest // of the operation itself
	Inputs []InputKey    // one for every edge into the vertex; missing ones count by their own key
	Pin    string        // of a source: what its name stands for now
}

// InputKey says how an input counts. Without selectors by its own key: then it need not even be there. With them by the
// content of what they select in it.
type InputKey struct{ Selectors []content.Selector }
