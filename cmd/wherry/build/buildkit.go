package build

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/buildah/option"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
)

// BuildKit is `wherry buildkit`.
func BuildKit(env *cmdkit.Env) *cli.Command {
	var opts option.BuildKit
	return &cli.Command{
		Name: "buildkit", Usage: "Serve BuildKit's API, for buildctl and docker buildx",
		Description: "It serves until it is interrupted. Use it with buildctl --addr ADDRESS, or docker buildx create --driver remote ADDRESS.",
		Flags: []cli.Flag{
			cmdkit.Strings(&opts.Addresses, "addr a", "Listen at `ADDRESS`: unix:///PATH (the default is buildkit.sock in the run directory)"),
			cmdkit.Int(&opts.Jobs, "jobs", "At most `NUMBER` steps at a time; 0: as many as there are processors"),
		},
		Action: action(env, func(c *cli.Context, v *Verbs) error { return v.BuildKit(c.Context, env, opts) }),
	}
}
