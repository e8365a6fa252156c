package libpod

import (
	"errors"
	"strconv"
	"strings"
	"syscall"

	"github.com/wherry-containers/wherry/network"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/events"
)

// eventLog is where what happens to containers and volumes is noted.
func (e *Engine) eventLog() events.Log {
	log := events.Log{Dir: e.dirs.Events(), Store: e.dirs.Data}
	if e.opts.EventsBackend != nil {
		log.Backend = e.opts.EventsBackend()
	}
	return log
}

// note writes down what happened to a container; more is pairs of names and values.
func (e *Engine) note(c *container, action string, more ...string) {
	attrs := c.eventAttrs()
	for i := 0; i+1 < len(more); i += 2 {
		attrs[more[i]] = more[i+1]
	}
	e.eventLog().Write(events.Event{Type: events.Container, Action: action, ID: c.ID, Attributes: attrs})
}

// eventAttrs go with each event of a container: its labels, image and name, as in Docker.
func (c *container) eventAttrs() map[string]string {
	attrs := make(map[string]string, len(c.Labels)+4)
	for name, value := range c.Labels {
		attrs[name] = value
	}
	attrs[events.ImageName], attrs[events.Name] = c.Image.Name, c.name()
	return attrs
}

// noteKill writes down that a signal was sent.
func (e *Engine) noteKill(c *container, sig syscall.Signal) {
	e.note(c, "kill", events.Signal, strconv.Itoa(int(sig)))
}

// noteVolume writes down what happened to a volume; more is pairs of names and values.
func (e *Engine) noteVolume(name, action string, more ...string) {
	attrs := map[string]string{"driver": "local"}
	for i := 0; i+1 < len(more); i += 2 {
		attrs[more[i]] = more[i+1]
	}
	e.eventLog().Write(events.Event{Type: events.Volume, Action: action, ID: name, Attributes: attrs})
}

// noteSecret writes down what happened to a secret.
func (e *Engine) noteSecret(id, name, action string) {
	e.eventLog().Write(events.Event{Type: events.Secret, Action: action, ID: id, Attributes: map[string]string{events.Name: name}})
}

// noteNetwork writes down what happened to a network; more is pairs of names and values.
func (e *Engine) noteNetwork(n *network.Network, action string, more ...string) {
	attrs := map[string]string{events.Name: n.Name, "type": n.Driver}
	for i := 0; i+1 < len(more); i += 2 {
		attrs[more[i]] = more[i+1]
	}
	e.eventLog().Write(events.Event{Type: events.Network, Action: action, ID: n.ID, Attributes: attrs})
}

// notePrune writes down that what is not used was removed.
func (e *Engine) notePrune(kind string, reclaimed int64) {
	e.eventLog().Write(events.Event{Type: kind, Action: "prune", Attributes: map[string]string{"reclaimed": strconv.FormatInt(reclaimed, 10)}})
}

// noteMounts writes down which volumes a container has from now on.
func (e *Engine) noteMounts(c *container) {
	for _, m := range c.Mounts {
		if m.Type == "volume" {
			e.noteVolume(m.Source, "mount", "container", c.ID, "destination", m.Target,
				"propagation", m.Propagation, "read/write", strconv.FormatBool(!m.ReadOnly))
		}
	}
}

// mountedVolumes are the names of a container's volumes.
func (c *container) mountedVolumes() []string {
	var names []string
	for _, m := range c.Mounts {
		if m.Type == "volume" {
			names = append(names, m.Source)
		}
	}
	return names
}

// noteExec writes down that a command is run in a container; what it returns does so for the end.
func (e *Engine) noteExec(c *container, opts ExecOptions) func(code int, err error) {
	if opts.NoSession {
		return func(int, error) {}
	}
	id, text := newID(), strings.Join(opts.Command, " ")
	e.note(c, "exec_create: "+text, events.ExecID, id)
	e.note(c, "exec_start: "+text, events.ExecID, id)
	return func(code int, err error) {
		switch {
		case errors.Is(err, ErrDetached):
			e.note(c, "exec_detach", events.ExecID, id)
		case opts.Detach && err == nil: // nobody waits for its end
		default:
			if err != nil {
				code = errdefs.ExitCode(err)
			}
			e.note(c, "exec_die", events.ExecID, id, events.ExitCode, strconv.Itoa(code))
		}
	}
}
