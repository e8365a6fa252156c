package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Import is `wherry import`.
func Import(env *cmdkit.Env) *cli.Command {
	var opts option.Import
	flags := []cli.Flag{
		cmdkit.Strings(&opts.Changes, "change c", "Apply `INSTRUCTION` of a Dockerfile to the image"),
		cmdkit.String(&opts.Message, "message m", "Keep `TEXT` as the image's comment"),
		cmdkit.Bool(&opts.Quiet, "quiet q", "Show no progress"),
	}
	return &cli.Command{
		Name: "import", Usage: "Make an image from the tar of a root file system", ArgsUsage: "FILE|URL|- [NAME]",
		Flags: append(flags, platformFlags(&opts.Platform)...),
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.Import(c.Context, env, c.Args().First(), second(c), opts)
		}),
	}
}
