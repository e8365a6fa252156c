package container

import (
	"context"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
)

type startOptions struct {
	sel         selection
	attach      bool
	interactive bool
	keys        string
	proxy       bool
}

// Start is `wherry start`.
func Start(env *cmdkit.Env) *cli.Command {
	opts := startOptions{proxy: true}
	flags := append(withoutShort(opts.sel.flags(), "all"),
		cmdkit.Bool(&opts.attach, "attach a", "Show the output, forward signals, and end as the container ends"),
		cmdkit.Bool(&opts.interactive, "interactive i", "Attach, standard input too"),
		cmdkit.String(&opts.keys, "detach-keys", "`KEYS` that detach, as in ctrl-p,ctrl-q"),
		cmdkit.Bool(&opts.proxy, "sig-proxy", "Forward signals when attached"))
	return &cli.Command{
		Name: "start", Usage: "Start created or stopped containers", ArgsUsage: "[CONTAINER...]",
		Flags:  append(flags, cmdkit.Refused("checkpoint checkpoint-dir", "CRIU can neither save nor restore what runs without root")...),
		Action: func(c *cli.Context) error { return start(c.Context, env, &opts, c.Args().Slice()) },
	}
}

// Init is `wherry init`.
func Init(env *cmdkit.Env) *cli.Command {
	var sel selection
	return &cli.Command{
		Name: "init", Usage: "Make namespaces, mounts and network of containers; start lets their commands go", ArgsUsage: "[CONTAINER...]",
		Flags: []cli.Flag{
			cmdkit.Bool(&sel.all, "all a", "All containers that were created or have ended"),
			cmdkit.Bool(&sel.latest, "latest l", "The newest container"),
		},
		Action: func(c *cli.Context) error { return initialize(c.Context, env, &sel, c.Args().Slice()) },
	}
}

func initialize(ctx context.Context, env *cmdkit.Env, sel *selection, operands []string) error {
	stopped := []record.Status{record.Created, record.Exited}
	return sel.each(ctx, env, operands, stopped, func(e *libpod.Engine, ref string) error {
		_, err := e.Start(ctx, ref, libpod.StartOptions{Init: true})
		return err
	})
}

func start(ctx context.Context, env *cmdkit.Env, opts *startOptions, operands []string) error {
	if !opts.attach && !opts.interactive {
		stopped := []record.Status{record.Created, record.Initialized, record.Exited}
		return opts.sel.each(ctx, env, operands, stopped, func(e *libpod.Engine, ref string) error {
			_, err := e.Start(ctx, ref, libpod.StartOptions{})
			return err
		})
	}
	e := engine(env)
	refs, err := opts.sel.refs(ctx, e, operands)
	if err != nil {
		return err
	}
	if len(refs) != 1 {
		return cmdkit.Usagef("only one container can be attached to, not %d", len(refs))
	}
	attach := &libpod.AttachOptions{Stdout: env.OutFile, Stderr: env.ErrFile, DetachKeys: opts.keys, SigProxy: opts.proxy,
		Stdin: stdin(env, opts.interactive), NoStdin: !opts.interactive}
	return ended(e.Start(ctx, refs[0], libpod.StartOptions{Attach: attach}))
}
