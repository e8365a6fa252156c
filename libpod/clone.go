package libpod

import (
	"context"
	"slices"
	"strconv"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/recorddir"
)

// CloneOptions is what `container clone` needs.
type CloneOptions struct {
	Name    string                    // of the copy; empty: NAME-clone, or the next free one
	Image   string                    // another image for the copy; empty: the same
	Limits  []func(*record.Resources) // changed in the copy
	Destroy bool                      // remove the original
	Force   bool                      // with Destroy: also when it runs
}

// Clone makes a container with the wish of another one, without what it has written, and returns its id. Volumes that
// have a name are shared; anonymous ones are made anew.
func (e *Engine) Clone(ctx context.Context, ref string, opts CloneOptions) (string, error) {
	id, err := e.resolve(ref)
	if err != nil {
		return "", err
	}
	from, err := e.look(id)
	if err != nil {
		return "", err
	}
	if status := from.status(); opts.Destroy && !opts.Force && (status == record.Running || status == record.Restarting) {
		return "", errdefs.New(errdefs.ErrState, "container %q is %s (stop it first, or use --force with --destroy)", from.name(), status)
	}
	cfg := cloneOf(from)
	cfg.Name = firstOf(opts.Name, e.cloneName(from.name()))
	for _, change := range opts.Limits {
		change(&cfg.Resources)
	}
	c, lock, err := e.cloneFrom(ctx, cfg, firstOf(opts.Image, cfg.Image.ID))
	if err != nil {
		return "", err
	}
	if err := e.finishCreate(ctx, c, lock); err != nil {
		return "", err
	}
	lock.Unlock()
	faultpoint.Hit("clone.made")
	if opts.Destroy {
		err = e.Remove(ctx, id, RemoveOptions{Force: opts.Force})
	}
	return c.ID, err
}

// cloneOf is the wish of from without what is its own: its id in the host name, its id file, its anonymous volumes.
func cloneOf(from *container) record.Config {
	cfg := from.Config
	if cfg.Hostname == shortID(from.ID) {
		cfg.Hostname = ""
	}
	cfg.Lifecycle.CIDFile = ""
	cfg.Resources.Ulimits = slices.Clone(cfg.Resources.Ulimits)
	cfg.Mounts = slices.Clone(cfg.Mounts)
	for i := range cfg.Mounts {
		if cfg.Mounts[i].Anonymous {
			cfg.Mounts[i].Source = newVolumeName()
		}
	}
	return cfg
}

// cloneName is NAME-clone, or NAME-clone1 and so on.
func (e *Engine) cloneName(name string) string {
	name += "-clone"
	for try := 0; ; try++ {
		free := name
		if try > 0 {
			free += strconv.Itoa(try)
		}
		if _, used := e.containers.Owner(free); !used {
			return free
		}
	}
}

// cloneFrom writes the record of the copy while its image cannot be removed.
func (e *Engine) cloneFrom(ctx context.Context, cfg record.Config, image string) (c *container, lock *recorddir.Lock, err error) {
	err = e.images.WithImagesShared(ctx, func() error {
		img, err := e.images.Lookup(ctx, image)
		if err != nil {
			return err
		}
		if img.ID != cfg.Image.ID {
			cfg.Image = record.Image{ID: img.ID, Name: image, Ref: img.Ref, Layers: img.Layers}
		}
		c = &container{Config: cfg, state: record.State{Status: record.Created}, image: img}
		if err := e.checkLimits(&c.Config); err != nil {
			return err
		}
		lock, err = e.writeNew(&c.Config, atomicfile.Durable)
		return err
	})
	return c, lock, err
}

// Cleanup settles containers that have ended: what a killed monitor left of them, mounts and control groups and run-time
// state, goes. One that runs is an error.
func (e *Engine) Cleanup(ctx context.Context, ref string) error {
	return e.withContainer(ctx, ref, func(c *container) error {
		if c.running() || c.monitored() {
			return errdefs.New(errdefs.ErrState, "container %q runs: there is nothing to clean up (stop it first)", c.name())
		}
		return e.settleLeftovers(c)
	})
}
