package container

import (
	"context"
	"fmt"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
)

// Prune is `wherry container prune`.
func Prune(env *cmdkit.Env) *cli.Command {
	var force bool
	var filters map[string][]string
	return &cli.Command{
		Name: "prune", Usage: "Remove all containers that do not run",
		Flags: []cli.Flag{
			cmdkit.Filters(&filters, "filter", "Only containers for which `KEY=VALUE` holds: until, label"),
			cmdkit.Bool(&force, "force f", "Do not ask"),
		},
		Action: func(c *cli.Context) error { return prune(c.Context, env, filters, force) },
	}
}

func prune(ctx context.Context, env *cmdkit.Env, filters map[string][]string, force bool) error {
	if !force && !env.Confirm(ctx, "This will remove all stopped containers.") {
		return nil
	}
	ids, reclaimed, err := engine(env).Prune(ctx, filters)
	if len(ids) > 0 {
		fmt.Fprintln(env.Out, "Deleted Containers:")
		for _, id := range ids {
			fmt.Fprintln(env.Out, id)
		}
		fmt.Fprintln(env.Out)
	}
	fmt.Fprintf(env.Out, "Total reclaimed space: %s\n", units.HumanSize(float64(reclaimed)))
	return err
}
