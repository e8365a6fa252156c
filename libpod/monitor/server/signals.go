package server

import (
	"os"
	"os/signal"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// wakeSignals are those that mean something to a monitor; deafSignals would end it and are ignored (by a handler:
// an ignored signal would be inherited by the container).
var (
	wakeSignals = []unix.Signal{unix.SIGCHLD, unix.SIGTERM}
	deafSignals = []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2}
)

// signalSet turns signals into readiness of an eventfd, so that the poll loop sees them.
type signalSet struct {
	fd     int
	term   atomic.Bool
	caught bool
}

func newSignalSet() *signalSet {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		fd = -1
	}
	return &signalSet{fd: fd}
}

// catch begins to listen. Each signal costs several thread switches in the Go runtime, so this is done while the OCI
// runtime is at work; what was sent before is seen by the wake that follows a start.
func (s *signalSet) catch() {
	if s.caught {
		return
	}
	s.caught = true
	ch := make(chan os.Signal, 16)
	for _, sig := range append(append([]unix.Signal{}, wakeSignals...), deafSignals...) {
		signal.Notify(ch, sig)
	}
	go func() {
		for sig := range ch {
			if sig == unix.SIGTERM {
				s.term.Store(true)
			}
			s.wake()
		}
	}()
}

var one = []byte{1, 0, 0, 0, 0, 0, 0, 0}

func (s *signalSet) wake() { unix.Write(s.fd, one) }

// onSignal reaps; the loop looks at term.
func (s *Server) onSignal() {
	var count [8]byte
	unix.Read(s.signals.fd, count[:])
	s.reap()
}

// reap collects every child that has ended: ours, and the orphans that the kernel gave us (we are a subreaper).
func (s *Server) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		switch {
		case pid == s.init.pid:
			s.init.exited, s.init.status = true, status
			s.onInitExit()
		case s.health != nil && pid == s.health.probe.pid:
			s.health.onExit(s, status)
		}
	}
}

// wait blocks until one child ends.
func wait(pid int) (unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, 0, nil)
		if err != unix.EINTR {
			return status, err
		}
	}
}

// exitCode is the status as a shell gives it.
func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
