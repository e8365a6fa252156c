package libpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/caps"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
	"github.com/wherry-containers/wherry/pkg/passwd"
)

// Exec runs a further process in a running container and returns its exit code; 0 at once when it is detached.
func (e *Engine) Exec(ctx context.Context, ref string, opts ExecOptions) (int, error) {
	id, err := e.resolve(ref)
	if err != nil {
		return 0, err
	}
	c, err := e.lookSettled(id)
	if err != nil {
		return 0, err
	}
	if !c.running() {
		return 0, errdefs.New(errdefs.ErrState, "container %q is not running (wherry start %s starts it)", c.name(), c.name())
	}
	if c.frozen() {
		return 0, errdefs.New(errdefs.ErrState, "container %q is paused (wherry unpause %s lets it go on)", c.name(), c.name())
	}
	process, err := e.execProcess(c, opts)
	if err != nil {
		return 0, err
	}
	runtime, err := e.runtimeOf(c)
	if err != nil {
		return 0, err
	}
	x := ociruntime.Exec{ID: c.ID, Process: process, Dir: e.dirs.ContainerRun(id), Detach: opts.Detach,
		Stdin: opts.Stdin, Stdout: opts.Stdout, Stderr: opts.Stderr, Extra: opts.Extra, PidFile: opts.PidFile}
	if opts.Detach {
		x.Stdin, x.Stdout, x.Stderr = nil, nil, nil // nobody waits for it, so it must not hold the caller's pipes open
	}
	e.placeExec()
	noted := e.noteExec(c, opts)
	code, err := e.runExec(ctx, c, runtime, x, opts)
	noted(code, err)
	if opts.Terminal && !opts.Detach {
		return code, err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errdefs.New(errdefs.ErrState, "container %q has just ended", c.name()) // and its run directory with it
	}
	return code, saidAlready(runtime, opts, err)
}

// runExec runs x the way its streams want it.
func (e *Engine) runExec(ctx context.Context, c *container, runtime *ociruntime.Runtime, x ociruntime.Exec, opts ExecOptions) (int, error) {
	switch {
	case opts.Terminal && opts.Detach:
		return e.execDetachedTerminal(ctx, c, runtime, x)
	case opts.Terminal:
		return e.execTerminal(ctx, c, runtime, x, opts)
	}
	return runtime.Exec(ctx, x)
}

// saidAlready leaves only the exit status of an error that crun has written to the caller's own stderr too: in the
// container, where it finds out that the command is not there, that is the only way to speak.
func saidAlready(runtime *ociruntime.Runtime, opts ExecOptions, err error) error {
	said := errors.Is(err, errdefs.ErrNoCommand) || errors.Is(err, errdefs.ErrNotExecutable) || errors.Is(err, errdefs.ErrState)
	if !said || opts.Detach || opts.Stderr == nil || runtime.Kind != ociruntime.Crun {
		return err
	}
	return &errdefs.ExitError{Code: errdefs.ExitCode(err)}
}

// runtimeOf is the runtime that started the container.
func (e *Engine) runtimeOf(c *container) (*ociruntime.Runtime, error) {
	set, err := e.settings()
	if err != nil {
		return nil, err
	}
	runtime, err := e.namedRuntime(firstOf(c.live.Runtime, c.Runtime, e.opts.Runtime), set)
	if err != nil {
		return nil, err
	}
	facts, err := e.facts(&c.Config)
	if err != nil {
		return nil, err
	}
	runtime.StateDir, runtime.Manager, runtime.Rootless = e.dirs.Runtime(), facts.Manager, e.host().rootless
	return runtime, nil
}

// execProcess is the runtime's description of the new process, made from that of the first one.
func (e *Engine) execProcess(c *container, opts ExecOptions) (*specs.Process, error) {
	first, err := e.firstProcess(c)
	if err != nil {
		return nil, err
	}
	x := spec.Exec{Args: opts.Command, Env: opts.Env, WorkDir: opts.WorkDir, Terminal: opts.Terminal, Privileged: opts.Privileged}
	if opts.User != "" {
		user, err := passwd.Resolve(fmt.Sprintf("/proc/%d/root", c.live.Pid), opts.User, nil)
		if err != nil {
			return nil, err
		}
		x.User = &spec.User{UID: user.UID, GID: user.GID, Groups: user.Groups, Home: user.Home}
	}
	if opts.Privileged {
		if x.Caps, err = caps.Permitted(); err != nil {
			return nil, err
		}
	}
	return spec.ExecProcess(first, x)
}

// firstProcess reads how the container's first process was started.
func (e *Engine) firstProcess(c *container) (*specs.Process, error) {
	data, err := os.ReadFile(filepath.Join(e.dirs.ContainerRun(c.ID), record.Bundle, "config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errdefs.New(errdefs.ErrState, "container %q has just ended", c.name())
	} else if err != nil {
		return nil, err
	}
	var sp struct {
		Process *specs.Process `json:"process"`
	}
	if err := lazyjson.Unmarshal(data, &sp); err != nil || sp.Process == nil {
		return nil, errdefs.New(errdefs.ErrBroken, "the run-time configuration of container %q is broken: %v (restart the container)", c.name(), err)
	}
	return sp.Process, nil
}
