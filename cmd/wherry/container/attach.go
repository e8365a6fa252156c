package container

import (
	"context"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
)

// Attach is `wherry attach`.
func Attach(env *cmdkit.Env) *cli.Command {
	opts := libpod.AttachOptions{SigProxy: true}
	var latest bool
	return &cli.Command{
		Name: "attach", Usage: "Connect to a running container", ArgsUsage: "[CONTAINER]",
		Flags: []cli.Flag{
			cmdkit.String(&opts.DetachKeys, "detach-keys", "`KEYS` that detach, as in ctrl-p,ctrl-q"),
			cmdkit.Bool(&latest, "latest l", "The newest container"),
			cmdkit.Bool(&opts.NoStdin, "no-stdin", "Do not pass standard input on"),
			cmdkit.Bool(&opts.SigProxy, "sig-proxy", "Forward signals"),
		},
		Action: func(c *cli.Context) error { return attach(c.Context, env, opts, latest, c.Args().Slice()) },
	}
}

func attach(ctx context.Context, env *cmdkit.Env, opts libpod.AttachOptions, latest bool, operands []string) error {
	e := engine(env)
	ref, _, err := one(ctx, e, latest, operands)
	if err != nil {
		return err
	}
	opts.Stdout, opts.Stderr = env.OutFile, env.ErrFile
	opts.Stdin = stdin(env, !opts.NoStdin)
	code, _, err := e.Attach(ctx, ref, opts)
	return ended(code, err)
}
