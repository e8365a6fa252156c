package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
)

// Untag is `wherry untag`.
func Untag(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "untag", Usage: "Take names away from an image, all of them when none is given", ArgsUsage: "IMAGE [NAME...]",
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.Untag(c.Context, env, c.Args().First(), c.Args().Tail())
		}),
	}
}
