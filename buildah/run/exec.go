package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/binfmt"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/passwd"
	"github.com/wherry-containers/wherry/pkg/steps"
)

// step is a Step under way.
type step struct {
	Step
	r       *Runner
	h       *host
	root    string
	place   *steps.Place
	dir     string // private to the step's mount namespace: configuration, generated files, secrets, state of the runtime
	facts   cgroup.Facts
	runtime ociruntime.Runtime
	user    passwd.User
	net     *connection
	stubs   []stub
	key     string // of the seccomp filter to keep afterwards
}

// inner is the group below the step's own in which its processes are: what the kernel counted in it is still known to the
// one above when the runtime has removed it.
const inner = "/step"

// run is on a thread of its own, whose mount namespace is the step's.
func (st *step) run(ctx context.Context) error {
	if err := st.isolate(); err != nil {
		return err
	}
	err := binfmt.Enable(st.Platform.GetArchitecture(), filepath.Join(st.dir, "binfmt"), st.h.rootless)
	if err != nil {
		return err
	}
	if st.facts, err = st.h.cgroup.For(cgroup.Want{ID: st.place.ID, Parent: st.parent()}); err != nil {
		return err
	}
	st.runtime = st.h.runtime
	st.runtime.StateDir, st.runtime.Manager = filepath.Join(st.dir, "state"), st.facts.Manager
	in, err := st.input(ctx)
	if err != nil {
		return err
	}
	s, err := st.spec(in)
	if err != nil {
		return err
	}
	bundle := filepath.Join(st.dir, "bundle")
	if err := os.Mkdir(bundle, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o600); err != nil {
		return err
	}
	if err := st.place.Note(st.groups()); err != nil {
		return err
	}
	if err := st.proveNetwork(ctx); err != nil {
		return err
	}
	faultpoint.Hit("step.ready")
	return st.execute(ctx, bundle, s.Process)
}

func (st *step) parent() string {
	if parent := st.Meta.CgroupParent; parent != "" {
		return parent
	}
	return st.r.opts.Parent
}

// groups are the directories of the step's control groups.
func (st *step) groups() []string { return st.facts.Dirs(st.place.ID) }

// isolate gives this thread its own mount namespace, with a file system in it that nobody else sees.
func (st *step) isolate() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	st.dir = st.place.Private()
	if err := unix.Mount("tmpfs", st.dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=700"); err != nil {
		return fmt.Errorf("mount a tmpfs: %w", err)
	}
	return nil
}

// execute runs the runtime until the step's end.
func (st *step) execute(ctx context.Context, bundle string, first *specs.Process) error {
	group := st.facts.Monitors()
	if group != nil {
		defer group.Close()
	}
	kept := ociruntime.Kept{
		Start: ociruntime.Start{ID: st.place.ID, Bundle: bundle, LogFile: filepath.Join(st.dir, "runtime.log"),
			KeepKeyring: st.Security == 0},
		Keeper: st.r.keeper(), Group: group, Place: st.facts.Place,
		Stdin: st.Stdin, Stdout: st.Stdout, Stderr: st.Stderr,
	}
	stop := func() {}
	kept.Running = func(keeper int) {
		faultpoint.Hit("step.running")
		stop = handOn(st.Signals, func() []int { return children(children(keeper)...) })
		if st.Container != nil {
			st.Container.hold(st, first, keeper)
		}
	}
	watched, err := st.watchStart(&kept.Start)
	if err != nil {
		return err
	}
	code, err := st.runtime.RunKept(ctx, kept)
	faultpoint.Hit("step.ended")
	stop()
	watched()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errdefs.ErrNoCommand), errors.Is(err, errdefs.ErrNotExecutable):
		return st.notRun(err)
	case err != nil:
		return err
	}
	return st.result(code, nil)
}

// notRun is the end of a command that could not be executed. The runtime has written why to the output.
func (st *step) notRun(cause error) error {
	if name := st.Meta.Args[0]; !strings.Contains(cause.Error(), name) {
		cause = fmt.Errorf("%s: %w", name, cause)
	}
	return st.result(errdefs.ExitCode(cause), cause)
}

// result is the step's own for an exit status.
func (st *step) result(code int, cause error) error {
	valid := st.Meta.ValidExitCodes
	if code == 0 && len(valid) == 0 || slices.Contains(valid, int32(code)) {
		return nil
	}
	if cause == nil && st.outOfMemory() {
		cause = unix.ENOMEM
	}
	return &ExitError{Code: uint32(code), Err: cause}
}

// outOfMemory tells whether the kernel killed a process of the step for want of memory.
func (st *step) outOfMemory() bool {
	for _, dir := range st.groups() {
		text, _ := os.ReadFile(filepath.Join(dir, "memory.events"))
		for line := range strings.Lines(string(text)) {
			var n int
			if _, err := fmt.Sscanf(line, "oom_kill %d", &n); err == nil && n > 0 {
				return true
			}
		}
	}
	return false
}

// end takes back what the step has made, whatever came of it.
func (st *step) end(ctx context.Context, err error) error {
	if st.Container != nil {
		st.Container.close()
	}
	st.disconnect()
	err = errors.Join(err, st.removeStubs())
	return errors.Join(err, st.place.Release())
}

// spec makes the runtime's configuration.
func (st *step) spec(in *spec.Input) (*specs.Spec, error) {
	s, err := spec.Build(*in)
	if err != nil {
		return nil, err
	}
	s.Process.Env = st.environment()
	if s.Linux.CgroupsPath != "" {
		s.Linux.CgroupsPath += inner
	}
	if c := s.Process.Capabilities; st.Security != 0 && c != nil { // as BuildKit: also for others than root
		c.Effective, c.Permitted, c.Inheritable, c.Ambient = c.Bounding, c.Bounding, c.Bounding, c.Bounding
	}
	return s, st.addDevices(s)
}
