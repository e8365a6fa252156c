package cmdkit

import "github.com/wherry-containers/wherry/pkg/events"

// EventsBackend is where events go: where --events-backend says, else containers.conf; empty for the default. A
// configuration that cannot be read is told where it matters more.
func (e *Env) EventsBackend() string {
	if backend := e.Getenv(events.BackendVar); backend != "" {
		return backend
	}
	conf, err := e.Conf()
	if err != nil {
		return ""
	}
	switch conf.EventsLogger {
	case events.File, events.Journald, events.None:
		return conf.EventsLogger
	}
	return ""
}
