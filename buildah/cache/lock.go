package cache

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/buildcache"
)

// Locked runs f while no other process, and nobody else in this one, does the same for the key. The kernel ends the
// lock of a killed holder.
func (c *Cache) Locked(ctx context.Context, key digest.Digest, f func() error) error {
	if err := key.Validate(); err != nil {
		return fmt.Errorf("key of the build cache: %w", err)
	}
	return buildcache.Locked(ctx, c.dirs, key.Encoded(), f)
}
