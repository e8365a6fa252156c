package libpod

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/events"
	"github.com/wherry-containers/wherry/pkg/logdriver/journal"
)

// EventsOptions is what `events` needs.
type EventsOptions struct {
	Filters map[string][]string
	Since   time.Time // zero: from now on, unless Until is given or nothing is followed
	Until   time.Time // zero: no bound
	Stream  bool      // go on with what happens from now on
}

// Events calls take with each event that the options ask for, until there is no more to come, take fails or ctx is done.
func (e *Engine) Events(ctx context.Context, opts EventsOptions, take func(events.Event) error) error {
	if err := e.EventsCheck(opts); err != nil {
		return err
	}
	wanted, err := eventFilter(opts.Filters)
	if err != nil {
		return err
	}
	log := e.eventLog()
	q := events.Query{Past: !opts.Stream || !opts.Since.IsZero() || !opts.Until.IsZero(), Follow: opts.Stream}
	parent := ctx
	if !opts.Until.IsZero() {
		q.Follow = opts.Stream && time.Until(opts.Until) > 0
		if q.Follow {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, opts.Until)
			defer cancel()
		}
	}
	each := func(ev events.Event) error {
		if ev.Time.Before(opts.Since) || !opts.Until.IsZero() && ev.Time.After(opts.Until) || !wanted(ev) {
			return nil
		}
		return take(ev)
	}
	if log.Backend == events.Journald {
		err = eventsOfJournal(ctx, log, opts.Since, q, each)
	} else {
		err = log.Read(ctx, q, each)
	}
	return errors.Join(err, parent.Err())
}

// EventsCheck tells what would make Events fail at once, for who has to answer before there is an event.
func (e *Engine) EventsCheck(opts EventsOptions) error {
	if e.eventLog().Backend == events.None {
		return errdefs.New(errdefs.ErrUnsupported, "events are not kept (--events-backend none; use file or journald)")
	}
	_, err := eventFilter(opts.Filters)
	return err
}

func eventsOfJournal(ctx context.Context, log events.Log, since time.Time, q events.Query, take func(events.Event) error) error {
	var failed error
	query := journal.Query{Match: []string{events.FieldStore + "=" + log.Store}, Fields: []string{events.FieldEvent}, Since: since,
		Follow: q.Follow, New: !q.Past}
	err := journal.Read(ctx, query, func(entry journal.Entry) bool {
		if ev, err := events.Decode(entry.Value(events.FieldEvent)); err == nil {
			failed = take(ev)
		}
		return failed == nil
	})
	return errors.Join(err, failed)
}

// eventFilter makes one test of filters. The values of one key are alternatives, but for labels; all keys must hold.
func eventFilter(filters map[string][]string) (func(events.Event) bool, error) {
	var tests []func(events.Event) bool
	for key, values := range filters {
		test, err := eventTest(key, values)
		if err != nil {
			return nil, err
		}
		tests = append(tests, test)
	}
	return func(ev events.Event) bool {
		return !slices.ContainsFunc(tests, func(ok func(events.Event) bool) bool { return !ok(ev) })
	}, nil
}

func eventTest(key string, values []string) (func(events.Event) bool, error) {
	any := func(ok func(ev events.Event, value string) bool) func(events.Event) bool {
		return func(ev events.Event) bool {
			return slices.ContainsFunc(values, func(value string) bool { return ok(ev, value) })
		}
	}
	switch key {
	case "type":
		return any(func(ev events.Event, value string) bool { return ev.Type == value }), nil
	case "event", "action", "status":
		return any(isAction), nil
	case "label":
		return func(ev events.Event) bool {
			return !slices.ContainsFunc(values, func(value string) bool { return !matchLabel(ev.Attributes, value) })
		}, nil
	case "image":
		return any(aboutImage), nil
	case "scope":
		return any(func(_ events.Event, value string) bool { return value == "local" }), nil
	case events.Container, events.Volume, events.Network, events.Secret, events.Pod:
		return any(func(ev events.Event, value string) bool {
			if ev.Type != key {
				return key == events.Container && ev.Attributes["container"] != "" && ev.Attributes["container"] == value
			}
			return ev.Attributes[events.Name] == value || ev.ID == value || value != "" && strings.HasPrefix(ev.ID, value)
		}), nil
	}
	return nil, errdefs.New(errdefs.ErrInvalid, "unknown events filter %q (container, image, volume, network, pod, secret, type, event, label, scope)", key)
}

// isAction compares with an action, by Docker's word or Podman's; what follows a colon need not be given.
func isAction(ev events.Event, value string) bool {
	word, _, _ := strings.Cut(ev.Action, ":")
	if ev.Action == value || word == value {
		return true
	}
	switch value { // Podman's words
	case "died", "exited":
		return word == "die"
	case "remove":
		return word == "destroy" || word == "delete"
	case "exec":
		return word == "exec_start"
	case "exec_died":
		return word == "exec_die"
	case "loadfromarchive":
		return word == "load"
	}
	return false
}

// aboutImage says whether an event is about an image or a container of it. A tag need not be given.
func aboutImage(ev events.Event, value string) bool {
	name := ev.Attributes[events.ImageName]
	if ev.Type == events.Image {
		name = ev.Attributes[events.Name]
		if ev.ID == value || strings.TrimPrefix(ev.ID, "sha256:") == value {
			return true
		}
	}
	repository := name
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		repository = name[:colon]
	}
	return value != "" && (name == value || repository == value || strings.HasSuffix(name, "/"+value) || strings.HasSuffix(repository, "/"+value))
}
