package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Logout is `wherry logout`.
func Logout(env *cmdkit.Env) *cli.Command {
	var opts option.Login
	return &cli.Command{
		Name: "logout", Usage: "Forget the log-in of a registry", ArgsUsage: "[REGISTRY]",
		Flags: []cli.Flag{
			cmdkit.Bool(&opts.All, "all a", "Forget the log-ins of all registries"),
			cmdkit.String(&opts.AuthFile, "authfile", "`FILE` with the log-ins of registries"),
		},
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.Logout(c.Context, env, c.Args().First(), opts)
		}),
	}
}
