package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Login is `wherry login`.
func Login(env *cmdkit.Env) *cli.Command {
	var opts option.Login
	flags := []cli.Flag{
		cmdkit.String(&opts.Username, "username u", "Log in as `USER`"),
		cmdkit.String(&opts.Password, "password p", "`PASSWORD` (others can see it: rather use --password-stdin)"),
		cmdkit.Bool(&opts.PasswordStdin, "password-stdin", "Read the password from standard input"),
		cmdkit.Bool(&opts.GetLogin, "get-login", "Print the user that is logged in"),
	}
	return &cli.Command{
		Name: "login", Usage: "Keep a user name and password for a registry", ArgsUsage: "[REGISTRY]",
		Flags: append(flags, registryFlags(&opts.Options)...),
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.Login(c.Context, env, c.Args().First(), opts)
		}),
	}
}
