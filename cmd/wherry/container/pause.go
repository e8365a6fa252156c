package container

import (
	"context"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
)

// Pause is `wherry pause`.
func Pause(env *cmdkit.Env) *cli.Command {
	return freezer(env, "pause", "Freeze all processes of containers", record.Running, (*libpod.Engine).Pause)
}

// Unpause is `wherry unpause`.
func Unpause(env *cmdkit.Env) *cli.Command {
	return freezer(env, "unpause", "Let paused containers go on", record.Paused, (*libpod.Engine).Unpause)
}

func freezer(env *cmdkit.Env, name, usage string, status record.Status, do func(*libpod.Engine, context.Context, string) error) *cli.Command {
	var sel selection
	return &cli.Command{
		Name: name, Usage: usage, ArgsUsage: "[CONTAINER...]",
		Flags: sel.flags(),
		Action: func(c *cli.Context) error {
			return sel.each(c.Context, env, c.Args().Slice(), []record.Status{status}, func(e *libpod.Engine, ref string) error {
				return do(e, c.Context, ref)
			})
		},
	}
}
