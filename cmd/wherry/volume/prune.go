package volume

import (
	"context"
	"fmt"
	"strings"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
)

// Prune is `wherry volume prune`.
func Prune(env *cmdkit.Env) *cli.Command {
	var opts libpod.VolumePruneOptions
	var force bool
	return &cli.Command{
		Name: "prune", Usage: "Remove volumes that no container uses",
		Flags: []cli.Flag{
			cmdkit.Bool(&opts.All, "all a", "Named volumes too, not only anonymous ones"),
			cmdkit.Bool(&opts.DryRun, "dry-run", "Only print what would be removed"),
			cmdkit.Filters(&opts.Filters, "filter", "Only volumes for which `KEY=VALUE` holds: label, name, all, and those of volume ls"),
			cmdkit.Bool(&force, "force f", "Do not ask"),
		},
		Action: func(c *cli.Context) error { return prune(c.Context, env, opts, force) },
	}
}

func prune(ctx context.Context, env *cmdkit.Env, opts libpod.VolumePruneOptions, force bool) error {
	which := "all anonymous local volumes"
	if opts.All {
		which = "all local volumes"
	}
	if !force && !opts.DryRun && !env.Confirm(ctx, "This will remove "+which+" not used by at least one container.") {
		return nil
	}
	names, reclaimed, err := engine(env).VolumePrune(ctx, opts)
	done, space := "Deleted Volumes", "Total reclaimed space"
	if opts.DryRun {
		done, space = "Volumes that would be deleted", "Space that would be reclaimed"
	}
	if len(names) > 0 {
		fmt.Fprintf(env.Out, "%s:\n%s\n\n", done, strings.Join(names, "\n"))
	}
	fmt.Fprintf(env.Out, "%s: %s\n", space, units.HumanSize(float64(reclaimed)))
	return err
}
