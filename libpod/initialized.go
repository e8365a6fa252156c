package libpod

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/procs"
	"github.com/wherry-containers/wherry/pkg/recorddir"
)

// An initialized container has a monitor, and as first process the OCI runtime's, which has done all but to become the
// container's command. Only the monitor can let that go, for it holds the standard streams: where it was killed, nothing
// can come of the container, and settle ends the process.

// initialized tells whether the container waits for a start after init.
func (c *container) initialized() bool {
	return c.live != nil && c.live.Initialized && c.alive() && c.monitored()
}

// goOn starts the command of an initialized container, gives its lock back, and stays attached if asked. With opts.Init
// there is nothing left to do.
func (e *Engine) goOn(ctx context.Context, c *container, lock *recorddir.Lock, opts StartOptions) (int, error) {
	if opts.Init {
		return 0, errdefs.New(errdefs.ErrState, "container %q is initialized already (wherry start %s lets its command go)", c.name(), c.name())
	}
	s := &startup{e: e, c: c, before: c.state, runDir: e.dirs.ContainerRun(c.ID)}
	code, err := s.goOn(ctx, lock, opts.Attach)
	if err != nil && !errors.Is(err, ErrDetached) {
		err = fmt.Errorf("start container %q: %w", c.name(), err)
	}
	return code, err
}

// goOn holds no lock while the monitor is at work, which takes it: it notes the run before it begins, and takes back what
// fails. What else is done to the container meanwhile, it finds out from the record.
func (s *startup) goOn(ctx context.Context, lock *recorddir.Lock, attach *AttachOptions) (int, error) {
	conn, err := monitor.Dial(filepath.Join(s.runDir, record.AttachSock))
	lock.Unlock()
	if err != nil {
		return 0, s.withoutMonitor(ctx, err)
	}
	defer conn.Close()
	if attach != nil {
		s.e.note(s.c, "attach")
		if attach.SigProxy {
			s.proxy = s.e.catchSignals(s.c)
		}
	}
	err = monitor.Go(ctx, conn, attach != nil)
	if errors.Is(err, monitor.ErrMonitorGone) { // it ended with the container, or was killed: what is left is settled by who starts anew
		err = monitor.ErrStopped
	}
	if err != nil {
		return 0, nameCommand(err, s.c.Process.Args())
	}
	faultpoint.Hit("start.gone")
	if live := s.e.loadLive(s.c.ID); live != nil { // nil: it has ended
		s.c.live = live
	}
	if err := s.tellReady(ctx, attach != nil); err != nil || attach == nil {
		return 0, err
	}
	s.proxy.pass()
	code, _, err := s.e.follow(ctx, s.c, conn, *attach)
	return code, err
}

// withoutMonitor is the error of a monitor that cannot be reached: one that is about to be gone has closed its socket, and
// then the container is started anew.
func (s *startup) withoutMonitor(ctx context.Context, err error) error {
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if awaitProcess(short, s.c.live.Monitor, s.c.live.MonitorStart) == nil {
		return monitor.ErrStopped
	}
	return err
}

// killInitialized ends the first process of a container that is initialized, and does nothing to any other. Nothing can
// wait for a signal there: the runtime's process does not heed any but SIGKILL.
func (c *container) killInitialized() error {
	if c.live == nil || !c.live.Initialized {
		return nil
	}
	err := procs.PidfdSignal(c.live.Pid, c.live.PidStart, syscall.SIGKILL)
	if err != nil && !errors.Is(err, procs.ErrGone) {
		return fmt.Errorf("end the first process of container %q: %w", c.name(), err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), killed)
	defer cancel()
	return awaitProcess(ctx, c.live.Pid, c.live.PidStart)
}

// killed bounds the wait for a process that was killed and has nothing to do any more.
const killed = 10 * time.Second

// endInitialized is end for a container whose command does not run yet.
func (e *Engine) endInitialized(ctx context.Context, c *container) error {
	if err := c.killInitialized(); err != nil {
		return err
	}
	faultpoint.Hit("stop.signalled")
	return awaitEnd(ctx, c)
}
