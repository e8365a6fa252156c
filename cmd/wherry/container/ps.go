package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/values"
)

type listOptions struct {
	libpod.ListOptions
	format    string
	latest    bool
	noHeading bool
	noTrunc   bool
	quiet     bool
	sort      string
	spaces    bool // show namespaces
	watch     int  // seconds; 0: once
}

const (
	psTable     = `{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}`
	psSizeTable = psTable + `\t{{.Size}}`
)

// List is `wherry ps`.
func List(env *cmdkit.Env) *cli.Command {
	opts := listOptions{sort: "created"}
	flags := append(opts.flags(), cmdkit.Later("pod,p")...)
	return &cli.Command{
		Name: "ps", Usage: "List containers",
		Flags:  append(flags, cmdkit.Refused("external", "its store holds no containers but its own")...),
		Action: func(c *cli.Context) error { return watchPs(c.Context, env, opts) },
	}
}

func (opts *listOptions) flags() []cli.Flag {
	return []cli.Flag{
		cmdkit.Bool(&opts.All, "all a", "Also those that do not run"),
		cmdkit.Filters(&opts.Filters, "filter f", "Only containers for which `KEY=VALUE` holds: id, name, label, status, exited, ancestor, volume, before, since, until, health, network, publish, expose, command, restart-policy, should-start-on-boot"),
		cmdkit.String(&opts.format, "format", "Print as `table|json|TEMPLATE`"),
		cmdkit.Int(&opts.Last, "last n", "The newest `NUMBER`, whatever their status"),
		cmdkit.Bool(&opts.latest, "latest l", "The newest one, whatever its status"),
		cmdkit.Bool(&opts.spaces, "namespace ns", "Show the namespaces of each"),
		cmdkit.Bool(&opts.noTrunc, "no-trunc", "Show ids and commands in full"),
		cmdkit.Bool(&opts.noHeading, "noheading", "Print no heading"),
		cmdkit.Bool(&opts.quiet, "quiet q", "Print only ids"),
		cmdkit.Bool(&opts.Size, "size s", "Show sizes"),
		cmdkit.Func("sort", "Order by `created|command|id|image|names|runningfor|size|status`", func(s string) error {
			opts.sort = s
			return values.OneOf(s, "created", "command", "id", "image", "names", "runningfor", "size", "status")
		}),
		cmdkit.Bool(&opts.Sync, "sync", "Settle every container first, waiting for those that are being worked on"),
		cmdkit.Func("watch w", "Show it again every `SECONDS`", func(s string) (err error) {
			opts.watch, err = values.Count(s)
			if err == nil && opts.watch == 0 {
				err = errors.New("at least one second is expected")
			}
			return err
		}),
	}
}

// clearScreen moves a terminal's cursor to the top and wipes what is below.
const clearScreen = "\x1b[2J\x1b[1;1H"

// watchPs lists once, or again and again until it is interrupted.
func watchPs(ctx context.Context, env *cmdkit.Env, opts listOptions) error {
	for {
		if opts.watch > 0 && cmdkit.IsTerminal(env.OutFile) {
			fmt.Fprint(env.Out, clearScreen)
		}
		if err := ps(ctx, env, opts); err != nil || opts.watch == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Duration(opts.watch) * time.Second):
		}
	}
}

func ps(ctx context.Context, env *cmdkit.Env, opts listOptions) error {
	if opts.latest {
		opts.Last = 1
	}
	if opts.Last < 0 {
		opts.Last = 0
	}
	opts.Size = opts.Size || strings.Contains(opts.format, ".Size") || opts.sort == "size"
	rows, err := engine(env).List(ctx, opts.ListOptions)
	if err != nil {
		return err
	}
	sortRows(rows, opts.sort)
	switch {
	case opts.quiet && opts.spaces:
		return cmdkit.Usagef("--quiet and --namespace do not go together")
	case opts.quiet && opts.format == "":
		return printIDs(env, rows, opts.noTrunc)
	case opts.spaces:
		return printNamespaces(env, rows, opts)
	}
	table := psTable
	if opts.Size && opts.sort != "size" {
		table = psSizeTable
	}
	now := time.Now()
	out := make([]Row, len(rows))
	for i := range rows {
		out[i] = newRow(&rows[i], now, opts)
	}
	return env.PrintListing(out, cmdkit.Listing{Format: opts.format, Table: table, NoHeading: opts.noHeading})
}

func printIDs(env *cmdkit.Env, rows []libpod.Summary, full bool) error {
	var b strings.Builder
	for i := range rows {
		b.WriteString(shortened(rows[i].ID, full) + "\n")
	}
	_, err := env.Out.Write([]byte(b.String()))
	return err
}

func shortened(id string, full bool) string {
	if full || len(id) <= 12 {
		return id
	}
	return id[:12]
}

// Row is one container as `ps` prints it. The fields are Docker's; templates and --format json see them.
type Row struct {
	Command      string
	CreatedAt    string
	ID           string
	Image        string
	Labels       string
	LocalVolumes string
	Mounts       string
	Names        string
	Networks     string
	Ports        string
	RunningFor   string
	Size         string
	State        string
	Status       string

	// Podman's, for templates.
	AutoRemove   bool   `json:"-"`
	Created      string `json:"-"`
	CreatedHuman string `json:"-"`
	ExitCode     int    `json:"-"`
	Exited       bool   `json:"-"`
	ExitedAt     int64  `json:"-"`
	ImageID      string `json:"-"`
	Pid          int    `json:"-"`
	Restarts     int    `json:"-"`
	StartedAt    int64  `json:"-"`

	labels map[string]string
}

// Headings are Docker's.
func (Row) Headings() map[string]string {
	return map[string]string{"ID": "CONTAINER ID", "RunningFor": "CREATED", "LocalVolumes": "LOCAL VOLUMES"}
}

// Label is the value of one label, for templates.
func (r Row) Label(name string) string { return r.labels[name] }

// Rows are containers as `ps --size` shows them.
func Rows(list []libpod.Summary) []Row {
	rows := make([]Row, len(list))
	opts := listOptions{ListOptions: libpod.ListOptions{Size: true}}
	for i := range list {
		rows[i] = newRow(&list[i], time.Now(), opts)
	}
	return rows
}

func newRow(s *libpod.Summary, now time.Time, opts listOptions) Row {
	row := Row{
		ID: shortened(s.ID, opts.noTrunc), Image: s.Image, Command: commandText(s.Command, opts.noTrunc),
		CreatedAt: s.Created.Local().Format("2006-01-02 15:04:05 -0700 MST"), RunningFor: ago(s.Created, now),
		Status: s.StatusText(now), State: string(s.Status), Names: s.Name, labels: s.Labels,
		Ports: portText(s.Ports), Labels: labelText(s.Labels), Networks: strings.Join(s.Networks, ","),
		AutoRemove: s.AutoRemove, ExitCode: s.ExitCode, Exited: s.Status == record.Exited, ImageID: s.ImageID, Pid: s.Pid,
		Restarts: s.RestartCount, StartedAt: seconds(s.StartedAt), ExitedAt: seconds(s.FinishedAt),
	}
	row.Created, row.CreatedHuman = row.RunningFor, row.RunningFor
	if s.Image == "" {
		row.Image = shortened(strings.TrimPrefix(s.ImageID, "sha256:"), opts.noTrunc)
	}
	row.Mounts, row.LocalVolumes = mountText(s.Mounts, opts.noTrunc)
	if opts.Size {
		row.Size = sizeText(s.SizeRw) + " (virtual " + sizeText(s.SizeRootFs) + ")"
	}
	return row
}

// seconds is a time as Podman's templates have it; 0 for none.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func sizeText(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

func ago(t, now time.Time) string { return units.HumanDuration(now.Sub(t)) + " ago" }

// commandText is the command line in quotes, cut to 20 characters like Docker's.
func commandText(args []string, full bool) string {
	text := strings.Join(args, " ")
	runes := []rune(text)
	if !full && len(runes) > 20 {
		text = string(runes[:19]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

func labelText(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for name, value := range labels {
		pairs = append(pairs, name+"="+value)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

func mountText(mounts []string, full bool) (text, volumes string) {
	names := make([]string, len(mounts))
	count := 0
	for i, m := range mounts {
		if !strings.HasPrefix(m, "/") {
			count++
		}
		if runes := []rune(m); !full && len(runes) > 15 {
			m = string(runes[:14]) + "…"
		}
		names[i] = m
	}
	return strings.Join(names, ","), fmt.Sprint(count)
}

// sortRows orders rows, which come newest first.
func sortRows(rows []libpod.Summary, by string) {
	text := map[string]func(s *libpod.Summary) string{
		"command": func(s *libpod.Summary) string { return strings.Join(s.Command, " ") },
		"id":      func(s *libpod.Summary) string { return s.ID },
		"image":   func(s *libpod.Summary) string { return s.Image },
		"names":   func(s *libpod.Summary) string { return s.Name },
		"status":  func(s *libpod.Summary) string { return string(s.Status) },
	}
	switch key, ok := text[by]; {
	case ok:
		slices.SortStableFunc(rows, func(a, b libpod.Summary) int { return strings.Compare(key(&a), key(&b)) })
	case by == "runningfor":
		slices.SortStableFunc(rows, func(a, b libpod.Summary) int { return a.StartedAt.Compare(b.StartedAt) })
	case by == "size":
		slices.SortStableFunc(rows, func(a, b libpod.Summary) int { return cmp.Compare(a.SizeRw, b.SizeRw) })
	}
}
