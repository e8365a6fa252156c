package container

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/signals"
)

const timeFlag = "time timeout t"

// Stop is `wherry stop`.
func Stop(env *cmdkit.Env) *cli.Command {
	var sel selection
	var opts libpod.StopOptions
	return &cli.Command{
		Name: "stop", Usage: "Stop running containers", ArgsUsage: "[CONTAINER...]",
		Flags: append(sel.flags(), sel.ignoreFlag(),
			cmdkit.OptInt(&opts.Timeout, timeFlag, "`SECONDS` until the container is killed, -1 to wait for ever"),
			signalFlag(&opts.Signal)),
		Action: func(c *cli.Context) error { return stop(c.Context, env, &sel, opts, c.Args().Slice()) },
	}
}

func signalFlag(p *string) *cmdkit.Flag {
	return cmdkit.Func("signal s", "`SIGNAL` to send, by name or number", func(s string) error {
		*p = s
		_, err := signals.Parse(s)
		return err
	})
}

func stop(ctx context.Context, env *cmdkit.Env, sel *selection, opts libpod.StopOptions, operands []string) error {
	statuses := []record.Status{record.Running, record.Paused, record.Restarting, record.Initialized}
	return sel.each(ctx, env, operands, statuses, func(e *libpod.Engine, ref string) error {
		return e.Stop(ctx, ref, opts)
	})
}

// Restart is `wherry restart`.
func Restart(env *cmdkit.Env) *cli.Command {
	var sel selection
	var opts libpod.StopOptions
	var running bool
	return &cli.Command{
		Name: "restart", Usage: "Stop and start containers", ArgsUsage: "[CONTAINER...]",
		Flags: append(sel.flags(),
			cmdkit.Bool(&running, "running", "All running containers"),
			cmdkit.OptInt(&opts.Timeout, timeFlag, "`SECONDS` until the container is killed, -1 to wait for ever"),
			signalFlag(&opts.Signal)),
		Action: func(c *cli.Context) error {
			return restart(c.Context, env, &sel, running, opts, c.Args().Slice())
		},
	}
}

func restart(ctx context.Context, env *cmdkit.Env, sel *selection, running bool, opts libpod.StopOptions, operands []string) error {
	var statuses []record.Status
	if running {
		sel.all = true
		statuses = []record.Status{record.Running}
	}
	return sel.each(ctx, env, operands, statuses, func(e *libpod.Engine, ref string) error {
		return e.Restart(ctx, ref, opts)
	})
}

// Kill is `wherry kill`.
func Kill(env *cmdkit.Env) *cli.Command {
	var sel selection
	signal := "KILL"
	flag := signalFlag(&signal)
	flag.Default = signal
	return &cli.Command{
		Name: "kill", Usage: "Send a signal to running containers", ArgsUsage: "[CONTAINER...]",
		Flags:  append(sel.flags(), flag),
		Action: func(c *cli.Context) error { return kill(c.Context, env, &sel, signal, c.Args().Slice()) },
	}
}

func kill(ctx context.Context, env *cmdkit.Env, sel *selection, signal string, operands []string) error {
	return sel.each(ctx, env, operands, []record.Status{record.Running}, func(e *libpod.Engine, ref string) error {
		return e.Kill(ctx, ref, signal)
	})
}

// Remove is `wherry rm`.
func Remove(env *cmdkit.Env) *cli.Command {
	var sel selection
	var opts libpod.RemoveOptions
	var depend bool
	flags := append(withoutShort(sel.flags(), "filter"), sel.ignoreFlag(),
		cmdkit.Bool(&opts.Force, "force f", "Stop running containers first; an unknown one is no error"),
		cmdkit.Bool(&depend, "depend", "Remove the containers that are in namespaces of these, too"),
		cmdkit.Bool(&opts.Volumes, "volumes v", "Remove their anonymous volumes too"),
		cmdkit.OptInt(&opts.Timeout, timeFlag, "With --force, `SECONDS` between the stop signal and the kill"))
	return &cli.Command{
		Name: "rm", Usage: "Remove containers", ArgsUsage: "[CONTAINER...]",
		Flags:  append(flags, cmdkit.Refused("link", "containers are not linked")...),
		Action: func(c *cli.Context) error { return remove(c.Context, env, &sel, opts, depend, c.Args().Slice()) },
	}
}

func remove(ctx context.Context, env *cmdkit.Env, sel *selection, opts libpod.RemoveOptions, depend bool, operands []string) error {
	sel.ignore = sel.ignore || opts.Force
	return sel.each(ctx, env, operands, nil, func(e *libpod.Engine, ref string) error {
		err := removeOne(ctx, e, ref, opts, depend)
		if errors.Is(err, errdefs.ErrState) {
			return &errdefs.ExitError{Code: 2, Err: err} // Podman's status for a container that runs
		}
		return err
	})
}

// removeOne removes, if asked, first those that depend on the container.
func removeOne(ctx context.Context, e *libpod.Engine, ref string, opts libpod.RemoveOptions, depend bool) error {
	if depend {
		ids, err := e.Dependents(ctx, ref)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := e.Remove(ctx, id, opts); err != nil && !errors.Is(err, errdefs.ErrNotFound) {
				return err
			}
		}
	}
	return e.Remove(ctx, ref, opts)
}
