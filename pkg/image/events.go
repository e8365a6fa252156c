package image

import (
	"strconv"

	"github.com/wherry-containers/wherry/pkg/events"
)

// note writes down what happened to an image; name may be empty.
func (s *Session) note(action, id, name string) {
	attrs := map[string]string{}
	if name != "" {
		attrs[events.Name] = familiar(name)
	}
	if id != "" {
		id = "sha256:" + id
	}
	s.noteWith(action, id, attrs)
}

func (s *Session) noteWith(action, id string, attrs map[string]string) {
	log := events.Log{Backend: s.cfg.EventsBackend, Dir: s.cfg.Dirs.Events(), Store: s.cfg.Dirs.Data}
	log.Write(events.Event{Type: events.Image, Action: action, ID: id, Attributes: attrs})
}

// noteNames writes down what happened to each of an image's names.
func (s *Session) noteNames(action, id string, names []string) {
	for _, name := range names {
		s.note(action, id, name)
	}
}

// notePrune writes down that what no container stands on was removed.
func (s *Session) notePrune(reclaimed int64) {
	s.noteWith("prune", "", map[string]string{"reclaimed": strconv.FormatInt(reclaimed, 10)})
}
