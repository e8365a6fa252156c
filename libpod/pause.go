package libpod

import (
	"context"

	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Pause freezes all processes of a running container.
func (e *Engine) Pause(ctx context.Context, ref string) error {
	return e.withContainer(ctx, ref, func(c *container) error {
		if err := freezable(c); err != nil {
			return err
		}
		if cgroup.Frozen(c.live.Cgroups[0]) {
			return errdefs.New(errdefs.ErrState, "container %q is paused already", c.name())
		}
		if err := cgroup.Freeze(c.live.Cgroups[0]); err != nil {
			return err
		}
		e.note(c, "pause")
		return nil
	})
}

// Unpause lets a paused container go on.
func (e *Engine) Unpause(ctx context.Context, ref string) error {
	return e.withContainer(ctx, ref, func(c *container) error {
		if err := freezable(c); err != nil {
			return err
		}
		if !cgroup.Frozen(c.live.Cgroups[0]) {
			return errdefs.New(errdefs.ErrState, "container %q is not paused", c.name())
		}
		if err := cgroup.Thaw(c.live.Cgroups[0]); err != nil {
			return err
		}
		e.note(c, "unpause")
		return nil
	})
}

func freezable(c *container) error {
	if !c.running() {
		return errdefs.New(errdefs.ErrState, "container %q is not running", c.name())
	}
	if len(c.live.Cgroups) == 0 {
		return errdefs.New(errdefs.ErrUnsupported, "container %q has no control group of its own, so it cannot be paused (log in through systemd, or delegate a cgroup)", c.name())
	}
	return nil
}

// frozen tells whether a running container is paused.
func (c *container) frozen() bool {
	return len(c.live.Cgroups) > 0 && cgroup.Frozen(c.live.Cgroups[0])
}
