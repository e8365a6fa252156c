package server

import (
	"encoding/binary"
	"path/filepath"
	"strconv"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
)

// startup is how far the check of the start has come.
type startup struct {
	Done      bool
	Successes int
	Failures  int
}

// inStartup says whether the check of the start is the one that is run.
func (h *health) inStartup() bool { return h.spec.Startup != nil && !h.startup.Done }

// countStartup adds a result of the check of the start: enough successes end it, too many failures start the container
// again.
func (h *health) countStartup(s *Server, r record.HealthResult) {
	st, spec := &h.startup, h.spec.Startup
	if r.ExitCode == 0 {
		st.Failures = 0
		if st.Successes++; st.Successes >= spec.Successes {
			st.Done = true
			h.started = now() // the start period is that of the other check
		}
		return
	}
	st.Successes = 0
	if st.Failures++; spec.Retries > 0 && st.Failures >= spec.Retries {
		st.Failures = 0
		s.onUnhealthy("restart")
	}
}

// maxOutput bounds the bytes kept of one probe's output.
func (h *health) maxOutput() int {
	n := h.spec.Log.MaxSize
	switch {
	case n == nil:
		return maxHealthOutput
	case *n == 0:
		return mostOutput
	}
	return min(*n, mostOutput)
}

// keep adds a result to the log.
func (h *health) keep(r record.HealthResult) {
	most := maxHealthLog
	if n := h.spec.Log.MaxCount; n != nil {
		most = *n
	}
	log := append(h.state.Log, r)
	if most > 0 && len(log) > most {
		log = log[len(log)-most:]
	}
	h.state.Log = log
}

// Places that health-log-destination names; anything else is a directory.
const (
	healthLocal  = "local"
	healthEvents = "events_logger"
)

// writeCopy writes the state to the directory that the user wants it in.
func (h *health) writeCopy(s *Server, data []byte) error {
	dir := h.spec.Log.Destination
	if dir == "" || dir == healthLocal || dir == healthEvents {
		return nil
	}
	return atomicfile.Write(filepath.Join(dir, s.job.ID+"-healthcheck.log"), data, 0o600, atomicfile.Volatile)
}

// tell passes a result on: as an event when the health has changed, or whenever events are the log, and to those who
// asked.
func (h *health) tell(s *Server, before string, r record.HealthResult) {
	switch {
	case h.spec.Log.Destination == healthEvents:
		s.note("health_status: "+h.state.Status, "health_failing_streak", strconv.Itoa(h.state.FailingStreak), "health_log", r.Output)
	case h.state.Status != before:
		s.note("health_status: " + h.state.Status)
	}
	h.answer(s, r.ExitCode, r.Output)
}

// ask begins a probe for a client that wants to know, unless one is under way: then that one's result is its answer.
func (h *health) ask(s *Server, c *client) {
	h.asked = append(h.asked, c)
	if h.probe.pid == 0 {
		h.nextProbe = now()
	}
}

// answer tells those who asked. One that is gone meanwhile is none of the clients any more.
func (h *health) answer(s *Server, code int, output string) {
	asked := h.asked
	h.asked = nil
	data := binary.LittleEndian.AppendUint32(nil, uint32(int32(code)))
	data = append(data, output[:min(len(output), monitor.MaxData-4)]...)
	for _, c := range s.clients {
		for _, wanted := range asked {
			if c == wanted {
				c.send(monitor.MsgHealth, data, true)
			}
		}
	}
}

// onProbe handles a client's wish for a probe; without a check, or a container that runs, there is none.
func (s *Server) onProbe(c *client) {
	if c.first { // it does not count as attached
		c.first, s.known = false, false
	}
	if s.health == nil || s.phase != running || s.init.exited {
		c.send(monitor.MsgHealth, []byte{0xff, 0xff, 0xff, 0xff}, true)
		return
	}
	s.health.ask(s, c)
}
