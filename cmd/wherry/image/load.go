package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Load is `wherry load`.
func Load(env *cmdkit.Env) *cli.Command {
	var opts option.Load
	return &cli.Command{
		Name: "load", Usage: "Bring the images of an archive or directory into the store",
		Flags: []cli.Flag{
			cmdkit.String(&opts.Input, "input i", "Read from `FILE` instead of standard input"),
			cmdkit.Bool(&opts.Quiet, "quiet q", "Show no progress"),
		},
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			if opts.Input == "" && cmdkit.IsTerminal(env.InFile) {
				return cmdkit.Usagef("load reads an archive from standard input, and that is a terminal (name a file with --input)")
			}
			return v.Load(c.Context, env, opts)
		}),
	}
}
