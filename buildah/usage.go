package buildah

import (
	"context"

	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// stored is the build cache of this store.
type stored struct {
	dirs   layout.Dirs
	images *image.Session
}

// List lists it.
func (c stored) List(ctx context.Context) ([]*buildcache.Entry, error) {
	return buildcache.List(ctx, c.dirs)
}

// Prune removes from it, and the layers that nothing else needs then.
func (c stored) Prune(ctx context.Context, o buildcache.PruneOptions) ([]*buildcache.Entry, error) {
	pruned, err := c.images.PruneBuildCache(ctx, o)
	return pruned.Entries, err
}
