package system

import (
	"context"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/rootless"
)

// Reset is `wherry system reset`.
func Reset(env *cmdkit.Env) *cli.Command {
	var force bool
	return &cli.Command{
		Name: "reset", Usage: "Stop and remove all containers, and remove all images, volumes and secrets",
		Flags:  []cli.Flag{cmdkit.Bool(&force, "force f", "Do not ask")},
		Action: func(c *cli.Context) error { return reset(c.Context, env, force) },
	}
}

// reset leaves the user namespace, too, so that the next command makes everything anew, unless containers of another store
// with the same run directory are in it.
func reset(ctx context.Context, env *cmdkit.Env, force bool) error {
	warning := "This will remove:\n  - all containers, running ones too\n  - all images\n  - all volumes\n  - all secrets\n  - all caches\n" +
		"The store is " + env.Dirs.Data + "\n"
	if !force && !env.Confirm(ctx, warning) {
		return nil
	}
	if err := libpod.New(env.Dirs, libpod.EngineOptions{Warn: env.Warn}).Reset(ctx); err != nil {
		return err
	}
	if others, _ := os.ReadDir(filepath.Dir(env.Dirs.ContainerRun("x"))); len(others) > 0 {
		return nil
	}
	return rootless.Stop(ctx)
}
