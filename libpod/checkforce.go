package libpod

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/store"
)

// CheckOptions is what `system check` needs.
type CheckOptions struct {
	Repair bool
	Force  bool          // with Repair: remove what cannot be mended
	Quick  bool          // leave images and layers out
	MaxAge time.Duration // layers without an image are a problem when they are older
	// RemoveImage and CollectLayers write to the image store, which the engine cannot; nil: it is only reported.
	RemoveImage   func(id string) error
	CollectLayers func() error
}

// beyondRepair notes a problem that costs the object; with Force it is removed.
func (k *checker) beyondRepair(object, text string, remove func() error) {
	if !k.opts.Force || remove == nil {
		k.report(object, text, nil)
		return
	}
	k.report(object, text+", removed", remove)
	if last := &k.found[len(k.found)-1]; !last.Repaired {
		last.Fatal = true
	}
}

// discardContainer removes a container that cannot be read. The caller holds its lock.
func (e *Engine) discardContainer(id string) error {
	c := &container{Config: record.Config{ID: id}, live: e.loadLive(id)}
	if c.alive() || c.monitored() {
		return errdefs.New(errdefs.ErrState, "it runs (wherry rm -f %s ends and removes it)", shortID(id))
	}
	if err := e.dropRun(c); err != nil {
		return err
	}
	return e.containers.Remove(id, e.namesOf(id)...)
}

// discardVolume removes a volume whose record cannot be read. The caller holds its lock.
func (e *Engine) discardVolume(name string) error {
	users, err := e.volumeUsers(context.Background()) // reads records only: nothing to cancel
	if err != nil {
		return err
	}
	if len(users[name]) > 0 {
		return errdefs.New(errdefs.ErrInUse, "container %s uses it", e.displayNames(users[name]))
	}
	return e.volumes.Remove(name)
}

// removeImage removes a broken image of the user's own store.
func (k *checker) removeImage(p store.Problem) func() error {
	if p.Image == "" || p.ReadOnly || k.opts.RemoveImage == nil {
		return nil
	}
	return func() error { return k.opts.RemoveImage(p.Image) }
}

// layers checks for layers that belong to no image and under no container: a pull or a build was killed.
func (k *checker) layers(ctx context.Context) error {
	used := map[string]bool{}
	ids, err := k.e.containers.IDs()
	for _, id := range ids {
		if c, err := k.e.load(id); err == nil {
			for _, layer := range c.Image.Layers {
				used[layer] = true
			}
		}
	}
	cached, cacheErr := buildcache.Needed(k.e.dirs)
	for id := range cached {
		used[id] = true
	}
	err = errors.Join(err, cacheErr)
	orphans, orphanErr := k.e.images.Orphans(ctx, used, time.Now().Add(-k.opts.MaxAge))
	if err = errors.Join(err, orphanErr); err != nil || len(orphans) == 0 {
		return err
	}
	var collect func() error
	if k.opts.CollectLayers != nil {
		collect = func() error {
			if err := k.opts.CollectLayers(); err != nil {
				return err
			}
			left, err := k.e.images.Orphans(ctx, used, time.Now().Add(-k.opts.MaxAge))
			if err == nil && len(left) > 0 {
				err = errors.New("another command writes images at this moment (try again)")
			}
			return err
		}
	}
	k.report("image store", fmt.Sprintf("%d layers belong to no image, as %s", len(orphans), shortID(orphans[0])), collect)
	return nil
}
