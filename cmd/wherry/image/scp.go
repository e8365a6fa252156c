package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
)

// CopyOver is the options of image scp.
type CopyOver struct{ Quiet bool }

// SCP is `wherry image scp`.
func SCP(env *cmdkit.Env) *cli.Command {
	var opts CopyOver
	return &cli.Command{
		Name: "scp", Usage: "Copy an image to or from another machine (by ssh), or another user (USER@localhost)", ArgsUsage: "[HOST::]IMAGE [HOST::]",
		Flags: []cli.Flag{cmdkit.Bool(&opts.Quiet, "quiet q", "Show no progress")},
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.SCP(c.Context, env, c.Args().First(), second(c), opts)
		}),
	}
}
