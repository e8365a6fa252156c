package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"golang.org/x/sys/unix"
)

// WaitConditions are the words that Wait takes: Docker's, then Podman's.
func WaitConditions() []string {
	return []string{"not-running", "next-exit", "removed", "running", "stopped", "exited", "created", "configured", "initialized", "paused",
		"removing", "stopping", "healthy", "unhealthy"}
}

// WaitAny waits until the first of the conditions holds; none is not-running.
func (e *Engine) WaitAny(ctx context.Context, ref string, conditions []string) (int, error) {
	if len(conditions) < 2 {
		return e.Wait(ctx, ref, firstOf(conditions...))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		code int
		err  error
	}
	done := make(chan outcome, len(conditions))
	for _, condition := range conditions {
		go func() {
			code, err := e.Wait(ctx, ref, condition)
			done <- outcome{code, err}
		}()
	}
	first := <-done
	return first.code, first.err
}

// waitStatus waits for what no end of a process tells. The kernel says when one of the files changes that tell.
func (e *Engine) waitStatus(ctx context.Context, id, condition string) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch container %s: %w", shortID(id), err)
	}
	changes := os.NewFile(uintptr(fd), "inotify")
	defer changes.Close()
	stop := context.AfterFunc(ctx, func() { changes.Close() })
	defer stop()
	buf := make([]byte, 4096)
	for {
		e.watchAll(fd, id)
		c, err := e.load(id)
		if err != nil {
			return err
		}
		if e.watchFreezer(fd, c); e.holds(c, condition) {
			return nil
		}
		if _, err := changes.Read(buf); err != nil {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// watchAll watches the directories that a container's state is in, as far as they are there; the one around its run
// directory tells when that comes.
func (e *Engine) watchAll(fd int, id string) {
	run := e.dirs.ContainerRun(id)
	unix.InotifyAddWatch(fd, e.dirs.Container(id), unix.IN_MOVED_TO|unix.IN_MOVE_SELF|unix.IN_DELETE_SELF)
	unix.InotifyAddWatch(fd, run, unix.IN_MOVED_TO|unix.IN_DELETE_SELF)
	unix.InotifyAddWatch(fd, filepath.Dir(run), unix.IN_CREATE)
}

// watchFreezer watches the file that tells when a container is paused.
func (e *Engine) watchFreezer(fd int, c *container) {
	if c.running() && len(c.live.Cgroups) > 0 {
		unix.InotifyAddWatch(fd, filepath.Join(c.live.Cgroups[0], "cgroup.events"), unix.IN_MODIFY)
	}
}

// holds tells whether a container is as the condition has it.
func (e *Engine) holds(c *container, condition string) bool {
	status := c.status()
	switch condition {
	case "created", "configured":
		return status == record.Created
	case "initialized":
		return status == record.Initialized
	case "paused":
		return c.running() && c.frozen()
	case "removing":
		return status == record.Removing
	case "stopping":
		return status == record.Running && c.state.UserStopped
	}
	return c.running() && e.healthStatus(c.ID) == condition
}

// waitOther is Wait for the conditions of waitStatus.
func (e *Engine) waitOther(ctx context.Context, id, condition string) (int, error) {
	if !slices.Contains(WaitConditions(), condition) {
		return 0, errdefs.New(errdefs.ErrInvalid, "unknown --condition %q (%v)", condition, WaitConditions())
	}
	c, err := e.load(id)
	if err != nil {
		return 0, err
	}
	if (condition == "healthy" || condition == "unhealthy") && c.Health == nil {
		return 0, errdefs.New(errdefs.ErrInvalid, "container %q has no health check, so it is never %s (--health-cmd gives it one)", c.name(), condition)
	}
	return 0, e.waitStatus(ctx, id, condition)
}
