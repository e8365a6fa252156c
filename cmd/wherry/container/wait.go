package container

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit/values"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

type waitOptions struct {
	conditions []string
	latest     bool
	ignore     bool
	first      bool
}

// Wait is `wherry wait`.
func Wait(env *cmdkit.Env) *cli.Command {
	var opts waitOptions
	return &cli.Command{
		Name: "wait", Usage: "Wait until containers end and print their exit codes", ArgsUsage: "[CONTAINER...]",
		Flags: []cli.Flag{
			cmdkit.Func("condition", "Wait for `not-running|next-exit|removed|running`", opts.condition),
			cmdkit.Bool(&opts.first, "exit-first-match", "Stop waiting when the first container is done"),
			cmdkit.Bool(&opts.ignore, "ignore", "An unknown container counts as -1 and is no error"),
			cmdkit.Bool(&opts.latest, "latest l", "The newest container"),
			cmdkit.Func("interval i", "Any `DURATION` is taken: the end is not looked for, the kernel tells it", func(s string) error {
				if _, err := strconv.Atoi(s); err == nil {
					return nil // milliseconds, as Podman has it
				}
				_, err := values.Duration(s)
				return err
			}),
		},
		Action: func(c *cli.Context) error { return wait(c.Context, env, opts, c.Args().Slice()) },
	}
}

func (o *waitOptions) condition(s string) error {
	switch s {
	case "not-running", "next-exit", "removed", "running", "stopped", "exited":
		o.conditions = []string{s}
		return nil
	case "healthy", "unhealthy", "created", "paused", "configured", "initialized", "removing", "stopping":
		return fmt.Errorf("this condition is not there yet")
	}
	return fmt.Errorf("it is not-running, next-exit, removed or running")
}

func wait(ctx context.Context, env *cmdkit.Env, opts waitOptions, operands []string) error {
	e := engine(env)
	if opts.latest || len(operands) == 0 {
		ref, _, err := one(ctx, e, opts.latest, operands)
		if err != nil {
			return err
		}
		operands = []string{ref}
	}
	condition := ""
	if len(opts.conditions) > 0 {
		condition = opts.conditions[0]
	}
	if opts.first {
		return waitFirst(ctx, env, e, condition, operands, opts.ignore)
	}
	return cmdkit.Each(env, operands, func(ref string) (string, error) {
		return waitOne(ctx, e, ref, condition, opts.ignore)
	})
}

func waitOne(ctx context.Context, e *libpod.Engine, ref, condition string, ignore bool) (string, error) {
	code, err := e.Wait(ctx, ref, condition)
	if ignore && errors.Is(err, errdefs.ErrNotFound) {
		return "-1", nil
	}
	return strconv.Itoa(code), err
}

func waitFirst(ctx context.Context, env *cmdkit.Env, e *libpod.Engine, condition string, refs []string, ignore bool) error {
	type outcome struct {
		line string
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan outcome, len(refs))
	for _, ref := range refs {
		go func() {
			line, err := waitOne(ctx, e, ref, condition, ignore)
			done <- outcome{line, err}
		}()
	}
	first := <-done
	if first.err != nil {
		return first.err
	}
	_, err := fmt.Fprintln(env.Out, first.line)
	return err
}
