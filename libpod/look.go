package libpod

import (
	"context"
	"errors"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/recorddir"
)

// look reads a container for somebody who holds no lock. The files of a record are read one after the other; where they
// do not fit together, the lock tells whether somebody changes them at this moment.
func (e *Engine) look(id string) (*container, error) {
	c, err := e.load(id)
	if err != nil || !c.stale() {
		return c, err
	}
	lock, err := e.containers.TryAcquire(id)
	if err != nil {
		return nil, err
	}
	if lock == nil {
		c.busy = c.state.BootID == bootID()
		return c, nil
	}
	defer lock.Unlock()
	return e.load(id)
}

// lookSettled is look that waits until a start that is under way is over, for those who need the container itself.
func (e *Engine) lookSettled(id string) (*container, error) {
	c, err := e.load(id)
	if err != nil || !c.stale() {
		return c, err
	}
	lock, err := e.containers.Acquire(id)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	return e.load(id)
}

// endSlice is how often a monitor that is about to record an end is looked at.
const endSlice = 10 * time.Millisecond

// acquireRested locks a container that either runs or rests: the moment in which its last run is over, but the monitor
// has not yet recorded it or still cleans up behind it, is waited out.
func (e *Engine) acquireRested(ctx context.Context, id string) (*container, *recorddir.Lock, error) {
	for {
		lock, err := e.containers.Acquire(id)
		if err != nil {
			return nil, nil, err
		}
		c, err := e.load(id)
		if err == nil && !c.ending() {
			if err = e.settle(c); err == nil {
				return c, lock, nil
			}
		}
		lock.Unlock()
		if err != nil {
			return nil, nil, err
		}
		slice, cancel := context.WithTimeout(ctx, endSlice)
		err = awaitProcess(slice, c.live.Monitor, c.live.MonitorStart)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return nil, nil, errors.Join(err, ctx.Err())
		}
	}
}

// ending tells whether the container's process is gone while its monitor is still at work on that.
func (c *container) ending() bool {
	return c.monitored() && !c.alive() && c.state.Status != record.Restarting
}
