package server

import (
	"encoding/json"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/monitor/idle"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/logdriver"
)

// A wake-up costs about two milliseconds of processor time. A rest shorter than goodRest doubles the quiet time
// that must pass before the next one, so that a container that writes now and then does not keep us flipping.
const (
	goodRest = 5 * time.Second
	maxQuiet = 64 * time.Second
)

// rest is when the monitor gives its memory back.
type rest struct {
	at    int64 // 0: never
	quiet time.Duration
	seen  idle.Seen // state.json as it was when we last read it, in a wait for a restart
}

func (r *rest) reset() {
	r.quiet = monitor.IdleAfter
	r.busy()
}

// busy puts the rest off, for something has happened.
func (r *rest) busy() {
	if idle.Supported() {
		r.at = now() + int64(r.quiet)
	}
}

func (r *rest) due(at int64) bool { return r.at != 0 && at >= r.at }

// slept adapts the quiet time to how long the last rest was.
func (r *rest) slept(d time.Duration) {
	if d >= goodRest {
		r.quiet = monitor.IdleAfter
	} else {
		r.quiet = min(2*r.quiet, maxQuiet)
	}
	r.busy()
}

// snapshot is the server between two lives of the process.
type snapshot struct {
	Job      monitor.Job
	Phase    phase
	Live     record.Live
	Pid      int
	Pidfd    int
	Uplink   process
	In       int
	Out      [2]int
	Terminal bool
	Rows     uint16
	Columns  uint16
	Listen   int
	Clients  []savedClient
	Orphans  []int
	Known    bool
	Held     *logdriver.Held
	Timers   timers
	Health   *savedHealth
	Restart  restarts
	End      savedEnd
	Quiet    time.Duration
	Seen     idle.Seen
	Entered  int64
	Warning  string
}

type savedClient struct {
	FD                       int
	Foreground, First, Quiet bool
	Held                     int // -1: none
}

type savedHealth struct {
	State   record.HealthState
	Started int64
	Next    int64
	Startup startup
}

type savedEnd struct {
	Code int
	OOM  bool
	At   time.Time
}

// settled says whether nothing is under way that only this process knows of.
func (s *Server) settled() bool {
	switch {
	case s.phase == ended, s.init.exited, len(s.stdio.input) > 0, s.log != nil && s.log.Busy():
		return false
	case s.health != nil && s.health.probe.pid != 0:
		return false
	}
	for _, c := range s.clients {
		if len(c.output) > 0 || c.gone {
			return false
		}
	}
	return true
}

// enterIdle leaves for the idle stage, if it is worth it. It returns if not.
func (s *Server) enterIdle() {
	s.rest.busy()
	deadline := s.timers.next()
	if s.health != nil {
		deadline = s.timers.next(s.health.nextProbe)
	}
	if !s.settled() || (deadline != 0 && deadline-now() < int64(monitor.IdleAfter)) {
		return
	}
	plan, err := s.plan(deadline)
	if err == nil {
		err = idle.Enter(plan)
	}
	s.warn("%v", err)
	s.rest.at = 0 // it would not work the next time either
}

func (s *Server) plan(deadline int64) (idle.Plan, error) {
	p := idle.Plan{Signals: wakeSignals, Block: deafSignals, Deadline: deadline, Title: s.job.ID}
	if s.phase == waiting {
		p.Path, p.Seen = filepath.Join(s.job.Dir, record.StateFile), s.rest.seen
	}
	for _, w := range s.watches()[1:] { // without the eventfd of the signals
		p.FDs = append(p.FDs, unix.PollFd{Fd: int32(w.fd), Events: w.events})
	}
	if s.init.pidfd >= 0 {
		p.FDs = append(p.FDs, unix.PollFd{Fd: int32(s.init.pidfd), Events: unix.POLLIN})
	}
	if s.stdio.in >= 0 {
		p.Keep = append(p.Keep, s.stdio.in)
	}
	for _, c := range s.clients {
		if c.held >= 0 {
			p.Keep = append(p.Keep, c.held)
		}
	}
	var err error
	p.Snapshot, err = json.Marshal(s.save())
	return p, err
}

func (s *Server) save() *snapshot {
	io := &s.stdio
	snap := &snapshot{Job: s.job, Phase: s.phase, Live: s.live, Pid: s.init.pid, Pidfd: s.init.pidfd, Uplink: s.uplink,
		In: io.in, Out: io.out, Terminal: io.terminal, Rows: io.rows, Columns: io.columns,
		Listen: s.listen, Known: s.known, Orphans: s.orphans, Timers: s.timers, Restart: s.restart,
		End:   savedEnd{s.end.code, s.end.oom, s.end.at},
		Quiet: s.rest.quiet, Seen: s.rest.seen, Entered: now(), Warning: s.warning}
	for _, c := range s.clients {
		snap.Clients = append(snap.Clients, savedClient{FD: c.fd, Foreground: c.foreground, First: c.first, Quiet: c.quiet, Held: c.held})
	}
	if s.log != nil {
		snap.Held = s.log.Held()
	}
	if s.health != nil {
		snap.Health = &savedHealth{s.health.state, s.health.started, s.health.nextProbe, s.health.startup}
	}
	return snap
}

// restore is the inverse of save.
func restore(snap *snapshot, caught *signalSet) *Server {
	s := newServer(snap.Job)
	s.signals = caught
	s.phase, s.live, s.uplink = snap.Phase, snap.Live, snap.Uplink
	s.init = child{pid: snap.Pid, pidfd: snap.Pidfd}
	s.stdio = stdio{in: snap.In, out: snap.Out, terminal: snap.Terminal, rows: snap.Rows, columns: snap.Columns}
	s.listen, s.known, s.timers, s.restart = snap.Listen, snap.Known, snap.Timers, snap.Restart
	s.end = ending{code: snap.End.Code, oom: snap.End.OOM, at: snap.End.At}
	s.warning, s.orphans = snap.Warning, snap.Orphans
	for _, c := range snap.Clients {
		s.clients = append(s.clients, &client{fd: c.FD, foreground: c.Foreground, first: c.First, quiet: c.Quiet, held: c.Held})
	}
	if snap.Health != nil && s.health != nil {
		s.health.state, s.health.started, s.health.nextProbe = snap.Health.State, snap.Health.Started, snap.Health.Next
		s.health.startup = snap.Health.Startup
	}
	s.rest.quiet, s.rest.seen = snap.Quiet, snap.Seen
	s.rest.slept(time.Duration(now() - snap.Entered))
	return s
}

// descriptors are those that a restored server works with.
func (snap *snapshot) descriptors() map[int]bool {
	keep := map[int]bool{snap.Pidfd: true, snap.In: true, snap.Out[0]: true, snap.Out[1]: true, snap.Listen: true}
	for _, c := range snap.Clients {
		keep[c.FD], keep[c.Held] = true, true
	}
	for _, fd := range snap.Orphans {
		keep[fd] = true
	}
	return keep
}
