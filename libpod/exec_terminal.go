package libpod

import (
	"context"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"golang.org/x/sys/unix"
)

// execTerminal runs x on a terminal of its own that this process stands before, so that the detach keys work. When
// they are typed, or this process dies, the command gets a hang-up as from any terminal that is closed.
func (e *Engine) execTerminal(ctx context.Context, runtime *ociruntime.Runtime, x ociruntime.Exec, opts ExecOptions) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	x.Process.ConsoleSize = consoleSize(opts)
	var relayed chan error // nil until there is a terminal
	x.Console = func(master *os.File) {
		relayed = make(chan error, 1)
		streams := monitor.Streams{Stdout: opts.Stdout, Terminal: true, DetachKeys: opts.DetachKeys, EndsInput: true}
		if opts.Stdin != nil {
			streams.Stdin = opts.Stdin
		}
		go func() {
			detached, err := monitor.Relay(master, streams)
			if detached {
				err = ErrDetached
				cancel()
			}
			relayed <- err
		}()
	}
	code, err := runtime.Exec(ctx, x)
	if relayed == nil {
		return code, err
	}
	if relayErr := <-relayed; relayErr != nil {
		return code, relayErr
	}
	return code, err
}

// consoleSize is the size of the caller's terminal, so that the process has it from the start; nil without one.
func consoleSize(opts ExecOptions) *specs.Box {
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
