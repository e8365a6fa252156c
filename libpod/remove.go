package libpod

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/procs"
	"github.com/wherry-containers/wherry/pkg/signals"
	"golang.org/x/sys/unix"
)

// Remove takes a container away with its read-write layer and logs. A running one only with Force.
func (e *Engine) Remove(ctx context.Context, ref string, opts RemoveOptions) error {
	return e.onContainer(ref, func(id string) error { return e.remove(ctx, id, opts) })
}

func (e *Engine) remove(ctx context.Context, id string, opts RemoveOptions) error {
	gone, err := e.beginRemoval(ctx, id, opts)
	if errors.Is(err, errdefs.ErrBroken) || errors.Is(err, errdefs.ErrNewerVersion) {
		return e.removeBroken(ctx, id, opts, err)
	}
	if err != nil || gone {
		return err
	}
	faultpoint.Hit("remove.marked")
	c, err := e.load(id)
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if err := e.endForRemoval(ctx, c, opts); err != nil {
		return err
	}
	return e.finishRemoval(ctx, id, opts)
}

// beginRemoval takes away a container of which nothing runs. Of another one it notes the intent, so that nobody starts it
// while it is taken down.
func (e *Engine) beginRemoval(ctx context.Context, id string, opts RemoveOptions) (gone bool, err error) {
	lock, err := e.containers.Acquire(id)
	if err != nil {
		return false, err
	}
	defer lock.Unlock()
	c, err := e.load(id)
	if err != nil {
		return false, err
	}
	if err := e.runsElsewhere(c); err != nil {
		return false, err
	}
	status := c.status()
	if (status == record.Running || status == record.Restarting) && !opts.Force {
		return false, errdefs.New(errdefs.ErrState, "container %q is %s (stop it first, or use --force)", c.name(), status)
	}
	if c.live == nil && !c.stale() {
		if err := e.settleLeftovers(c); err != nil {
			return false, err
		}
		return true, e.dropRecord(c, opts.Volumes)
	}
	c.state.Status, c.state.UserStopped = record.Removing, true
	err = e.writeState(c)
	if noSpace(err) && opts.Force {
		return false, e.dropMonitor(ctx, c)
	}
	return false, err
}

// noSpace tells whether a write failed for the want of room, which removal is to give.
func noSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// dropMonitor kills the monitor of a container that is about to be removed and on which nothing can be noted: nobody is
// left then who would start it again.
func (e *Engine) dropMonitor(ctx context.Context, c *container) error {
	if !c.monitored() {
		return nil
	}
	err := procs.PidfdSignal(c.live.Monitor, c.live.MonitorStart, syscall.SIGKILL)
	if err != nil && !errors.Is(err, procs.ErrGone) {
		return fmt.Errorf("end the monitor of container %q: %w", c.name(), err)
	}
	return awaitProcess(ctx, c.live.Monitor, c.live.MonitorStart)
}

func (e *Engine) endForRemoval(ctx context.Context, c *container, opts RemoveOptions) error {
	if !c.alive() && !c.monitored() {
		return nil
	}
	if opts.Timeout == nil {
		return e.end(ctx, c, syscall.SIGKILL, -1)
	}
	sig, err := signals.Parse(firstOf(c.Lifecycle.StopSignal, "TERM"))
	if err != nil {
		return err
	}
	return e.end(ctx, c, sig, *opts.Timeout)
}

// finishRemoval deletes what is left. An AutoRemove container may have gone with its monitor.
func (e *Engine) finishRemoval(ctx context.Context, id string, opts RemoveOptions) error {
	err := e.containers.WithLock(ctx, id, func() error {
		c, err := e.load(id)
		if err != nil {
			return err
		}
		if c.alive() {
			return errdefs.New(errdefs.ErrState, "container %q was started again meanwhile (use --force)", c.name())
		}
		if err := e.dropRun(c); err != nil {
			return err
		}
		return e.dropRecord(c, opts.Volumes)
	})
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil
	}
	return err
}

// dropRecord removes the record and, if asked, its anonymous volumes. The caller holds the lock. The record goes
// first: a volume that outlives a kill in between is found by volume prune, a record without its volume would be
// broken.
func (e *Engine) dropRecord(c *container, volumes bool) error {
	names := []string{c.name()}
	if c.Config.Name != c.name() {
		names = append(names, c.Config.Name)
	}
	if err := e.dropMount(c.ID); err != nil {
		return err
	}
	if err := e.containers.Remove(c.ID, names...); err != nil {
		return err
	}
	e.note(c, "destroy")
	if !volumes {
		return nil
	}
	for _, m := range c.Mounts {
		if m.Type == "volume" && m.Anonymous {
			if err := e.removeVolume(m.Source, false); err != nil && !errors.Is(err, errdefs.ErrInUse) && !errors.Is(err, errdefs.ErrNotFound) {
				return err
			}
		}
	}
	return nil
}

// removeBroken removes a record that cannot be read: with Force only, since what it says is lost with it. What runs
// of it is killed as far as its run-time state tells.
func (e *Engine) removeBroken(ctx context.Context, id string, opts RemoveOptions, why error) error {
	if !opts.Force {
		return why
	}
	c := &container{Config: record.Config{ID: id}, live: e.loadLive(id)}
	if c.live != nil && (c.alive() || c.monitored()) {
		c.signal(syscall.SIGKILL)
		if err := awaitProcess(ctx, c.live.Pid, c.live.PidStart); err != nil {
			return err
		}
	}
	return e.containers.WithLock(ctx, id, func() error {
		if err := e.dropRun(c); err != nil {
			return err
		}
		return e.containers.Remove(id, e.namesOf(id)...)
	})
}
