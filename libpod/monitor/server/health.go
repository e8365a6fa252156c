package server

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/procs"
	"github.com/wherry-containers/wherry/pkg/signals"
)

// Statuses of a health check, as Docker names them.
const (
	healthStarting  = "starting"
	healthy         = "healthy"
	healthUnhealthy = "unhealthy"
)

const (
	maxHealthOutput = 4096    // bytes kept of one probe where nothing else is said
	maxHealthLog    = 5       // probes kept where nothing else is said
	mostOutput      = 1 << 20 // bytes kept of one probe in any case
)

// Files of the health check in the run directory.
const (
	probeSpec = "health-process.json"
	probePid  = "health.pid"
)

// health is the health check of a running container. Its times are on the clock of now.
type health struct {
	spec      record.Health
	state     record.HealthState
	started   int64
	nextProbe int64
	probe     probe
	startup   startup
	asked     []*client // those that wait for the result of a probe
}

// probe is one run of the check.
type probe struct {
	pid      int // of the runtime's exec; 0: none runs
	output   int
	text     []byte
	begun    time.Time
	at       int64
	deadline int64
	timeout  time.Duration
	timedOut bool
}

func newHealth(spec record.Health) *health {
	setDefault(&spec.Interval, 30*time.Second)
	setDefault(&spec.Timeout, 30*time.Second)
	setDefault(&spec.StartInterval, 5*time.Second)
	if spec.Retries <= 0 {
		spec.Retries = 3
	}
	return &health{spec: spec, probe: probe{output: -1}}
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// begin is called at each start of the container.
func (h *health) begin(s *Server) {
	h.state = record.HealthState{Status: healthStarting}
	h.startup = startup{}
	h.started = now()
	h.plan(h.started)
	h.write(s)
}

// plan sets the time of the next probe.
func (h *health) plan(at int64) {
	wait := h.spec.Interval
	switch {
	case h.inStartup():
		wait = h.spec.Startup.Interval
	case h.starting(at):
		wait = h.spec.StartInterval
	}
	h.nextProbe = at + int64(wait)
}

// starting says whether failures do not count yet.
func (h *health) starting(at int64) bool {
	return h.state.Status == healthStarting && at-h.started < int64(h.spec.StartPeriod)
}

func (h *health) watches(list []watch, s *Server) []watch {
	if h.probe.output < 0 {
		return list
	}
	return append(list, watch{h.probe.output, unix.POLLIN, func(int16) { h.read(s) }})
}

func (h *health) onTime(s *Server, at int64) {
	if due(&h.nextProbe, at) && h.probe.pid == 0 {
		if err := h.run(s, at); err != nil {
			h.result(s, at, record.HealthResult{Start: time.Now().UTC(), ExitCode: -1, Output: err.Error()})
		}
	}
	if due(&h.probe.deadline, at) {
		h.probe.timedOut = true
		h.kill(s)
	}
}

// run starts a probe in the container.
func (h *health) run(s *Server, at int64) error {
	test, timeout := h.spec.Test, h.spec.Timeout
	if h.inStartup() {
		test, timeout = h.spec.Startup.Test, h.spec.Startup.Timeout
	}
	if err := s.writeProbe(test); err != nil {
		return err
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("run health check: %w", err)
	}
	defer unix.Close(p[1])
	unix.SetNonblock(p[0], true)
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(p[0])
		return fmt.Errorf("run health check: %w", err)
	}
	defer unix.Close(null)
	os.Remove(s.runPath(probePid))
	pid, err := fork(s.job.Runtime, s.probeArgs(), s.job.Env, null, p[1], p[1])
	if err != nil {
		unix.Close(p[0])
		return fmt.Errorf("run health check: start runtime %s: %w", s.job.Runtime, err)
	}
	h.probe = probe{pid: pid, output: p[0], begun: time.Now().UTC(), at: at, deadline: at + int64(timeout), timeout: timeout}
	return nil
}

// probeArgs is the runtime's command line: ExecArgs end in the option that takes the process file.
func (s *Server) probeArgs() []string {
	last := len(s.job.ExecArgs) - 1
	args := append([]string{}, s.job.ExecArgs[:last]...)
	return append(args, "--pid-file", s.runPath(probePid), s.job.ExecArgs[last], s.runPath(probeSpec), s.job.ID)
}

// writeProbe makes the process file: the engine's, with the arguments of the test.
func (s *Server) writeProbe(test []string) error {
	if len(s.job.ExecArgs) == 0 || len(test) < 2 {
		return fmt.Errorf("run health check: no command")
	}
	args := test[1:]
	if test[0] == "CMD-SHELL" {
		args = []string{"/bin/sh", "-c", strings.Join(test[1:], " ")}
	}
	spec := map[string]json.RawMessage{}
	if err := json.Unmarshal(s.job.ExecSpec, &spec); err != nil {
		return fmt.Errorf("run health check: process: %w", err)
	}
	encoded, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("run health check: %w", err)
	}
	spec["args"], spec["terminal"] = encoded, json.RawMessage("false")
	data, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("run health check: %w", err)
	}
	return atomicfile.Write(s.runPath(probeSpec), data, 0o600, atomicfile.Volatile)
}

// read takes the probe's output; what is too much is dropped.
func (h *health) read(s *Server) {
	for {
		n, err := unix.Read(h.probe.output, s.buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return
		case err != nil || n <= 0:
			h.closeOutput()
			return
		}
		room := max(h.maxOutput()-len(h.probe.text), 0)
		h.probe.text = append(h.probe.text, s.buf[:min(n, room)]...)
	}
}

func (h *health) closeOutput() {
	if h.probe.output >= 0 {
		unix.Close(h.probe.output)
		h.probe.output = -1
	}
}

// kill ends the probe's process in the container, and the runtime that waits for it.
func (h *health) kill(s *Server) {
	if pid, err := readPid(s.runPath(probePid)); err == nil {
		// While the runtime is there its child cannot be recycled: a process with that parent is the one.
		if fd, err := procs.PidfdOpen(pid, 0); err == nil {
			if parent, err := procs.Parent(pid); err == nil && parent == h.probe.pid {
				procs.SendSignal(fd, unix.SIGKILL)
			}
			unix.Close(fd)
		}
	}
	unix.Kill(h.probe.pid, unix.SIGKILL) // not reaped yet, so still ours
}

// onExit is called when the runtime's exec was reaped.
func (h *health) onExit(s *Server, status unix.WaitStatus) {
	if h.probe.output >= 0 {
		h.read(s)
	}
	p := h.probe
	h.closeOutput()
	h.probe = probe{output: -1}
	if s.init.exited {
		return
	}
	r := record.HealthResult{Start: p.begun, ExitCode: exitCode(status), Output: string(p.text)}
	if p.timedOut {
		r.ExitCode = -1
		r.Output = fmt.Sprintf("Health check exceeded timeout (%v)", p.timeout)
		if len(p.text) > 0 {
			r.Output += ": " + string(p.text)
		}
	}
	h.result(s, p.at, r)
}

// result counts one probe, begun at at.
func (h *health) result(s *Server, at int64, r record.HealthResult) {
	r.End = time.Now().UTC()
	before := h.state.Status
	if h.inStartup() {
		h.countStartup(s, r)
	} else {
		count(&h.state, r, h.starting(at), h.spec.Retries)
	}
	h.keep(r)
	h.plan(now())
	h.write(s)
	h.tell(s, before, r)
	if h.state.Status == healthUnhealthy && before != healthUnhealthy {
		s.onUnhealthy(h.spec.OnFailure)
	}
}

// count adds one result: a success is always healthy; failures are not counted while the container still starts.
func count(st *record.HealthState, r record.HealthResult, starting bool, retries int) {
	switch {
	case r.ExitCode == 0:
		st.FailingStreak, st.Status = 0, healthy
	case !starting:
		st.FailingStreak++
		if st.FailingStreak >= retries {
			st.Status = healthUnhealthy
		}
	}
}

func (h *health) write(s *Server) {
	if err := faultpoint.Err("monitor.health"); err != nil {
		s.warn("write %s: %v", record.HealthFile, err)
		return
	}
	data, err := json.Marshal(&h.state)
	if err == nil {
		err = atomicfile.Write(s.runPath(record.HealthFile), data, 0o600, atomicfile.Volatile)
	}
	if err == nil {
		err = h.writeCopy(s, data)
	}
	if err != nil {
		s.warn("%v", err)
	}
}

// stop ends the health check with the container.
func (h *health) stop(s *Server) {
	h.nextProbe = 0
	if h.probe.pid != 0 {
		unix.Kill(h.probe.pid, unix.SIGKILL)
		wait(h.probe.pid)
	}
	h.closeOutput()
	h.probe = probe{output: -1}
	h.answer(s, -1, "")
}

// onUnhealthy does what is asked for a container that became unhealthy.
func (s *Server) onUnhealthy(action string) {
	switch action {
	case "kill":
		s.signalInit(unix.SIGKILL)
	case "restart":
		s.restart.Asked = true
		s.stopInit()
	case "stop":
		err := s.withState(func(st *record.State) error {
			st.UserStopped = true
			return s.writeState(st)
		})
		if err != nil {
			s.warn("%v", err)
		}
		s.stopInit()
	}
}

// stopInit asks the container to end, and kills it after its time.
func (s *Server) stopInit() {
	grace := 10
	if t := s.job.Lifecycle.StopTimeout; t != nil {
		grace = *t
	}
	sig, err := signals.Parse(s.job.Lifecycle.StopSignal)
	if err != nil {
		sig = unix.SIGTERM // also of the empty name
	}
	s.signalInit(sig)
	if grace >= 0 {
		s.timers.Grace = now() + int64(grace)*int64(time.Second)
	}
}
