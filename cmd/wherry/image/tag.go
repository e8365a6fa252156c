package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
)

// Tag is `wherry tag`.
func Tag(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "tag", Usage: "Give an image further names", ArgsUsage: "IMAGE NAME...",
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.Tag(c.Context, env, c.Args().First(), c.Args().Tail())
		}),
	}
}
