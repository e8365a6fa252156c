package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Commit is `wherry commit`: about a container, but it writes an image, which the companion does.
func Commit(env *cmdkit.Env) *cli.Command {
	opts := option.Commit{Pause: true}
	var keepRunning bool
	return &cli.Command{
		Name: "commit", Usage: "Make an image of a container's files", ArgsUsage: "CONTAINER [IMAGE]",
		Description: "What is mounted in the container (volumes, binds, secrets) is not in the image.",
		Flags: []cli.Flag{
			cmdkit.String(&opts.Author, "author a", "Name `AUTHOR` in the image"),
			cmdkit.Strings(&opts.Changes, "change c", "Apply `INSTRUCTION` of a Dockerfile to the image"),
			cmdkit.String(&opts.Config, "config", "Merge the configuration in the JSON `FILE` into the image's"),
			oneOf(&opts.Format, "format f", "Write the manifest as `oci|docker`", "oci", "docker"),
			cmdkit.String(&opts.IIDFile, "iidfile", "Write the image's id to `FILE`"),
			cmdkit.Bool(&opts.IncludeVolumes, "include-volumes", "Declare the container's volumes in the image"),
			cmdkit.String(&opts.Message, "message m", "Keep `TEXT` as the image's comment"),
			cmdkit.Bool(&opts.Pause, "pause p", "Pause the container meanwhile (the default)"),
			cmdkit.Bool(&keepRunning, "no-pause", "Let the container run meanwhile"),
			cmdkit.Bool(&opts.Quiet, "quiet q", "Show no progress"),
			cmdkit.Bool(&opts.Squash, "squash s", "Make one layer of all files, not one more on the image's"),
		},
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			opts.Pause = opts.Pause && !keepRunning
			return v.Commit(c.Context, env, c.Args().First(), second(c), opts)
		}),
	}
}
