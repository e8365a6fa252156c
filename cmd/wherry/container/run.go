package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
)

// Run is `wherry run`.
func Run(env *cmdkit.Env) *cli.Command {
	w := newWish(env)
	flags := append(w.flags(),
		cmdkit.Bool(&w.Detach, "detach d", "Print the id and do not wait"),
		cmdkit.String(&w.Attach.DetachKeys, "detach-keys", "`KEYS` that detach, as in ctrl-p,ctrl-q"),
		w.removeImageFlag(),
		cmdkit.Bool(&w.Attach.SigProxy, "sig-proxy", "Forward signals"))
	keep := &preserving{}
	flags = append(flags, keep.flags()...)
	return &cli.Command{
		Name: "run", Usage: "Make a container and run a command in it", ArgsUsage: "IMAGE [COMMAND [ARG...]]",
		Flags:  append(flags, cmdkit.Later(laterFlags)...),
		Action: func(c *cli.Context) error { return run(c.Context, env, w, keep, c.Args().Slice()) },
	}
}

// checkTerminal refuses to connect a container's terminal with a standard input that is none, as Docker does: programs
// in there would take the one for the other.
func checkTerminal(env *cmdkit.Env) error {
	if cmdkit.IsTerminal(env.InFile) {
		return nil
	}
	return cmdkit.Usagef("the input device is not a TTY (leave --tty out to pipe something in, or --interactive to have a terminal for the output only)")
}

func run(ctx context.Context, env *cmdkit.Env, w *wish, keep *preserving, operands []string) error {
	if err := w.finish(ctx, env, operands); err != nil {
		return err
	}
	if err := w.preserve(env, keep); err != nil {
		return err
	}
	if !w.Detach && w.Config.Process.Terminal && w.Attach.Stdin != nil {
		if err := checkTerminal(env); err != nil {
			return err
		}
	}
	code, id, err := engine(env).Run(ctx, w.RunOptions)
	w.dropImage(ctx, env, err)
	if errors.Is(err, libpod.ErrDetached) {
		return nil
	}
	if err == nil && w.Detach {
		_, err = fmt.Fprintln(env.Out, id)
		return err
	}
	return ended(code, err)
}
