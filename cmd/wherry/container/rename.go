package container

import (
	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/values"
)

// Rename is `wherry rename`.
func Rename(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "rename", Usage: "Give a container another name", ArgsUsage: "CONTAINER NAME",
		Action: func(c *cli.Context) error {
			if err := values.Name(c.Args().Get(1)); err != nil {
				return cmdkit.Usagef("%s", err)
			}
			return engine(env).Rename(c.Context, c.Args().Get(0), c.Args().Get(1))
		},
	}
}

// Exists is `wherry container exists`: its exit status is the answer.
func Exists(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "exists", Usage: "Exit with 0 if a container exists, with 1 if not", ArgsUsage: "CONTAINER",
		Flags: cmdkit.Refused("external", "its store holds no containers but its own"),
		Action: func(c *cli.Context) error {
			found, err := engine(env).Exists(c.Context, c.Args().First())
			if err == nil && !found {
				return cmdkit.Exit(1)
			}
			return err
		},
	}
}
