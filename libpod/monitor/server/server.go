// Package server is the process that stays with one container: it starts it, owns its input and output, logs,
// serves attached clients, probes its health, restarts it, and records and cleans up its end.
//
// One goroutine does everything in a poll loop over raw file descriptors; so at any moment nothing is half done,
// and the process can execute itself into the idle stage (package idle) and be resumed from a snapshot.
package server

import (
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/logdriver"
)

// phase is what the container does.
type phase int

const (
	running phase = iota
	waiting       // for the time of its restart
	ended         // for good
)

// Server is one monitor at work.
type Server struct {
	job     monitor.Job
	phase   phase
	live    record.Live
	init    child   // the container's first process
	uplink  process // the network's uplink
	stdio   stdio
	log     logdriver.Log // nil: no log
	listen  int           // attach socket, -1 before
	config  []int         // what the next runtime inherits beyond its standard streams
	clients []*client
	orphans []int // terminals of execs whose client is gone
	known   bool  // some client attached before
	signals *signalSet
	timers  timers
	health  *health // nil: no health check
	restart restarts
	rest    rest
	end     ending
	buf     []byte
	warning string // the last thing that went wrong and did not stop us; ends in State.Error
}

// process names one process that is not waited for.
type process struct {
	Pid   int
	Start uint64
}

// child is a process that we reap.
type child struct {
	pid    int
	pidfd  int
	exited bool
	status unix.WaitStatus
}

// ending holds how the container ended.
type ending struct {
	code   int
	oom    bool
	at     time.Time
	reason string // why it could not be started again
	trash  []string
	brief  bool // the record is about to be removed: it need not outlive the machine
}

// now is CLOCK_MONOTONIC in nanoseconds: it survives an execve, unlike Go's own reading.
func now() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// timers are deadlines on the clock of now; 0 is none.
type timers struct {
	Kill    int64 // --timeout
	Restart int64
	Grace   int64 // a stop for the health check turns into a kill
	Drain   int64 // waits no longer for the end of the output
}

func (t timers) next(more ...int64) int64 {
	first := int64(0)
	for _, d := range append(more, t.Kill, t.Restart, t.Grace, t.Drain) {
		if d != 0 && (first == 0 || d < first) {
			first = d
		}
	}
	return first
}

// due says whether a deadline has passed, and clears it then.
func due(t *int64, at int64) bool {
	if *t == 0 || *t > at {
		return false
	}
	*t = 0
	return true
}

func newServer(job monitor.Job) *Server {
	s := &Server{job: job, listen: -1, signals: newSignalSet(), buf: make([]byte, 64<<10)}
	s.stdio.clear()
	if job.Health != nil {
		s.health = newHealth(*job.Health)
	}
	s.rest.reset()
	return s
}

func (s *Server) runPath(name string) string { return filepath.Join(s.job.RunDir, name) }

func (s *Server) warn(format string, args ...any) { s.warning = fmt.Sprintf(format, args...) }

// watch is one descriptor of the poll loop.
type watch struct {
	fd     int
	events int16
	ready  func(revents int16)
}

// watches lists what the loop waits for now.
func (s *Server) watches() []watch {
	list := append(make([]watch, 0, 16), watch{s.signals.fd, unix.POLLIN, func(int16) { s.onSignal() }})
	if s.listen >= 0 {
		list = append(list, watch{s.listen, unix.POLLIN, func(int16) { s.accept() }})
	}
	list = s.stdio.watches(list, s)
	for _, c := range s.clients {
		// A client that has to wait is left out: its hang-up would wake the loop for nothing, again and again.
		if events := c.events(s); events != 0 {
			list = append(list, watch{c.fd, events, func(revents int16) { s.onClient(c, revents) }})
		}
	}
	if s.health != nil {
		list = s.health.watches(list, s)
	}
	return s.watchOrphans(list)
}

// loop runs until the container has ended for good and nothing is left to do.
func (s *Server) loop() {
	for s.phase != ended {
		s.step(s.watches(), s.deadline())
		s.onTime(now())
		if s.signals.term.Swap(false) && s.phase == waiting {
			s.endIfStopped()
		}
		if s.phase == running && s.init.exited && s.drained() {
			s.onEnd()
		}
	}
}

func (s *Server) deadline() int64 {
	if s.health == nil {
		return s.timers.next(s.rest.at, s.impatient())
	}
	return s.timers.next(s.rest.at, s.impatient(), s.health.nextProbe, s.health.probe.deadline)
}

// step waits for the first events or the deadline, and handles them.
func (s *Server) step(list []watch, deadline int64) {
	fds := make([]unix.PollFd, len(list))
	for i, w := range list {
		fds[i] = unix.PollFd{Fd: int32(w.fd), Events: w.events}
	}
	n, err := unix.Ppoll(fds, until(deadline), nil)
	if err != nil && err != unix.EINTR {
		s.warn("poll: %v", err)
	}
	for i := range fds {
		if n > 0 && fds[i].Revents != 0 {
			s.rest.busy()
			list[i].ready(fds[i].Revents)
		}
	}
}

func until(deadline int64) *unix.Timespec {
	if deadline == 0 {
		return nil
	}
	ts := unix.NsecToTimespec(max(deadline-now(), 0))
	return &ts
}

// onTime handles what is due.
func (s *Server) onTime(at int64) {
	if due(&s.timers.Kill, at) || due(&s.timers.Grace, at) {
		s.signalInit(unix.SIGKILL)
	}
	if s.health != nil && s.phase == running && !s.init.exited && !s.live.Initialized {
		s.health.onTime(s, at)
	}
	if due(&s.timers.Restart, at) {
		if s.job.Scope != nil && s.job.Scope.Stopping() { // a shutdown, or the user's last logout
			s.finish()
		} else {
			s.startAgain()
		}
	}
	if s.rest.due(at) {
		s.enterIdle()
	}
}

// signalInit signals the container's first process, which cannot be recycled before we reap it.
func (s *Server) signalInit(sig unix.Signal) {
	if s.init.pidfd < 0 || s.init.exited {
		return
	}
	if err := unix.PidfdSendSignal(s.init.pidfd, sig, nil, 0); err != nil && err != unix.ESRCH {
		s.warn("signal container: %v", err)
	}
}
