package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/passwd"
)

// Container is a step that further commands can join while it runs (Step.Container).
type Container struct {
	once  sync.Once
	ready chan struct{} // closed when commands can join, or the step has ended
	ended chan struct{}
	st    *step
	first *specs.Process
	mount *os.File
	pids  *os.File
	err   error // why nobody can join
	last  atomic.Int64
}

// NewContainer returns one for a single step.
func NewContainer() *Container {
	return &Container{ready: make(chan struct{}), ended: make(chan struct{})}
}

// Process is a further command in a container.
type Process struct {
	Args, Env      []string // Env is added to the step's
	User, Cwd      string   // empty: the step's
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Signals        <-chan unix.Signal // optional: to hand on
}

// Exec runs a command in the container, once that has started. Errors are those of Runner.Run. When the step's own command
// has ended so has everything else in it.
func (c *Container) Exec(ctx context.Context, p Process) error {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-c.ended:
		return errdefs.New(errdefs.ErrState, "the container has ended")
	default:
	}
	if c.err != nil {
		return c.err
	}
	process, err := c.process(p)
	if err != nil {
		return err
	}
	var code int
	err = onOwnThread(func() error {
		if err := c.enter(); err != nil {
			return err
		}
		dir := filepath.Join(c.st.dir, "exec"+strconv.FormatInt(c.last.Add(1), 10))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		stop := func() {}
		defer func() { stop() }()
		code, err = c.st.runtime.RunJoin(ctx, ociruntime.Join{ID: c.st.place.ID, Process: process, Dir: dir, Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr,
			Running: func(pid int) { stop = handOn(p.Signals, func() []int { return children(pid) }) }})
		return err
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errdefs.ErrNoCommand), errors.Is(err, errdefs.ErrNotExecutable):
		return &ExitError{Code: uint32(errdefs.ExitCode(err)), Err: err}
	case err != nil:
		return err
	case code != 0:
		return &ExitError{Code: uint32(code)}
	}
	return nil
}

// process is the command as the runtime takes it.
func (c *Container) process(p Process) (*specs.Process, error) {
	want := spec.Exec{Args: p.Args, Env: p.Env, WorkDir: p.Cwd}
	if p.User != "" {
		user, err := passwd.Resolve(c.st.root, p.User, nil)
		if err != nil {
			return nil, err
		}
		want.User = &spec.User{UID: user.UID, GID: user.GID, Groups: user.Groups, Home: user.Home}
	}
	return spec.ExecProcess(c.first, want)
}

// enter takes this thread to where the container was started from.
func (c *Container) enter() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Setns(int(c.pids.Fd()), unix.CLONE_NEWPID); err != nil {
		return fmt.Errorf("enter the container's processes: %w", err)
	}
	if err := unix.Setns(int(c.mount.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the container's mounts: %w", err)
	}
	return nil
}

// hold keeps what commands that join need; it is called on the step's thread when the keeper runs.
func (c *Container) hold(st *step, first *specs.Process, keeper int) {
	c.st, c.first = st, first
	if c.mount, c.err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/mnt", unix.Gettid())); c.err == nil {
		c.pids, c.err = os.Open(fmt.Sprintf("/proc/%d/ns/pid", keeper))
	}
}

// open lets commands join; close is the step's end.
func (c *Container) open() { c.once.Do(func() { close(c.ready) }) }

func (c *Container) close() {
	close(c.ended)
	c.open()
	for _, f := range []*os.File{c.mount, c.pids} {
		if f != nil {
			f.Close()
		}
	}
}

// handOn sends signals to what processes names, until the caller says stop.
func handOn(signals <-chan unix.Signal, processes func() []int) (stop func()) {
	if signals == nil {
		return func() {}
	}
	over := make(chan struct{})
	go func() {
		for {
			select {
			case sig, ok := <-signals:
				if !ok {
					return
				}
				for _, pid := range processes() {
					unix.Kill(pid, sig)
				}
			case <-over:
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(over) })
}

// children are the processes that those of these pids have started, on whichever of their threads.
func children(pids ...int) []int {
	var all []int
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d/task", pid)
		threads, _ := os.ReadDir(dir)
		for _, thread := range threads {
			text, _ := os.ReadFile(filepath.Join(dir, thread.Name(), "children"))
			for _, word := range strings.Fields(string(text)) {
				if child, err := strconv.Atoi(word); err == nil {
					all = append(all, child)
				}
			}
		}
	}
	return all
}
