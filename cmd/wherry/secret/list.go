package secret

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
)

// row is one secret as `secret ls` prints it; the fields are Docker's.
type row struct {
	ID        string
	Name      string
	Driver    string
	CreatedAt string
	UpdatedAt string
	Labels    string

	labels map[string]string
}

// Headings are Docker's.
func (row) Headings() map[string]string {
	return map[string]string{"CreatedAt": "CREATED", "UpdatedAt": "UPDATED"}
}

// Label is the value of one label, for templates.
func (r row) Label(name string) string { return r.labels[name] }

// List is `wherry secret ls`.
func List(env *cmdkit.Env) *cli.Command {
	var filters map[string][]string
	var listing cmdkit.Listing
	var quiet bool
	return &cli.Command{
		Name: "ls", Usage: "List secrets",
		Flags: []cli.Flag{
			cmdkit.Filters(&filters, "filter f", "Only secrets for which `KEY=VALUE` holds: name, id, driver, label"),
			cmdkit.String(&listing.Format, "format", "Print as `table|json|TEMPLATE`"),
			cmdkit.Bool(&listing.NoHeading, "noheading n", "Print no heading"),
			cmdkit.Bool(&quiet, "quiet q", "Print only ids"),
		},
		Action: func(c *cli.Context) error {
			listing.Table = `{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}`
			if quiet && listing.Format == "" {
				listing.Format = "{{.ID}}"
			}
			return list(c.Context, env, filters, listing)
		},
	}
}

func list(ctx context.Context, env *cmdkit.Env, filters map[string][]string, listing cmdkit.Listing) error {
	secrets, err := engine(env).SecretList(ctx, filters)
	if err != nil {
		return err
	}
	rows := make([]row, len(secrets))
	for i, s := range secrets {
		rows[i] = row{ID: s.ID, Name: s.Name, Driver: s.Driver, CreatedAt: ago(s.CreatedAt), UpdatedAt: ago(s.UpdatedAt), Labels: labelText(s.Labels), labels: s.Labels}
	}
	return env.PrintListing(rows, listing)
}

func ago(t time.Time) string { return units.HumanDuration(time.Since(t)) + " ago" }

func labelText(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for name, value := range labels {
		pairs = append(pairs, name+"="+value)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

// document is what `secret inspect` prints of a secret: Podman's document.
type document struct {
	ID         string
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Spec       spec
	SecretData string `json:",omitempty"` // only with --showsecret
}

type spec struct {
	Name   string
	Driver driver
	Labels map[string]string
}

type driver struct {
	Name    string
	Options map[string]string
}

// Inspect is `wherry secret inspect`.
func Inspect(env *cmdkit.Env) *cli.Command {
	var format string
	var pretty, show bool
	return &cli.Command{
		Name: "inspect", Usage: "Show everything about secrets but their values", ArgsUsage: "SECRET...",
		Flags: []cli.Flag{
			cmdkit.String(&format, "format f", "Print as `json|TEMPLATE`"),
			cmdkit.Bool(&pretty, "pretty", "Print for people"),
			cmdkit.Bool(&show, "showsecret", "Show the value too"),
		},
		Action: func(c *cli.Context) error {
			if pretty && format != "" {
				return cmdkit.Usagef("--pretty and --format do not go together")
			}
			if pretty {
				format = prettyFormat
			}
			return inspect(c.Context, env, format, show, c.Args().Slice())
		},
	}
}

const prettyFormat = `ID:              {{.ID}}
Name:            {{.Spec.Name}}
{{- range $key, $value := .Spec.Labels}}
 - {{$key}}={{$value}}{{end}}
Driver:          {{.Spec.Driver.Name}}
Created at:      {{.CreatedAt}}
Updated at:      {{.UpdatedAt}}{{if .SecretData}}
Secret:          {{.SecretData}}{{end}}`

func inspect(ctx context.Context, env *cmdkit.Env, format string, show bool, names []string) error {
	e := engine(env)
	return cmdkit.Inspect(env, names, format, func(name string) (*document, error) { return describe(ctx, e, name, show) })
}

func describe(ctx context.Context, e *libpod.Engine, name string, show bool) (*document, error) {
	s, err := e.SecretInspect(ctx, name)
	if err != nil {
		return nil, err
	}
	doc := &document{ID: s.ID, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
		Spec: spec{Name: s.Name, Driver: driver{s.Driver, orEmpty(s.DriverOpts)}, Labels: orEmpty(s.Labels)}}
	if !show {
		return doc, nil
	}
	value, err := e.SecretValue(ctx, s)
	doc.SecretData = string(value)
	return doc, err
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
