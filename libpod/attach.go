package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"golang.org/x/sys/unix"
)

// ErrDetached says that the user typed the detach keys: the container goes on.
var ErrDetached = errors.New("detached")

// openClient makes the connection through which the first client follows the container from its first byte.
func (s *startup) openClient() error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	s.client = os.NewFile(uintptr(fds[0]), "attach client")
	s.server = os.NewFile(uintptr(fds[1]), "attach server")
	return nil
}

// Attach connects to a running container and returns its exit code, or true when the user detached.
func (e *Engine) Attach(ctx context.Context, ref string, opts AttachOptions) (int, bool, error) {
	id, err := e.resolve(ref)
	if err != nil {
		return 0, false, err
	}
	c, err := e.lookSettled(id)
	if err != nil {
		return 0, false, err
	}
	if s := c.status(); s != record.Running && s != record.Restarting && s != record.Initialized {
		return 0, false, errdefs.New(errdefs.ErrState, "container %q is not running (wherry start -a %s starts and attaches)", c.name(), c.name())
	}
	conn, err := monitor.Dial(filepath.Join(e.dirs.ContainerRun(id), record.AttachSock))
	if err != nil {
		return 0, false, fmt.Errorf("attach to container %q: %w", c.name(), err)
	}
	defer conn.Close()
	e.note(c, "attach")
	if opts.SigProxy {
		e.catchSignals(c).pass()
	}
	return e.follow(ctx, c, conn, opts)
}

// follow copies between the caller and the container until it ends. Where the monitor dies before it told the exit
// code, the kernel and the record are asked.
func (e *Engine) follow(ctx context.Context, c *container, conn *os.File, opts AttachOptions) (int, bool, error) {
	streams := monitor.Streams{Stdout: opts.Stdout, Stderr: opts.Stderr, DetachKeys: opts.DetachKeys, Terminal: c.Process.Terminal,
		EndsInput: c.Process.StdinOnce}
	if c.Process.OpenStdin && !opts.NoStdin {
		streams.Stdin = opts.Stdin
	}
	code, detached, err := monitor.Attach(ctx, conn, streams)
	switch {
	case detached:
		return 0, true, ErrDetached
	case errors.Is(err, monitor.ErrOutput) && code != 0:
		err = nil // the container's own failure is what its caller looks for
	case errors.Is(err, monitor.ErrMonitorGone):
		code, err = e.endUnwatched(ctx, c)
	}
	return code, false, err
}

// endUnwatched is the end of a container whose monitor is gone.
func (e *Engine) endUnwatched(ctx context.Context, c *container) (int, error) {
	if err := awaitEnd(ctx, c); err != nil {
		return 0, err
	}
	now, err := e.lookSettled(c.ID)
	if errors.Is(err, errdefs.ErrNotFound) {
		return exitUnknown, nil
	} else if err != nil {
		return 0, err
	}
	return now.exitCode(), nil
}

// monitorExit waits for the exit code without taking part in the container's output.
func (e *Engine) monitorExit(ctx context.Context, c *container, armed func()) (int, error) {
	conn, err := monitor.Dial(filepath.Join(e.dirs.ContainerRun(c.ID), record.AttachSock))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	armed()
	code, _, err := monitor.Attach(ctx, conn, monitor.Streams{})
	return code, err
}
