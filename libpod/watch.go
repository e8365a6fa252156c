package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"golang.org/x/sys/unix"
)

// watchRecord calls done now and after each change of the container's record until it returns true. It is told by
// the kernel (inotify), not by looking again and again. A record that goes away ends it with ErrNotFound. armed is called
// when no change is missed any more.
func (e *Engine) watchRecord(ctx context.Context, id string, armed func(), done func(*container) bool) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch container %s: %w", shortID(id), err)
	}
	changes := os.NewFile(uintptr(fd), "inotify")
	defer changes.Close()
	const events = unix.IN_MOVED_TO | unix.IN_MOVE_SELF | unix.IN_DELETE_SELF
	if _, err := unix.InotifyAddWatch(fd, e.dirs.Container(id), events); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("watch container %s: %w", shortID(id), err)
	}
	stop := context.AfterFunc(ctx, func() { changes.Close() })
	defer stop()
	armed()
	buf := make([]byte, 4096)
	for {
		c, err := e.load(id)
		if err != nil {
			return err
		}
		if done(c) {
			return nil
		}
		if _, err := changes.Read(buf); err != nil {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// waitRunning waits for a start; one that is over before it was seen counts too.
func (e *Engine) waitRunning(ctx context.Context, id string, armed func()) error {
	before, err := e.load(id)
	if err != nil {
		return err
	}
	return e.watchRecord(ctx, id, armed, func(c *container) bool {
		return c.state.Status == record.Running || !c.state.StartedAt.Equal(before.state.StartedAt)
	})
}

// waitNextExit waits for the end of the run under way, or of the next one.
func (e *Engine) waitNextExit(ctx context.Context, id string, armed func()) (int, error) {
	if err := e.waitRunning(ctx, id, armed); err != nil {
		return 0, err
	}
	return e.waitStopped(ctx, id, armed)
}

// waitRemoved waits until the record is gone and returns the last exit code that was seen.
func (e *Engine) waitRemoved(ctx context.Context, id string, armed func()) (int, error) {
	code, err := e.waitStopped(ctx, id, armed)
	if err != nil {
		return 0, err
	}
	err = e.watchRecord(ctx, id, armed, func(c *container) bool {
		code = c.exitCode()
		return false
	})
	if errors.Is(err, errdefs.ErrNotFound) {
		err = nil
	}
	return code, err
}
