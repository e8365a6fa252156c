package libpod

import (
	"context"
	"errors"
	"fmt"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/procs"
	"golang.org/x/sys/unix"
)

// awaitEnd waits until the run of c is over and recorded: its monitor is gone, or, where the monitor was killed, its
// first process is.
func awaitEnd(ctx context.Context, c *container) error {
	if c.live == nil {
		return nil
	}
	if err := awaitProcess(ctx, c.live.Monitor, c.live.MonitorStart); err != nil {
		return err
	}
	return awaitProcess(ctx, c.live.Pid, c.live.PidStart)
}

// awaitProcess waits until the process is gone.
func awaitProcess(ctx context.Context, pid int, start uint64) error {
	fd, err := procs.PidfdOpen(pid, start)
	if errors.Is(err, procs.ErrGone) {
		return nil
	} else if err != nil {
		return fmt.Errorf("wait for process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	return procs.WaitPidfd(ctx, fd)
}

// Wait waits for a container by condition (not-running, the default; next-exit; removed, or stopped, exited as Podman
// calls them) and returns its exit code.
func (e *Engine) Wait(ctx context.Context, ref, condition string) (int, error) {
	return e.WaitArmed(ctx, ref, condition, nil)
}

// WaitArmed is Wait that calls armed once what happens from then on is not missed, however soon it happens. armed may be
// called more than once.
func (e *Engine) WaitArmed(ctx context.Context, ref, condition string, armed func()) (int, error) {
	if armed == nil {
		armed = func() {}
	}
	id, err := e.resolve(ref)
	if err != nil {
		return 0, err
	}
	switch condition {
	case "", "not-running", "stopped", "exited":
		return e.waitStopped(ctx, id, armed)
	case "next-exit":
		return e.waitNextExit(ctx, id, armed)
	case "removed":
		return e.waitRemoved(ctx, id, armed)
	case "running":
		return 0, e.waitRunning(ctx, id, armed)
	}
	return e.waitOther(ctx, id, condition)
}

// waitStopped returns the exit code of the run that is under way, or of the last one.
func (e *Engine) waitStopped(ctx context.Context, id string, armed func()) (int, error) {
	c, err := e.lookSettled(id)
	if err != nil {
		return 0, err
	}
	if c.status() != record.Running && c.status() != record.Removing {
		return c.exitCode(), nil
	}
	if c.live == nil {
		return c.exitCode(), nil
	}
	return e.awaitExit(ctx, c, armed)
}

// awaitExit waits for the end of the run under way. The monitor tells the exit code, so that it is known even when
// the record goes with the container.
func (e *Engine) awaitExit(ctx context.Context, c *container, armed func()) (int, error) {
	code, err := e.monitorExit(ctx, c, armed)
	if err == nil {
		return code, nil
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return e.endUnwatched(ctx, c)
}

// exitCode is the code of the last end, by the kernel's word.
func (c *container) exitCode() int {
	if c.stale() && c.state.Status == record.Running {
		return exitUnknown
	}
	return c.state.ExitCode
}
