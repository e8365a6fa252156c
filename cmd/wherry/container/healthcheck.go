package container

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
)

// HealthCheck is `wherry healthcheck run`.
func HealthCheck(env *cmdkit.Env) *cli.Command {
	var ignore bool
	return &cli.Command{
		Name: "run", Usage: "Check a container's health now", ArgsUsage: "CONTAINER",
		Flags:  []cli.Flag{cmdkit.Bool(&ignore, "ignore-result", "End with status 0 also when the check fails")},
		Action: func(c *cli.Context) error { return healthCheck(c.Context, env, ignore, c.Args().First()) },
	}
}

// healthCheck ends with 1 for a check that failed, as Podman does.
func healthCheck(ctx context.Context, env *cmdkit.Env, ignore bool, ref string) error {
	healthy, err := engine(env).HealthCheck(ctx, ref)
	if err != nil || healthy {
		return err
	}
	fmt.Fprintln(env.Out, "unhealthy")
	if ignore {
		return nil
	}
	return cmdkit.Exit(1)
}
