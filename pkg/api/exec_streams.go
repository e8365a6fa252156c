package api

import (
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/monitor"
)

// quietTime is how long output may pause after the command has ended: all that it wrote lies in the pipe by then, and what
// a child of it writes that it has left behind is not waited for.
const quietTime = 50 * time.Millisecond

// execPiped runs a command with pipes for its streams. They are read to their end even when the client has gone: the
// command goes on.
func (s *Server) execPiped(ctx context.Context, exec *session, conn *connection, stdout, stderr io.Writer) {
	opts := exec.options(s.execs.pidFile(exec))
	var in, out, errs pipe
	defer in.close()
	defer out.close()
	defer errs.close()
	if exec.Config.AttachStdin && in.open() == nil {
		opts.Stdin = in.read
		go func() {
			io.Copy(in.write, conn)
			in.write.Close()
		}()
	}
	if stdout != nil && out.open() == nil {
		opts.Stdout = out.write
		out.copyTo(stdout)
	}
	if stderr != nil && errs.open() == nil {
		opts.Stderr = errs.write
		errs.copyTo(stderr)
	}
	err := s.runExec(ctx, exec, opts)
	out.finish()
	errs.finish()
	tellFailure(err, conn, exec.Config.Tty)
}

// pipe is one stream of a command. The zero value is none.
type pipe struct {
	read, write *os.File
	ended       atomic.Bool
	copied      chan struct{}
}

func (p *pipe) open() (err error) {
	p.read, p.write, err = os.Pipe()
	return err
}

// copyTo copies until the end of what is written, and goes on reading when it cannot be passed on any more.
func (p *pipe) copyTo(into io.Writer) {
	p.copied = make(chan struct{})
	go func() {
		defer close(p.copied)
		buf := make([]byte, 32<<10)
		for {
			ended := p.ended.Load()
			if ended {
				p.read.SetReadDeadline(time.Now().Add(quietTime))
			}
			n, err := p.read.Read(buf)
			if n > 0 && into != nil {
				if _, err := into.Write(buf[:n]); err != nil {
					into = nil
				}
			}
			if err != nil && (ended || !errors.Is(err, os.ErrDeadlineExceeded)) {
				return
			}
		}
	}()
}

// finish returns when all is copied that the command, which has ended, has written.
func (p *pipe) finish() {
	if p.copied == nil {
		return
	}
	p.write.Close()
	p.ended.Store(true)
	p.read.SetReadDeadline(time.Unix(1, 0)) // wakes a read that waits
	<-p.copied
}

func (p *pipe) close() {
	if p.read != nil {
		p.read.Close()
		p.write.Close()
	}
}

// execTerminal runs a command on a terminal. When the client types the detach keys, or goes, the command goes on.
func (s *Server) execTerminal(ctx context.Context, exec *session, conn *connection, stdout io.Writer) {
	keys, _ := monitor.ParseDetachKeys(exec.Config.DetachKeys)
	left := make(chan struct{})
	opts := exec.options(s.execs.pidFile(exec))
	opts.Relay = func(master *os.File) {
		s.execs.sized(exec.ID, func(rows, columns uint16) error { return libpod.ResizeTerminal(master, rows, columns) })
		if exec.Config.AttachStdin {
			go func() {
				if _, err := io.Copy(master, monitor.NewKeyReader(conn, keys)); errors.Is(err, monitor.ErrKeys) {
					close(left)
				}
			}()
		}
		if stdout == nil {
			stdout = io.Discard
		}
		if _, err := io.Copy(stdout, master); err != nil {
			io.Copy(io.Discard, master) // the client is gone; where the terminal is closed this ends at once
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tellFailure(s.runExec(ctx, exec, opts), conn, true)
	}()
	select {
	case <-ended:
	case <-left:
	}
}
