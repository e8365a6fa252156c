package ociruntime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/creack/pty"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
	"golang.org/x/term"
)

// Exec is one process to run in a running container.
type Exec struct {
	ID      string
	Process *specs.Process
	Dir     string   // directory for a terminal's socket, private to the caller (the container's run directory)
	PidFile string   // optional
	Detach  bool     // return when the process has started
	Stdin   *os.File // nil: /dev/null
	Stdout  *os.File
	Stderr  *os.File
	Extra   []*os.File // descriptors of the process from 3 on
	// Console receives the master of the process' terminal (with other runtimes than crun: of one that stands before it),
	// instead of the streams above. It is called at most once, before Exec returns; the callee owns the file.
	Console func(master *os.File)
}

// Exec runs a process in a container and returns its exit status; an error is of kind errdefs.ErrNoCommand or
// ErrNotExecutable where that is the cause, and carries the runtime's own last line.
func (r *Runtime) Exec(ctx context.Context, e Exec) (int, error) {
	data, err := lazyjson.Marshal(e.Process)
	if err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", e.ID, err)
	}
	// Files in memory: they go with us, and do not go with the run directory of a container that ends meanwhile.
	process, err := memoryFile("process", data)
	if err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", e.ID, err)
	}
	defer process.Close()
	log, err := memoryFile("log", nil)
	if err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", e.ID, err)
	}
	defer log.Close()
	args := append(r.global(log.Name()), "exec", "--process", process.Name())
	if e.PidFile != "" {
		args = append(args, "--pid-file", e.PidFile)
	}
	if e.Detach {
		args = append(args, "--detach")
	}
	if len(e.Extra) > 0 {
		args = append(args, "--preserve-fds", strconv.Itoa(len(e.Extra)))
	}
	cmd := exec.CommandContext(ctx, r.Path, append(args, e.ID)[1:]...)
	cmd.Env, cmd.ExtraFiles = r.Env(), e.Extra
	memfd, err := r.Memfd()
	if err != nil {
		return 0, err
	}
	if memfd != nil {
		defer memfd.Close()
		// By our own descriptor, which execve closes: none is handed down. In the child another may have its number.
		cmd.Path = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), memfd.Fd())
	}
	faultpoint.Hit("exec.prepared")
	if e.Console != nil && (r.Kind == Crun || e.Detach) {
		return r.execConsole(ctx, e, cmd, log)
	}
	if err := e.start(cmd); err != nil {
		return 0, fmt.Errorf("execute %s: %w", r.Path, err)
	}
	faultpoint.Hit("exec.started")
	return r.status(ctx, cmd.Wait(), log)
}

// start connects the streams. The files are handed down as they are: no copying goroutine stands between.
func (e Exec) start(cmd *exec.Cmd) error {
	if e.Console == nil {
		return e.startPlain(cmd)
	}
	master, slave, err := pty.Open()
	if err != nil {
		return fmt.Errorf("open a terminal: %w", err)
	}
	defer slave.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		master.Close()
		return err
	}
	e.Console(master)
	return nil
}

// startPlain hands the caller's files down as they are, but for a terminal: through its descriptor the container could
// read what is typed and push input back, so there a pipe stands between.
func (e Exec) startPlain(cmd *exec.Cmd) error {
	cmd.Stdout, cmd.Stderr = guarded(e.Stdout), guarded(e.Stderr)
	if e.Stdin == nil {
		return cmd.Start()
	}
	if !term.IsTerminal(int(e.Stdin.Fd())) {
		cmd.Stdin = e.Stdin
		return cmd.Start()
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { // not waited for: it may block in a read until the next key
		io.Copy(in, e.Stdin)
		in.Close()
	}()
	return nil
}

func guarded(f *os.File) io.Writer {
	switch {
	case f == nil:
		return nil
	case term.IsTerminal(int(f.Fd())):
		return struct{ io.Writer }{f}
	}
	return f
}

// maxLog bounds what is read of a runtime's messages.
const maxLog = 64 << 10

// status tells the process' own exit status from a failure of the runtime, which alone writes to the log.
func (r *Runtime) status(ctx context.Context, waited error, log *os.File) (int, error) {
	if waited == nil {
		return 0, nil
	}
	var exit *exec.ExitError
	if !errors.As(waited, &exit) {
		return 0, fmt.Errorf("execute %s: %w", r.Path, waited)
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if text, _ := io.ReadAll(io.NewSectionReader(log, 0, maxLog)); lastLine(string(text)) != "" {
		return 0, r.Failure(string(text))
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return exit.ExitCode(), nil
}
