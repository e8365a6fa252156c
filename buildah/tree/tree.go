// Package tree says what the result of a build step is: a file tree that nobody changes any more.
package tree

import (
	"slices"

	"github.com/wherry-containers/wherry/buildah/content"
)

// Tree is an immutable file tree. It is a stack of layers, or a directory; with neither it is the empty tree (scratch).
type Tree struct {
	Layers []string // ids of layers in containers/storage, the lowest first: any stack, not necessarily a chain of parents

	Dir       string // instead: an absolute path that nobody writes to (a context, a download, a checkout)
	RootOwned bool   // of Dir: every entry counts as owned by 0:0
	// View is what of Dir belongs to the tree, looked at already: a part of a context is left out. nil: all of it does.
	// Where a real directory is needed, see View.Plain and file.Plain.
	View *content.View

	Pin string // what a source resolved to (digest of an image, commit, checksum), for provenance
}

// Scratch tells whether nothing is in the tree. A nil tree is scratch too.
func (t *Tree) Scratch() bool { return t == nil || t.Dir == "" && len(t.Layers) == 0 }

// On returns the tree with layers on top; t must not be a directory.
func (t *Tree) On(layers ...string) *Tree {
	if t == nil {
		return &Tree{Layers: layers}
	}
	return &Tree{Layers: slices.Concat(t.Layers, layers)}
}
