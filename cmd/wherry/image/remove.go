package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Remove is `wherry rmi` and `wherry image rm`.
func Remove(env *cmdkit.Env) *cli.Command {
	var opts option.Remove
	return &cli.Command{
		Name: "rmi", Usage: "Remove images, or names of images", ArgsUsage: "[IMAGE...]",
		Flags: []cli.Flag{
			cmdkit.Bool(&opts.All, "all a", "Remove every image"),
			cmdkit.Bool(&opts.Force, "force f", "Remove an image with several names by its id, and the names of one that stopped containers stand on"),
			cmdkit.Bool(&opts.Ignore, "ignore i", "An image that is not there is no error"),
			cmdkit.Bool(&opts.NoPrune, "no-prune", "Keep nameless parents"),
		},
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			if opts.All == c.Args().Present() {
				return cmdkit.Usagef("name the images to remove, or give --all")
			}
			return v.Remove(c.Context, env, c.Args().Slice(), opts)
		}),
	}
}
