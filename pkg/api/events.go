package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/moby/moby/api/types"
	apievents "github.com/moby/moby/api/types/events"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/events"
	"github.com/wherry-containers/wherry/pkg/image/list"
)

func eventRoutes() []route {
	return []route{{method: http.MethodGet, pattern: "/events", handle: (*Server).events}}
}

// Docker's filters of events. Of what a docker without a swarm has none, no event is told.
var (
	eventFilters = []string{"container", "event", "image", "label", "network", "scope", "secret", "type", "volume"}
	emptyFilters = []string{"config", "daemon", "node", "plugin", "service"}
)

// eventMessage has what older clients look for beside today's fields.
type eventMessage struct {
	Status string `json:"status,omitempty"`
	ID     string `json:"id,omitempty"`
	From   string `json:"from,omitempty"`
	apievents.Message
}

func (s *Server) events(w *response, r *request) error {
	filters, err := r.filters()
	if err == nil {
		err = known(filters, slices.Concat(eventFilters, emptyFilters)...)
	}
	if err != nil {
		return err
	}
	opts := libpod.EventsOptions{Filters: map[string][]string{}, Stream: true}
	silent := false
	for key, values := range filters {
		if slices.Contains(emptyFilters, key) {
			silent = silent || len(values) > 0
			continue
		}
		opts.Filters[key] = values
	}
	now := time.Now()
	for name, into := range map[string]*time.Time{"since": &opts.Since, "until": &opts.Until} {
		if text := r.param(name); text != "" {
			if text == "0" {
				text = "0.0" // the beginning of time, no duration
			}
			if *into, err = list.ParseTime(text, now); err != nil {
				return invalid("invalid %s %q: %v", name, text, err)
			}
		}
	}
	if !opts.Since.IsZero() && !opts.Until.IsZero() && opts.Since.After(opts.Until) {
		return invalid("`since` time (%s) cannot be after `until` time (%s)", r.param("since"), r.param("until"))
	}
	if opts.Since.IsZero() && opts.Until.IsZero() {
		opts.Since = now // not when the log is opened: from the answer's header on the client may make events
	}
	if err := s.engine.EventsCheck(opts); err != nil {
		return err
	}
	out := json.NewEncoder(w.stream(types.MediaTypeJSON))
	err = s.engine.Events(r.Context(), opts, func(ev events.Event) error {
		if silent {
			return nil
		}
		return out.Encode(message(ev))
	})
	if r.Context().Err() != nil {
		return nil // the client has heard enough
	}
	return err
}

// message is an event in Docker's words.
func message(ev events.Event) eventMessage {
	m := eventMessage{Message: apievents.Message{Type: apievents.Type(ev.Type), Action: apievents.Action(ev.Action), Scope: "local",
		Actor: apievents.Actor{ID: ev.ID, Attributes: orEmpty(ev.Attributes)}, Time: ev.Time.Unix(), TimeNano: ev.Time.UnixNano()}}
	switch ev.Type {
	case events.Container:
		m.From = ev.Attributes[events.ImageName]
	case events.Image:
		// Docker names what was pulled and pushed by its reference, the name being without the tag.
		if name := ev.Attributes[events.Name]; name != "" && (ev.Action == "pull" || ev.Action == "push") {
			m.Actor.ID = name
			m.Actor.Attributes = map[string]string{events.Name: list.ParseName(name).Repository}
		}
	default:
		return m
	}
	m.Status, m.ID = ev.Action, m.Actor.ID
	return m
}
