package build

import (
	"time"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/buildah/option"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/values"
)

// BuildKit is `wherry buildkit`.
func BuildKit(env *cmdkit.Env) *cli.Command {
	var opts option.BuildKit
	idle := cmdkit.Func("time t", "End after `SECONDS` without a connection, 0 for never", func(s string) error {
		n, err := values.Count(s)
		opts.Idle = time.Duration(n) * time.Second
		return err
	})
	idle.Default = "0"
	return &cli.Command{
		Name: "buildkit", Usage: "Serve BuildKit's API, for buildctl and docker buildx",
		Description: "It serves until it is interrupted. Use it with buildctl --addr ADDRESS, or docker buildx create --driver remote ADDRESS.",
		Flags: []cli.Flag{
			cmdkit.Strings(&opts.Addresses, "addr a", "Listen at `ADDRESS`: unix:///PATH (the default is buildkit.sock in the run directory)"),
			cmdkit.Int(&opts.Jobs, "jobs", "At most `NUMBER` steps at a time; 0: as many as there are processors"),
			idle,
		},
		Action: action(env, func(c *cli.Context, v *Verbs) error { return v.BuildKit(c.Context, env, opts) }),
	}
}
