package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Save is `wherry save`.
func Save(env *cmdkit.Env) *cli.Command {
	var opts option.Save
	multi := true // as in Docker; Podman's further tags are given with tag
	return &cli.Command{
		Name: "save", Usage: "Write images to an archive or directory", ArgsUsage: "IMAGE...",
		Flags: []cli.Flag{
			cmdkit.String(&opts.Output, "output o", "Write to `FILE` instead of standard output"),
			cmdkit.String(&opts.Format, "format", "Write as `docker-archive|oci-archive|oci-dir|docker-dir`"),
			cmdkit.Bool(&opts.Compress, "compress", "Compress the layers of a docker-dir"),
			cmdkit.Bool(&opts.Quiet, "quiet q", "Show no progress"),
			cmdkit.Bool(&multi, "multi-image-archive m", "Every operand is an image of its own, not a further tag; =false is refused"),
		},
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			if opts.Output == "" && cmdkit.IsTerminal(env.OutFile) {
				return cmdkit.Usagef("save writes an archive to standard output, and that is a terminal (name a file with --output, or redirect)")
			}
			if !multi && c.Args().Len() > 1 {
				return cmdkit.Usagef("every operand of save is an image (give an image more names with %s tag)", env.Program)
			}
			return v.Save(c.Context, env, c.Args().Slice(), opts)
		}),
	}
}
