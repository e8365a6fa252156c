package libpod

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
	"github.com/wherry-containers/wherry/pkg/ownthread"
	"github.com/wherry-containers/wherry/pkg/procs"
	"github.com/wherry-containers/wherry/pkg/recorddir"
	"github.com/wherry-containers/wherry/pkg/rootfs"
	"github.com/wherry-containers/wherry/pkg/seccomp"
	"golang.org/x/sys/unix"
)

// Start starts a container that does not run. With opts.Attach it stays until the end and returns the exit code.
func (e *Engine) Start(ctx context.Context, ref string, opts StartOptions) (code int, err error) {
	err = e.onContainer(ref, func(id string) error {
		for code, err = e.start(ctx, id, opts); errors.Is(err, monitor.ErrStopped); { // somebody was quicker: it is started anew
			code, err = e.start(ctx, id, opts)
		}
		return err
	})
	return code, err
}

func (e *Engine) start(ctx context.Context, id string, opts StartOptions) (int, error) {
	c, lock, err := e.acquireRested(ctx, id)
	if err == nil && len(c.Lifecycle.Requires) > 0 && !c.running() {
		lock.Unlock()
		if err = e.startRequired(ctx, c.Lifecycle.Requires); err == nil {
			c, lock, err = e.acquireRested(ctx, id)
		}
	}
	if err != nil {
		return 0, err
	}
	defer lock.Unlock()
	switch c.status() {
	case record.Running, record.Restarting:
		if opts.Init {
			return 0, errdefs.New(errdefs.ErrState, "container %q is %s already (init is for one that does not run)", c.name(), c.status())
		}
		if opts.Attach == nil {
			return 0, nil
		}
		lock.Unlock()
		code, _, err := e.Attach(ctx, id, *opts.Attach)
		return code, err
	case record.Removing:
		return 0, errRemoving(c)
	case record.Initialized:
		return e.goOn(ctx, c, lock, opts)
	}
	code, err := e.startLocked(ctx, c, lock, opts)
	if err != nil && !errors.Is(err, ErrDetached) {
		err = fmt.Errorf("start container %q: %w", c.name(), err)
	}
	return code, err
}

// startLocked starts c, gives its lock back, and stays attached if asked.
func (e *Engine) startLocked(ctx context.Context, c *container, lock *recorddir.Lock, opts StartOptions) (int, error) {
	s := &startup{e: e, c: c, before: c.state, runDir: e.dirs.ContainerRun(c.ID), init: opts.Init}
	attach := opts.Attach
	if attach != nil {
		if err := s.openClient(); err != nil {
			return 0, err
		}
		defer s.client.Close()
		s.proxies = attach.SigProxy
		e.note(c, "attach")
	}
	err := s.run(ctx, lock)
	if err != nil {
		err = s.undo(ctx, err)
	}
	lock.Unlock()
	if err == nil && !s.init {
		err = s.tellReady(ctx, attach != nil)
	}
	if err != nil || attach == nil {
		return 0, err
	}
	if opts.Began != nil {
		opts.Began()
	}
	s.proxy.pass()
	code, _, err := e.follow(ctx, c, s.client, *attach)
	return code, err
}

// startup is one start under way.
type startup struct {
	e        *Engine
	c        *container
	before   record.State // to go back to when the start fails
	runDir   string
	runtime  *ociruntime.Runtime
	copied   chan runtimeCopy // the copy of it in memory, made beside what comes first
	facts    cgroup.Facts
	key      string   // of the seccomp filter to keep after the start; empty: none
	client   *os.File // our end of the first attach connection
	server   *os.File // the monitor's
	monitor  *monitor.Process
	ahead    *monitor.Process    // one that waits for its job already, in this thread's mount namespace; nil: none
	config   *os.File            // the runtime that is started already waits for its configuration from here; nil: it is not
	proxies  bool                // signals are handed on
	init     bool                // the command waits for a start of its own
	proxy    *signalProxy        // nil: they are not
	net      *connection         // nil: it is on no networks
	places   int                 // mount points of ours so far
	peers    map[string]*os.File // by target: what is mounted shared with the host
	ready    *net.UnixConn       // the container says there that it is ready; nil: nobody listens
	ids      *rootfs.Mapping     // of a user namespace that is not ours; nil: it is
	hookDirs []string            // with descriptions of OCI hooks; nil: there are none
	hidden   []string            // variables from secrets, NAME=value: for the runtime alone
}

// run brings the container up. The state says "running" before anything runs, so that a kill at any point leaves a
// claim that the next command can check; the monitor shares our lock until it has reported.
func (s *startup) run(ctx context.Context, lock *recorddir.Lock) error {
	if err := s.prepare(); err != nil {
		return err
	}
	s.beginNetwork(ctx)
	claimed := make(chan error, 1)
	go func() { claimed <- s.claim() }()
	err := s.onThread(func() error { return s.launch(ctx, lock) })
	if claimErr := <-claimed; err == nil {
		err = claimErr
	}
	if err != nil {
		return err
	}
	faultpoint.Hit("start.sent")
	if s.proxies {
		s.proxy = s.e.catchSignals(s.c)
	}
	live, err := s.monitor.Report(ctx)
	if err != nil {
		return nameCommand(err, s.c.Process.Args())
	}
	s.c.live = live
	faultpoint.Hit("start.started")
	s.e.noteMounts(s.c)
	s.keepFilter()
	return nil
}

// prepare finds what the start needs and makes the run directory.
func (s *startup) prepare() error {
	var err error
	if s.facts, err = s.e.facts(&s.c.Config); err != nil {
		return err
	}
	if s.runtime, err = s.findRuntime(); err != nil {
		return err
	}
	if err := checkRuntime(s.runtime, &s.c.Config); err != nil {
		return err
	}
	s.runtime.StateDir, s.runtime.Manager, s.runtime.Rootless = s.e.dirs.Runtime(), s.facts.Manager, s.e.host().rootless
	s.copyRuntime()
	if err := os.MkdirAll(filepath.Join(s.runDir, record.Bundle), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.runDir, record.MergedDir), 0o755); err != nil {
		return err
	}
	faultpoint.Hit("start.rundir")
	return nil
}

// findRuntime is the runtime that was asked for, else the best one that works here: crun refuses hosts that mix both
// versions of control groups, runc does not.
func (s *startup) findRuntime() (*ociruntime.Runtime, error) {
	asked := firstOf(s.c.Runtime, s.e.opts.Runtime)
	set, err := s.e.settings()
	if err != nil {
		return nil, err
	}
	s.findHooks(set)
	if asked = firstOf(asked, set.Runtime); asked == "" && s.facts.Hybrid {
		if runc, err := s.e.namedRuntime("runc", set); err == nil {
			return runc, nil
		}
	}
	return s.e.namedRuntime(asked, set)
}

// claim writes that the container runs.
func (s *startup) claim() error {
	st := &s.c.state
	st.BootID, st.RunDir, st.UserStopped, st.Error = bootID(), s.e.dirs.Run, false, ""
	if s.init { // the rest is of the last run
		st.Status = record.Initialized
	} else {
		st.Status, st.StartedAt = record.Running, time.Now().UTC()
		st.ExitCode, st.OOMKilled, st.RestartCount = 0, false, 0
	}
	err := s.e.writeState(s.c)
	faultpoint.Hit("start.claimed")
	return err
}

// launch runs on a thread of its own with a mount namespace of its own, which the monitor shares: what is mounted
// here is gone when monitor and container are, whoever was killed. While monitor and runtime start up, the root file
// system and the runtime's configuration are made.
func (s *startup) launch(ctx context.Context, lock *recorddir.Lock) error {
	if s.ahead == nil {
		if err := s.keepPeers(); err != nil {
			return err
		}
		if err := isolate(); err != nil {
			return err
		}
	}
	if err := s.spawn(ctx, lock); err != nil {
		return err
	}
	faultpoint.Hit("start.monitor")
	placed := s.placing()
	if s.config != nil {
		if err := s.monitor.Send(s.job(nil)); err != nil {
			return err
		}
	}
	in, err := s.specInput(ctx)
	if placeErr := placed(); placeErr != nil {
		s.withoutGroup(&in, placeErr)
	}
	if err != nil {
		return err
	}
	sp, err := spec.Build(in)
	if err == nil {
		sp, err = s.addDevices(ctx, sp)
	}
	if err != nil {
		return err
	}
	if sp, err = s.withHooks(sp); err != nil {
		return err
	}
	data, err := lazyjson.Marshal(sp)
	if err != nil {
		return err
	}
	if err := s.uplink(ctx); err != nil {
		return err
	}
	if err := s.commitNetwork(ctx); err != nil {
		return err
	}
	if err := s.setNetSysctls(&in); err != nil {
		return err
	}
	if err := s.writeConfig(data); err != nil {
		return fmt.Errorf("write runtime configuration: %w", err)
	}
	if err := s.hiddenBundle(sp); err != nil {
		return fmt.Errorf("write runtime configuration: %w", err)
	}
	faultpoint.Hit("start.spec")
	if s.config != nil {
		return s.feedRuntime(data)
	}
	return s.monitor.Send(s.job(sp))
}

// writeConfig puts the configuration into the bundle, in the place of the link to the pipe if there is one.
func (s *startup) writeConfig(data []byte) error {
	path := s.configFile()
	if s.config == nil {
		return os.WriteFile(path, data, 0o600)
	}
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (s *startup) configFile() string { return filepath.Join(s.runDir, record.Bundle, "config.json") }

// feedRuntime gives the waiting runtime its configuration. One that is gone has told the monitor why.
func (s *startup) feedRuntime(data []byte) error {
	_, err := s.config.Write(data)
	err = errors.Join(err, s.config.Close())
	s.config = nil
	if err != nil && !errors.Is(err, unix.EPIPE) {
		return fmt.Errorf("write runtime configuration: %w", err)
	}
	return nil
}

// specInput mounts the root file system and resolves what the runtime's configuration depends on.
func (s *startup) specInput(ctx context.Context) (in spec.Input, err error) {
	in = spec.Input{Config: &s.c.Config, Cgroup: s.facts}
	if in.Host, err = s.specHost(); err != nil {
		return in, err
	}
	if err := s.join(&in); err != nil {
		return in, err
	}
	if in.Root, err = s.rootTarget(&in); err != nil {
		return in, err
	}
	if err := s.mountRoot(ctx, &in); err != nil {
		return in, err
	}
	faultpoint.Hit("start.mounted")
	return in, s.resolveInput(ctx, &in)
}

// isolate gives this thread its own mount namespace.
func isolate() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	return nil
}

// onOwnThread runs fn on a thread that ends with it, so that what fn does to the thread's namespaces is seen by
// nobody but the processes it starts.
func onOwnThread(fn func() error) error {
	return ownthread.Do(fn)
}

// undo takes back a start that failed. What the container was before it is again, with the error noted.
func (s *startup) undo(ctx context.Context, cause error) error {
	undoCtx := context.WithoutCancel(ctx) // half a start must not stay because the user pressed ctrl-c
	if s.config != nil {                  // the runtime reads nothing, gives up, and the monitor with it
		s.config.Close()
		reportCtx, cancel := context.WithTimeout(undoCtx, giveUp)
		s.monitor.Report(reportCtx)
		cancel()
	}
	if s.monitor != nil {
		s.monitor.Kill()
		s.killStarted(undoCtx)
	}
	s.undoNetwork()
	s.c.live = nil
	s.c.state = s.before
	s.c.state.Error, s.c.state.ExitCode = cause.Error(), errdefs.ExitCode(cause)
	err := s.e.dropRun(s.c, s.facts.Dirs(s.c.ID)...)
	return errors.Join(cause, err, s.e.writeState(s.c))
}

// giveUp bounds the wait for a runtime without a configuration.
const giveUp = 5 * time.Second

// killStarted ends what the runtime may have started before the start was given up.
func (s *startup) killStarted(ctx context.Context) {
	if live := s.e.loadLive(s.c.ID); live != nil && procs.PidfdSignal(live.Pid, live.PidStart, unix.SIGKILL) == nil {
		awaitProcess(ctx, live.Pid, live.PidStart)
	}
}

// keepFilter stores the seccomp filter that the runtime compiled, for the next start. It is only a cache: a failure
// costs time, nothing else.
func (s *startup) keepFilter() {
	if s.key != "" {
		s.filters().Harvest(s.key, s.runtime.SeccompFile(s.c.ID))
	}
}

func (s *startup) filters() seccomp.Cache {
	return seccomp.Cache{Dir: filepath.Join(s.e.dirs.Cache(), "seccomp")}
}

// nameCommand adds the command to an error about it where the runtime leaves it out.
func nameCommand(err error, args []string) error {
	about := errors.Is(err, errdefs.ErrNoCommand) || errors.Is(err, errdefs.ErrNotExecutable)
	if !about || len(args) == 0 || strings.Contains(err.Error(), args[0]) {
		return err
	}
	return fmt.Errorf("command %q: %w", args[0], err)
}
