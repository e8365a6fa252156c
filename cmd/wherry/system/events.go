package system

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/values"
	"github.com/wherry-containers/wherry/pkg/events"
)

type eventsOptions struct {
	libpod.EventsOptions
	format string
	full   bool
}

// Events is `wherry events`.
func Events(env *cmdkit.Env) *cli.Command {
	opts := eventsOptions{full: true}
	opts.Stream = true
	moment := func(p *time.Time) func(string) error {
		return func(s string) (err error) {
			*p, err = values.When(s, time.Now())
			return err
		}
	}
	return &cli.Command{
		Name: "events", Usage: "Show what happens to containers, images and volumes",
		Flags: []cli.Flag{
			cmdkit.Filters(&opts.Filters, "filter f", "Only what fulfils `KEY=VALUE`: container, image, volume, network, pod, secret, type, event, label, scope"),
			cmdkit.String(&opts.format, "format", "Print as `json|TEMPLATE`"),
			cmdkit.Bool(&opts.full, "no-trunc", "Show ids in full"),
			cmdkit.Func("since", "Begin with what happened at `TIME`, as 10m or 2026-01-02T15:04:05Z", moment(&opts.Since)),
			cmdkit.Bool(&opts.Stream, "stream", "Go on with what happens from now on; =false shows what there is"),
			noStream(&opts.Stream),
			cmdkit.Func("until", "End with what happened, or happens, at `TIME`", moment(&opts.Until)),
		},
		Action: func(c *cli.Context) error { return showEvents(c.Context, env, opts) },
	}
}

// noStream is --no-stream, the other way to say --stream=false.
func noStream(stream *bool) *cmdkit.Flag {
	f := cmdkit.Func("no-stream", "Show what there is and end", func(s string) error {
		off, err := strconv.ParseBool(s)
		*stream = !off
		return err
	})
	f.Bool = true
	return f
}

func showEvents(ctx context.Context, env *cmdkit.Env, opts eventsOptions) error {
	if opts.format != "" && opts.format != "json" { // a wrong one is told at once, not with the first event
		if err := env.Print([]eventRow{}, opts.format, ""); err != nil {
			return err
		}
	}
	e := libpod.New(env.Dirs, libpod.EngineOptions{Warn: env.Warn, EventsBackend: env.EventsBackend})
	return e.Events(ctx, opts.EventsOptions, func(ev events.Event) error {
		if !opts.full {
			ev.ID = shortened(ev)
		}
		if opts.format == "" {
			_, err := fmt.Fprintln(env.Out, cmdkit.Printable(eventText(ev)))
			return err
		}
		row := newEventRow(ev)
		if row.ContainerExitCode == nil && opts.format != "json" {
			row.ContainerExitCode = 0 // as Podman's templates have it
		}
		return env.Print([]eventRow{row}, opts.format, "")
	})
}

func shortened(ev events.Event) string {
	if id := strings.TrimPrefix(ev.ID, "sha256:"); len(id) == 64 {
		return id[:12]
	}
	return ev.ID
}

// eventText is Docker's line: time, type, action, id, attributes.
func eventText(ev events.Event) string {
	pairs := make([]string, 0, len(ev.Attributes))
	for name, value := range ev.Attributes {
		pairs = append(pairs, name+"="+value)
	}
	slices.Sort(pairs)
	text := ev.Time.Local().Format("2006-01-02T15:04:05.000000000Z07:00") + " " + ev.Type + " " + ev.Action + " " + ev.ID
	if len(pairs) > 0 {
		text += " (" + strings.Join(pairs, ", ") + ")"
	}
	return text
}

// eventActor is what an event is about.
type eventActor struct {
	ID         string
	Attributes map[string]string
}

// eventRow is an event for --format: Docker's fields, and those that Podman has besides.
type eventRow struct {
	Status            string            `json:"status,omitempty"`
	ID                string            `json:"id,omitempty"`
	From              string            `json:"from,omitempty"`
	Type              string            `json:"Type"`
	Action            string            `json:"Action"`
	Actor             eventActor        `json:"Actor"`
	Scope             string            `json:"scope"`
	Time              int64             `json:"time"`
	TimeNano          int64             `json:"timeNano"`
	Name              string            `json:"Name,omitempty"`
	Image             string            `json:"Image,omitempty"`
	ContainerExitCode any               `json:"ContainerExitCode,omitempty"`
	HealthStatus      string            `json:"HealthStatus,omitempty"`
	Network           string            `json:"Network,omitempty"`
	PodID             string            `json:"PodID,omitempty"`
	Attributes        map[string]string `json:"-"`
}

func newEventRow(ev events.Event) eventRow {
	if ev.Attributes == nil {
		ev.Attributes = map[string]string{}
	}
	row := eventRow{Status: ev.Action, ID: ev.ID, Type: ev.Type, Action: ev.Action, Scope: "local", Time: ev.Time.Unix(), TimeNano: ev.Time.UnixNano(),
		Actor: eventActor{ev.ID, ev.Attributes}, Attributes: ev.Attributes, Name: cmp.Or(ev.Attributes[events.Name], ev.ID)}
	if ev.Type == events.Container {
		row.From, row.Image = ev.Attributes[events.ImageName], ev.Attributes[events.ImageName]
	}
	if code, err := strconv.Atoi(ev.Attributes[events.ExitCode]); err == nil {
		row.ContainerExitCode = code
	}
	if status, ok := strings.CutPrefix(ev.Action, "health_status: "); ok {
		row.HealthStatus = status
	}
	return row
}
