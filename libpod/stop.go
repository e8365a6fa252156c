package libpod

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/procs"
	"github.com/wherry-containers/wherry/pkg/signals"
)

// defaultStopTimeout is Docker's time between the stop signal and SIGKILL.
const defaultStopTimeout = 10

// Stop ends a container: its stop signal, then SIGKILL when it does not go in time. One that does not run is stopped
// already.
func (e *Engine) Stop(ctx context.Context, ref string, opts StopOptions) error {
	c, err := e.markStopped(ctx, ref)
	if err != nil || c == nil {
		return err
	}
	faultpoint.Hit("stop.marked")
	sig, err := signals.Parse(firstOf(opts.Signal, c.Lifecycle.StopSignal, "TERM"))
	if err != nil {
		return err
	}
	if err := e.end(ctx, c, sig, c.stopTimeout(opts.Timeout)); err != nil {
		return err
	}
	e.note(c, "stop")
	return nil
}

// markStopped notes that the user wants the container down, so that its restart policy rests, and returns it; nil
// when it does not run.
func (e *Engine) markStopped(ctx context.Context, ref string) (*container, error) {
	var running *container
	err := e.withContainer(ctx, ref, func(c *container) error {
		switch c.status() {
		case record.Removing:
			return errRemoving(c)
		case record.Running, record.Restarting, record.Initialized:
		default:
			return nil
		}
		running = c
		if c.state.UserStopped {
			return nil
		}
		c.state.UserStopped = true
		err := e.writeState(c)
		if noSpace(err) && (c.Lifecycle.Restart == "" || c.Lifecycle.Restart == "no") {
			return nil // there is no restart policy that would have to know
		}
		return err
	})
	return running, err
}

func errRemoving(c *container) error {
	return errdefs.New(errdefs.ErrState, "container %q is being removed (wherry rm -f %s finishes it)", c.name(), shortID(c.ID))
}

func (c *container) stopTimeout(asked *int) int {
	switch {
	case asked != nil:
		return *asked
	case c.Lifecycle.StopTimeout != nil:
		return *c.Lifecycle.StopTimeout
	}
	return defaultStopTimeout
}

// end signals the container, kills it when timeout seconds (-1: never) have passed, and returns when the run is over
// and recorded. No lock is held: the monitor needs it to record the end.
func (e *Engine) end(ctx context.Context, c *container, sig syscall.Signal, timeout int) error {
	if !c.alive() {
		return e.endWaiting(ctx, c)
	}
	if c.live.Initialized {
		return e.endInitialized(ctx, c)
	}
	if timeout == 0 {
		sig = syscall.SIGKILL
	}
	e.noteKill(c, sig)
	if err := c.signal(sig); err != nil {
		return err
	}
	faultpoint.Hit("stop.signalled")
	if timeout < 0 || sig == syscall.SIGKILL {
		return awaitEnd(ctx, c)
	}
	grace, cancel := context.WithTimeout(ctx, time.Duration(timeout)*time.Second)
	defer cancel()
	err := awaitProcess(grace, c.live.Pid, c.live.PidStart)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		e.noteKill(c, syscall.SIGKILL)
		err = c.signal(syscall.SIGKILL)
	}
	if err != nil {
		return err
	}
	return awaitEnd(ctx, c)
}

// endWaiting ends a monitor that only waits to start its container again; SIGTERM makes it read the state anew.
func (e *Engine) endWaiting(ctx context.Context, c *container) error {
	if !c.monitored() {
		return nil
	}
	err := procs.PidfdSignal(c.live.Monitor, c.live.MonitorStart, syscall.SIGTERM)
	if err != nil && !errors.Is(err, procs.ErrGone) {
		return err
	}
	return awaitEnd(ctx, c)
}

// signal sends sig to the container's first process; a paused container is thawed so that it can act on it. A process
// that is gone already is no error.
func (c *container) signal(sig syscall.Signal) error {
	if c.Process.Init && sig != syscall.SIGKILL && sig != syscall.SIGSTOP {
		c.awaitInit(sig)
	}
	err := procs.PidfdSignal(c.live.Pid, c.live.PidStart, sig)
	if err != nil && !errors.Is(err, procs.ErrGone) {
		return fmt.Errorf("signal container %q: %w", c.name(), err)
	}
	if c.frozen() {
		return c.thaw()
	}
	return nil
}

// Kill sends signal (a name or number; empty: KILL) to a running container. One that would end it by Docker's rules,
// SIGKILL or the stop signal, also rests the restart policy.
func (e *Engine) Kill(ctx context.Context, ref, signal string) error {
	sig, err := signals.Parse(firstOf(signal, "KILL"))
	if err != nil {
		return err
	}
	var target *container
	err = e.withContainer(ctx, ref, func(c *container) error {
		if c.status() != record.Running || !c.running() {
			return errdefs.New(errdefs.ErrState, "container %q is not running", c.name())
		}
		target = c
		stop, _ := signals.Parse(firstOf(c.Lifecycle.StopSignal, "TERM"))
		if c.state.UserStopped || (sig != syscall.SIGKILL && sig != stop) {
			return nil
		}
		c.state.UserStopped = true
		return e.writeState(c)
	})
	if err != nil {
		return err
	}
	if sig == syscall.SIGKILL {
		return e.end(ctx, target, sig, -1)
	}
	e.noteKill(target, sig)
	return target.signal(sig)
}

// Restart stops the container if it runs and starts it again.
func (e *Engine) Restart(ctx context.Context, ref string, opts StopOptions) error {
	id, err := e.resolve(ref)
	if err != nil {
		return err
	}
	if err := e.Stop(ctx, id, opts); err != nil {
		return err
	}
	if _, err = e.Start(ctx, id, StartOptions{}); err != nil {
		return err
	}
	if c, err := e.load(id); err == nil {
		e.note(c, "restart")
	}
	return nil
}
