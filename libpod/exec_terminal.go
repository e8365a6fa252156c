package libpod

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"golang.org/x/sys/unix"
)

// execTerminal runs x on a terminal of its own that this process stands before, so that the detach keys work. The
// container's monitor holds that terminal too: when the keys are typed, or this process dies, the command goes on.
func (e *Engine) execTerminal(ctx context.Context, c *container, runtime *ociruntime.Runtime, x ociruntime.Exec, opts ExecOptions) (int, error) {
	t := &execTerminal{opts: opts, path: filepath.Join(e.dirs.ContainerRun(c.ID), record.AttachSock), relayed: make(chan error, 1), ran: make(chan execEnd, 1)}
	defer t.close()
	x.Process.ConsoleSize = consoleSize(opts)
	x.Console = t.take
	go func() {
		code, err := runtime.Exec(ctx, x)
		t.ran <- execEnd{code, err}
	}()
	select {
	case err := <-t.relayed:
		if errors.Is(err, ErrDetached) {
			return 0, err // the runtime waits for the command without us
		}
		end := <-t.ran
		return end.code, errors.Join(end.err, err)
	case end := <-t.ran:
		if !t.taken {
			return end.code, end.err
		}
		if err := <-t.relayed; err != nil {
			return end.code, err
		}
		return end.code, end.err
	}
}

type execEnd struct {
	code int
	err  error
}

// execTerminal is the terminal of one exec.
type execTerminal struct {
	opts    ExecOptions
	path    string   // of the monitor's socket
	hold    *os.File // connection over which the monitor was given the terminal; closed, it is the monitor's alone
	taken   bool     // there is a terminal; set before ran
	relayed chan error
	ran     chan execEnd
}

// take is given the terminal when the command starts.
func (t *execTerminal) take(master *os.File) {
	t.taken = true
	if !t.opts.NoSession {
		// Without a monitor (it was killed) the command gets a hang-up when we go, as from any terminal that is closed.
		t.hold, _ = monitor.Hold(t.path, master)
	}
	if t.opts.Relay != nil {
		go func() {
			defer master.Close()
			t.opts.Relay(master)
			t.relayed <- nil
		}()
		return
	}
	streams := monitor.Streams{Stdout: t.opts.Stdout, Terminal: true, DetachKeys: t.opts.DetachKeys, EndsInput: true}
	if t.opts.Stdin != nil {
		streams.Stdin = t.opts.Stdin
	}
	go func() {
		detached, err := monitor.Relay(master, streams)
		if detached {
			err = ErrDetached
		}
		t.relayed <- err
	}()
}

func (t *execTerminal) close() {
	if t.hold != nil {
		t.hold.Close()
	}
}

// execDetachedTerminal starts x on a terminal that the monitor holds from the start.
func (e *Engine) execDetachedTerminal(ctx context.Context, c *container, runtime *ociruntime.Runtime, x ociruntime.Exec) (int, error) {
	var held error
	x.Console = func(master *os.File) {
		defer master.Close()
		conn, err := monitor.Hold(filepath.Join(e.dirs.ContainerRun(c.ID), record.AttachSock), master)
		if err != nil {
			held = errdefs.New(errdefs.ErrState, "container %q has lost its monitor, so nobody can hold the terminal of the command (leave --tty out)", c.name())
			return
		}
		conn.Close()
	}
	code, err := runtime.Exec(ctx, x)
	return code, errors.Join(err, held)
}

// ResizeTerminal does nothing once the terminal is closed.
func ResizeTerminal(master *os.File, rows, columns uint16) error {
	raw, err := master.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) {
		unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	})
}

// consoleSize is the size of the caller's terminal, so that the process has it from the start; nil without one.
func consoleSize(opts ExecOptions) *specs.Box {
	if opts.Rows > 0 && opts.Columns > 0 {
		return &specs.Box{Height: uint(opts.Rows), Width: uint(opts.Columns)}
	}
	for _, f := range []*os.File{opts.Stdin, opts.Stdout} {
		if f == nil {
			continue
		}
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			return &specs.Box{Height: uint(size.Row), Width: uint(size.Col)}
		}
	}
	return nil
}
