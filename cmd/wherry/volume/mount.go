package volume

import (
	"fmt"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
)

// Mount is `wherry volume mount`.
func Mount(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "mount", Usage: "Mount volumes for yourself, and print where (see wherry unshare)", ArgsUsage: "VOLUME...",
		Action: func(c *cli.Context) error {
			e := engine(env)
			return cmdkit.Each(env, c.Args().Slice(), func(name string) (string, error) { return e.VolumeMount(c.Context, name) })
		},
	}
}

// Unmount is `wherry volume unmount`.
func Unmount(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "unmount", Usage: "Unmount what volume mount mounted", ArgsUsage: "VOLUME...",
		Action: func(c *cli.Context) error {
			e := engine(env)
			return cmdkit.Each(env, c.Args().Slice(), func(name string) (string, error) { return name, e.VolumeUnmount(c.Context, name) })
		},
	}
}

// Reload is `wherry volume reload`: it asks the drivers what they have, and the only one keeps that where we look anyway.
func Reload(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "reload", Usage: "Ask other volume drivers for their volumes; there are none",
		Action: func(*cli.Context) error {
			_, err := fmt.Fprintln(env.Err, "Nothing to reload: the local driver is the only one, and its volumes are looked up each time")
			return err
		},
	}
}
