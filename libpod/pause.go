package libpod

import (
	"context"
	"errors"

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
		if err := c.freeze(); err != nil {
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
		if err := c.thaw(); err != nil {
			return err
		}
		e.note(c, "unpause")
		return nil
	})
}

// freeze pauses all processes. A stop or kill that comes meanwhile thaws the group so that its signal can act: then the
// container either ends, or goes on and is paused after all.
func (c *container) freeze() error {
	for {
		err := cgroup.Freeze(c.live.Cgroups[0])
		switch {
		case !c.running():
			if err == nil {
				err = c.thaw()
			}
			return errors.Join(errNotRunning(c), ignoreOverruled(err))
		case !errors.Is(err, cgroup.ErrOverruled):
			return err
		}
	}
}

// thaw lets all processes go on. Where somebody else pauses them again at the same moment, that is the last word.
func (c *container) thaw() error { return ignoreOverruled(cgroup.Thaw(c.live.Cgroups[0])) }

func ignoreOverruled(err error) error {
	if errors.Is(err, cgroup.ErrOverruled) {
		return nil
	}
	return err
}

func errNotRunning(c *container) error {
	return errdefs.New(errdefs.ErrState, "container %q is not running", c.name())
}

func freezable(c *container) error {
	if !c.running() {
		return errNotRunning(c)
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
