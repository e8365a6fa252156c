package container

import (
	"context"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/values"
)

type execOptions struct {
	libpod.ExecOptions
	env         environment
	interactive bool
	latest      bool
	cidFiles    []string
	preserving
}

// Exec is `wherry exec`.
func Exec(env *cmdkit.Env) *cli.Command {
	opts := execOptions{env: environment{environ: env.Environ}}
	flags := append(opts.env.flags(),
		cmdkit.Strings(&opts.cidFiles, "cidfile", "The container whose id is in `FILE`"),
		cmdkit.Bool(&opts.Detach, "detach d", "Do not wait for the command"),
		cmdkit.String(&opts.DetachKeys, "detach-keys", "`KEYS` that detach, as in ctrl-p,ctrl-q"),
		cmdkit.Bool(&opts.interactive, "interactive i", "Pass standard input on"),
		cmdkit.Bool(&opts.latest, "latest l", "In the newest container"),
		cmdkit.Bool(&opts.NoSession, "no-session", "Note no events, and let a terminal's command end with this one"),
		cmdkit.Bool(&opts.Privileged, "privileged", "Give the command all capabilities"),
		cmdkit.Bool(&opts.Terminal, "tty t", "Give the command a terminal"),
		cmdkit.String(&opts.User, "user u", "Run as `USER[:GROUP]`"),
		cmdkit.String(&opts.WorkDir, "workdir w", "Run in `DIR` of the container"))
	flags = append(flags, opts.preserving.flags()...)
	return &cli.Command{
		Name: "exec", Usage: "Run a command in a running container", ArgsUsage: "[CONTAINER] COMMAND [ARG...]",
		Flags:  flags,
		Action: func(c *cli.Context) error { return execIn(c.Context, env, &opts, c.Args().Slice()) },
	}
}

func execIn(ctx context.Context, env *cmdkit.Env, opts *execOptions, operands []string) error {
	e := engine(env)
	if len(opts.cidFiles) > 0 {
		s := selection{files: opts.cidFiles}
		refs, err := s.refs(ctx, e, nil)
		if err != nil {
			return err
		}
		operands = append(refs[:1], operands...)
	}
	ref, command, err := one(ctx, e, opts.latest, operands)
	if err != nil {
		return err
	}
	if len(command) == 0 {
		return cmdkit.Operandsf("%q needs a command to run in container %q", env.Program+" exec", ref)
	}
	if opts.WorkDir != "" {
		if err := values.AbsolutePath(opts.WorkDir); err != nil {
			return cmdkit.Usagef("invalid --workdir %q: %s", opts.WorkDir, err)
		}
	}
	if opts.Extra, err = opts.preserved(); err != nil {
		return err
	}
	opts.Command, opts.Env = command, opts.env.list()
	opts.Stdin, opts.Stdout, opts.Stderr = stdin(env, opts.interactive), env.OutFile, env.ErrFile
	if !opts.Detach && opts.Terminal && opts.interactive {
		if err := checkTerminal(env); err != nil {
			return err
		}
	}
	return ended(e.Exec(ctx, ref, opts.ExecOptions))
}
