package server

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/pkg/logdriver"
)

// maxInput bounds the input that waits for the container: beyond it clients are not read.
const maxInput = 256 << 10

// stdio is our side of the container's standard streams; -1 is none.
type stdio struct {
	in       int    // its stdin, or the terminal
	out      [2]int // its stdout (or the terminal) and stderr
	input    []byte // waits for in to take it
	closeIn  bool   // close in when input is written
	terminal bool
	rows     uint16
	columns  uint16
}

func (io *stdio) clear() {
	io.in, io.out, io.input, io.closeIn = -1, [2]int{-1, -1}, nil, false
}

func (io *stdio) watches(list []watch, s *Server) []watch {
	if io.in >= 0 && len(io.input) > 0 {
		list = append(list, watch{io.in, unix.POLLOUT, func(int16) { s.feed() }})
	}
	if s.held() {
		return list
	}
	for i, fd := range io.out {
		if fd >= 0 {
			list = append(list, watch{fd, unix.POLLIN, func(int16) { s.pump(logdriver.Stream(i)) }})
		}
	}
	return list
}

// pipe is a pipe of which the container's end is blocking, ours not.
func pipe(ours int) (fds [2]int, err error) {
	if err = unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return fds, fmt.Errorf("make pipe: %w", err)
	}
	return fds, unix.SetNonblock(fds[ours], true)
}

// open makes the streams of a container that is about to start. files are the three that the runtime gets; the
// caller closes those listed in after.
func (io *stdio) open(job *monitor.Job) (files [3]int, after []int, err error) {
	io.clear()
	io.terminal = job.Terminal
	if job.Log.Driver == logdriver.Passthrough {
		return [3]int{0, 1, 2}, nil, nil
	}
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return files, nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	files, after = [3]int{null, null, null}, []int{null}
	if job.Terminal {
		return files, after, nil
	}
	if job.OpenStdin {
		p, err := pipe(1)
		if err != nil {
			return files, after, err
		}
		files[0], io.in, after = p[0], p[1], append(after, p[0])
	}
	for i := range io.out {
		p, err := pipe(0)
		if err != nil {
			return files, after, err
		}
		files[1+i], io.out[i], after = p[1], p[0], append(after, p[1])
	}
	return files, after, nil
}

// closeAll drops our side.
func (io *stdio) closeAll() {
	if io.in >= 0 && io.in != io.out[0] {
		unix.Close(io.in)
	}
	for _, fd := range io.out {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	io.clear()
}

// pump moves one piece of output to the log and the clients. It says whether there may be more at once.
func (s *Server) pump(stream logdriver.Stream) bool {
	fd := s.stdio.out[stream]
	if fd < 0 {
		return false
	}
	n, err := unix.Read(fd, s.buf)
	switch {
	case err == unix.EINTR:
		return true
	case err == unix.EAGAIN:
		return false
	case n <= 0 || err != nil: // a terminal that nobody holds any more gives EIO
		s.endOutput(stream)
		return false
	}
	if s.log != nil {
		if err := s.log.Write(stream, s.buf[:n], time.Now()); err != nil {
			s.warn("%v", err)
		}
	}
	s.broadcast(byte(monitor.MsgStdout+stream), s.buf[:n])
	return true
}

func (s *Server) endOutput(stream logdriver.Stream) {
	if s.log != nil {
		if err := s.log.End(stream, time.Now()); err != nil {
			s.warn("%v", err)
		}
	}
	unix.Close(s.stdio.out[stream])
	if s.stdio.in == s.stdio.out[stream] { // the terminal
		s.stdio.in, s.stdio.input = -1, nil
	}
	s.stdio.out[stream] = -1
}

// feed writes what waits to the container's stdin.
func (s *Server) feed() {
	io := &s.stdio
	for len(io.input) > 0 && io.in >= 0 {
		n, err := unix.Write(io.in, io.input)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return
		case err != nil: // nobody reads it any more
			io.input, io.closeIn = nil, true
		default:
			io.input = io.input[n:]
		}
	}
	if len(io.input) > 0 {
		return
	}
	io.input = nil
	if io.closeIn && io.in >= 0 && io.in != io.out[0] {
		unix.Close(io.in)
		io.in = -1
	}
}

// resize sets the size of the terminal.
func (io *stdio) resize(rows, columns uint16) {
	io.rows, io.columns = rows, columns
	if io.terminal && io.out[0] >= 0 {
		unix.IoctlSetWinsize(io.out[0], unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	}
}

// drainGrace is how long output may stay open after the container has ended: all its processes are dead then,
// unless one was put outside its pid namespace.
const drainGrace = 250 * time.Millisecond

// onInitExit takes what the container has written until now, and gives the rest a bounded time.
func (s *Server) onInitExit() {
	s.end.at = time.Now().UTC()
	s.timers.Kill, s.timers.Grace = 0, 0
	for i := range s.stdio.out {
		for s.stdio.out[i] >= 0 && s.pump(logdriver.Stream(i)) {
		}
	}
	s.timers.Drain = now() + int64(drainGrace)
}

// drained says whether all output was taken, or its time is over.
func (s *Server) drained() bool {
	if s.stdio.out[0] < 0 && s.stdio.out[1] < 0 {
		return true
	}
	return s.timers.Drain == 0 || now() >= s.timers.Drain
}
