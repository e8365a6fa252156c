// Package volume holds the commands about volumes.
package volume

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/values"
)

func engine(env *cmdkit.Env) *libpod.Engine {
	return libpod.New(env.Dirs, libpod.EngineOptions{Warn: env.Warn, Runtime: env.Runtime, EventsBackend: env.EventsBackend})
}

// cluster is what to say about Docker's flags of cluster volumes.
const cluster = "it is for the cluster volumes of Docker's swarm, which wherry does not have"

// Create is `wherry volume create`.
func Create(env *cmdkit.Env) *cli.Command {
	opts := libpod.VolumeCreateOptions{Driver: "local"}
	driver := cmdkit.Func("driver d", "`DRIVER`, only local is there", func(s string) error { return values.OneOf(s, "local") })
	driver.Default = opts.Driver
	return &cli.Command{
		Name: "create", Usage: "Make a volume", ArgsUsage: "[NAME]",
		Flags: append([]cli.Flag{
			driver,
			cmdkit.OptInt(&opts.GID, "gid", "Its directory belongs to group `GID`"),
			cmdkit.Bool(&opts.Ignore, "ignore", "A volume of this name that is there already is no error"),
			cmdkit.KeyValues(&opts.Labels, "label l", "Label `KEY=VALUE`"),
			cmdkit.KeyValues(&opts.Opts, "opt o", "Option `KEY=VALUE` of the driver: type=tmpfs, o=bind, device=DIR"),
			cmdkit.OptInt(&opts.UID, "uid", "Its directory belongs to user `UID`"),
		}, cmdkit.Refused("availability group limit-bytes required-bytes scope secret sharing topology-preferred topology-required type", cluster)...),
		Action: func(c *cli.Context) error { return create(c.Context, env, opts, c.Args().First()) },
	}
}

func create(ctx context.Context, env *cmdkit.Env, opts libpod.VolumeCreateOptions, name string) error {
	if name != "" {
		if err := values.Name(name); err != nil {
			return cmdkit.Usagef("%s", err)
		}
	}
	opts.Name = name
	v, err := engine(env).VolumeCreate(ctx, opts)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.Out, v.Name)
	return err
}

// row is one volume as `volume ls` prints it; the fields are Docker's.
type row struct {
	Availability string
	Driver       string
	Group        string
	Labels       string
	Links        string
	Mountpoint   string
	Name         string
	Scope        string
	Size         string
	Status       string

	labels map[string]string
}

// Headings are Docker's.
func (row) Headings() map[string]string { return map[string]string{"Name": "VOLUME NAME"} }

// Label is the value of one label, for templates.
func (r row) Label(name string) string { return r.labels[name] }

// List is `wherry volume ls`.
func List(env *cmdkit.Env) *cli.Command {
	var filters map[string][]string
	var listing cmdkit.Listing
	var quiet bool
	return &cli.Command{
		Name: "ls", Usage: "List volumes",
		Flags: append([]cli.Flag{
			cmdkit.Filters(&filters, "filter f", "Only volumes for which `KEY=VALUE` holds: name, label, dangling, driver, opt, scope, anonymous, since, until"),
			cmdkit.String(&listing.Format, "format", "Print as `table|json|TEMPLATE`"),
			cmdkit.Bool(&listing.NoHeading, "noheading n", "Print no heading"),
			cmdkit.Bool(&quiet, "quiet q", "Print only names"),
		}, cmdkit.Refused("cluster", cluster)...),
		Action: func(c *cli.Context) error {
			listing.Table = `{{.Driver}}\t{{.Name}}`
			if quiet && listing.Format == "" {
				listing.Format = "{{.Name}}"
			}
			return list(c.Context, env, filters, listing)
		},
	}
}

func list(ctx context.Context, env *cmdkit.Env, filters map[string][]string, listing cmdkit.Listing) error {
	volumes, err := engine(env).VolumeList(ctx, filters)
	if err != nil {
		return err
	}
	rows := make([]row, len(volumes))
	for i, v := range volumes {
		rows[i] = row{Availability: "N/A", Driver: v.Driver, Group: "N/A", Labels: labelText(v.Labels), Links: "N/A",
			Mountpoint: v.Mountpoint, Name: v.Name, Scope: v.Scope, Size: "N/A", Status: "N/A", labels: v.Labels}
	}
	return env.PrintListing(rows, listing)
}

func labelText(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for name, value := range labels {
		pairs = append(pairs, name+"="+value)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

// Inspect is `wherry volume inspect`.
func Inspect(env *cmdkit.Env) *cli.Command {
	var format string
	var all bool
	return &cli.Command{
		Name: "inspect", Usage: "Show everything about volumes", ArgsUsage: "[VOLUME...]",
		Flags: []cli.Flag{
			cmdkit.Bool(&all, "all a", "All volumes"),
			cmdkit.String(&format, "format f", "Print as `json|TEMPLATE`"),
		},
		Action: func(c *cli.Context) error { return inspect(c.Context, env, all, format, c.Args().Slice()) },
	}
}

func inspect(ctx context.Context, env *cmdkit.Env, all bool, format string, names []string) error {
	e := engine(env)
	names, err := chosen(ctx, e, all, names)
	if err != nil {
		return err
	}
	return cmdkit.Inspect(env, names, format, func(name string) (*libpod.Volume, error) { return e.VolumeInspect(ctx, name) })
}

// chosen is the named volumes, or all.
func chosen(ctx context.Context, e *libpod.Engine, all bool, names []string) ([]string, error) {
	switch {
	case !all && len(names) == 0:
		return nil, cmdkit.Operandsf("which volume? Name one, or use --all")
	case !all:
		return names, nil
	case len(names) > 0:
		return nil, cmdkit.Usagef("--all does not go with named volumes")
	}
	volumes, err := e.VolumeList(ctx, nil)
	for _, v := range volumes {
		names = append(names, v.Name)
	}
	return names, err
}

// Remove is `wherry volume rm`.
func Remove(env *cmdkit.Env) *cli.Command {
	var opts libpod.VolumeRemoveOptions
	var all bool
	return &cli.Command{
		Name: "rm", Usage: "Remove volumes", ArgsUsage: "[VOLUME...]",
		Flags: []cli.Flag{
			cmdkit.Bool(&all, "all a", "All volumes"),
			cmdkit.Bool(&opts.Force, "force f", "An unknown volume is no error; containers that use one are removed"),
			cmdkit.OptInt(&opts.Timeout, "time t", "With --force, `SECONDS` from the stop signal to the kill of a container that runs"),
		},
		Action: func(c *cli.Context) error {
			e := engine(env)
			names, err := chosen(c.Context, e, all, c.Args().Slice())
			if err != nil {
				return err
			}
			return cmdkit.Each(env, names, func(name string) (string, error) {
				return name, e.VolumeRemove(c.Context, name, opts)
			})
		},
	}
}

// Exists is `wherry volume exists`: its exit status is the answer.
func Exists(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "exists", Usage: "Exit with 0 if a volume exists, with 1 if not", ArgsUsage: "VOLUME",
		Action: func(c *cli.Context) error {
			found, err := engine(env).VolumeExists(c.Context, c.Args().First())
			if err == nil && !found {
				return cmdkit.Exit(1)
			}
			return err
		},
	}
}
