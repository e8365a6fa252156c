package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/container"
)

// Diff is `wherry image diff`.
func Diff(env *cmdkit.Env) *cli.Command {
	var format string
	return &cli.Command{
		Name: "diff", Usage: "Show which files an image's topmost layer added (A), changed (C) and deleted (D)", ArgsUsage: "IMAGE",
		Flags: []cli.Flag{cmdkit.String(&format, "format", "Print as `json`, or by a Go template of .Kind and .Path")},
		Action: func(c *cli.Context) error {
			changes, err := container.Engine(env).DiffImage(c.Context, c.Args().First())
			if err != nil {
				return err
			}
			return container.PrintChanges(env, changes, format)
		},
	}
}
