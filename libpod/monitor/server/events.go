package server

import (
	"strconv"
	"time"

	"github.com/wherry-containers/wherry/pkg/events"
)

// note writes down what happened to the container; more is pairs of names and values.
func (s *Server) note(action string, more ...string) {
	attrs := make(map[string]string, len(s.job.EventAttrs)+len(more)/2)
	for name, value := range s.job.EventAttrs {
		attrs[name] = value
	}
	for i := 0; i+1 < len(more); i += 2 {
		attrs[more[i]] = more[i+1]
	}
	s.job.Events.Write(events.Event{Type: events.Container, Action: action, ID: s.job.ID, Attributes: attrs})
}

// noteEnd writes down that a run is over. name is what the container is called now.
func (s *Server) noteEnd(name string) {
	if name != "" && s.job.EventAttrs != nil {
		s.job.EventAttrs[events.Name] = name
	}
	if s.end.oom {
		s.note("oom")
	}
	s.note("die", events.ExitCode, strconv.Itoa(s.end.code), "execDuration", strconv.Itoa(int(s.end.at.Sub(s.live.StartedAt)/time.Second)))
	for _, volume := range s.job.Mounted {
		s.job.Events.Write(events.Event{Type: events.Volume, Action: "unmount", ID: volume,
			Attributes: map[string]string{"container": s.job.ID, "driver": "local"}})
	}
}
