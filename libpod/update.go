package libpod

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
)

// UpdateOptions is what `update` needs. What is not named stays as it is.
type UpdateOptions struct {
	Limits   []func(*record.Resources) // applied one after the other to the limits that hold
	Restart  *record.Restart
	Env      []string // NAME=value to set
	UnsetEnv []string // names to drop
	Health   *record.Health
	NoHealth bool
}

// Update changes the limits, the restart policy, the environment and the health check of a container. The limits of a
// running one change at once, and so do policy and check; the environment is that of its next process.
//
// The new wish is on disk before anything that runs is touched. When the kernel refuses a limit it is taken back.
func (e *Engine) Update(ctx context.Context, ref string, opts UpdateOptions) error {
	return e.withContainer(ctx, ref, func(c *container) error {
		if c.state.Status == record.Removing {
			return errRemoving(c)
		}
		before := *c
		if err := e.amend(c, opts); err != nil {
			return err
		}
		if err := e.writeUpdate(c); err != nil {
			return err
		}
		faultpoint.Hit("update.written")
		err := e.updateRun(ctx, c, &before)
		if err == nil {
			e.note(c, "update")
			return nil
		}
		return errors.Join(err, e.writeUpdate(&before))
	})
}

// amend puts the wish that is to hold into c: into its Config and what is noted beside it.
func (e *Engine) amend(c *container, opts UpdateOptions) error {
	u := record.Update{Version: record.Version}
	if c.update != nil {
		u = *c.update
	}
	if len(opts.Limits) > 0 {
		r := c.Resources
		for _, change := range opts.Limits {
			change(&r)
		}
		wanted := c.Config
		wanted.Resources = r
		if err := e.checkLimits(&wanted); err != nil {
			return err
		}
		u.Resources = &r
	}
	if opts.Restart != nil {
		if c.Lifecycle.AutoRemove && opts.Restart.Policy != "no" {
			return errdefs.New(errdefs.ErrInvalid, "container %q is removed when it ends (--rm), so it cannot be started again by --restart=%s", c.name(), opts.Restart.Policy)
		}
		u.Restart = opts.Restart
	}
	if len(opts.Env) > 0 || len(opts.UnsetEnv) > 0 {
		env := spec.MergeEnv(spec.MergeEnv(c.Process.Env, opts.UnsetEnv), opts.Env)
		u.Env = &env
	}
	switch {
	case opts.NoHealth:
		u.Health = &record.NewHealth{}
	case opts.Health != nil:
		check := mergeHealth(opts.Health, c.Health)
		if check == nil || len(check.Test) == 0 {
			return errdefs.New(errdefs.ErrInvalid, "container %q has no health check to change (give one with --health-cmd)", c.name())
		}
		if c.Health != nil {
			check.OnFailure = firstOf(check.OnFailure, c.Health.OnFailure)
		}
		u.Health = &record.NewHealth{Check: check}
	}
	c.update = &u
	u.Apply(&c.Config)
	return nil
}

// writeUpdate notes what has changed of the wish, or that nothing has. The caller holds the lock.
func (e *Engine) writeUpdate(c *container) error {
	if c.update == nil {
		return ignoreMissing(os.Remove(filepath.Join(e.dirs.Container(c.ID), record.UpdateFile)))
	}
	data, err := lazyjson.Marshal(c.update)
	if err != nil {
		return err
	}
	dur := atomicfile.Durable
	if c.Lifecycle.AutoRemove {
		dur = atomicfile.Volatile
	}
	return e.containers.WriteFile(c.ID, record.UpdateFile, data, dur)
}

// changedLife tells whether the monitor has to know.
func changedLife(now, before *container) bool {
	if now.Lifecycle.Restart != before.Lifecycle.Restart || now.Lifecycle.MaxRetries != before.Lifecycle.MaxRetries {
		return true
	}
	a, b := now.Health, before.Health
	if a == nil || b == nil {
		return a != b
	}
	x, _ := lazyjson.Marshal(a)
	y, _ := lazyjson.Marshal(b)
	return !slices.Equal(x, y)
}
