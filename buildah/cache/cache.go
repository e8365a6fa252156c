// Package cache is what a build knows of earlier ones: what each step made, digests of contents, and the directories of
// RUN --mount=type=cache. Package pkg/buildcache is the same on disk.
package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/procs"
)

// Record says what a step made. See buildcache.Record.
type Record = buildcache.Record

// Cache is one process' access to the build cache. The zero value is of no use; see Open.
type Cache struct {
	dirs layout.Dirs

	mu       sync.Mutex
	lease    *buildcache.Lease
	contents map[string]map[string]digest.Digest // by stack and selector
}

// Open gives access to the build cache. Nothing is made on disk before something is written.
func Open(dirs layout.Dirs) *Cache {
	return &Cache{dirs: dirs, contents: map[string]map[string]digest.Digest{}}
}

// Close gives back the layers that Get has found. It may be called twice.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease == nil {
		return nil
	}
	lease := c.lease
	c.lease = nil
	return lease.Close()
}

// Release gives back the layers that Get has found: no build uses them any more.
func (c *Cache) Release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease == nil {
		return nil
	}
	return c.lease.Release()
}

// hold keeps layers until Close.
func (c *Cache) hold(ctx context.Context, layers []string) error {
	c.mu.Lock()
	if c.lease == nil {
		var err error
		if c.lease, err = buildcache.OpenLease(c.dirs); err != nil {
			c.mu.Unlock()
			return err
		}
	}
	lease := c.lease
	c.mu.Unlock()
	return lease.Hold(ctx, layers)
}

// Get returns what a step made, and keeps its layers until Close. Nil: it is not known, or its layers are gone.
func (c *Cache) Get(key digest.Digest) (*Record, error) {
	if err := key.Validate(); err != nil {
		return nil, fmt.Errorf("key of the build cache: %w", err)
	}
	r, err := buildcache.Read(c.dirs, key.Encoded())
	if errors.Is(err, buildcache.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	layers := r.Layers()
	if !c.there(layers) {
		return nil, nil
	}
	// The lock that this waits for is held for as long as a removal takes.
	if err := c.hold(context.Background(), layers); err != nil {
		return nil, err
	}
	if !c.there(layers) { // removed meanwhile
		return nil, nil
	}
	r.Use()
	return r, nil
}

// there tells whether the layers' files are: a layer that a record names was complete, and goes as a whole.
func (c *Cache) there(layers []string) bool {
	return !slices.ContainsFunc(layers, func(id string) bool { return !buildcache.LayerThere(c.dirs, id) })
}

// Put records what a step made. Its layers are complete by now.
func (c *Cache) Put(key digest.Digest, r Record) error {
	if err := key.Validate(); err != nil {
		return fmt.Errorf("key of the build cache: %w", err)
	}
	r.Key = key.String()
	if r.Created.IsZero() {
		r.Created = time.Now()
	}
	if r.Kind == "" {
		r.Kind = buildcache.KindRegular
	}
	r.Boot, _ = procs.BootID()
	faultpoint.Hit("build.put")
	err := buildcache.Write(c.dirs, key.Encoded(), r)
	faultpoint.Hit("build.recorded")
	return err
}
