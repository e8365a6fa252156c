package container

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/values"
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
			cmdkit.Func("condition", "Wait for `"+strings.Join(libpod.WaitConditions(), "|")+"`; of several the first counts", opts.condition),
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
	o.conditions = append(o.conditions, s)
	return values.OneOf(s, libpod.WaitConditions()...)
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
	if opts.first {
		return waitFirst(ctx, env, e, opts.conditions, operands, opts.ignore)
	}
	return cmdkit.Each(env, operands, func(ref string) (string, error) {
		return waitOne(ctx, e, ref, opts.conditions, opts.ignore)
	})
}

func waitOne(ctx context.Context, e *libpod.Engine, ref string, conditions []string, ignore bool) (string, error) {
	code, err := e.WaitAny(ctx, ref, conditions)
	if ignore && errors.Is(err, errdefs.ErrNotFound) {
		return "-1", nil
	}
	return strconv.Itoa(code), err
}

func waitFirst(ctx context.Context, env *cmdkit.Env, e *libpod.Engine, conditions []string, refs []string, ignore bool) error {
	type outcome struct {
		line string
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan outcome, len(refs))
	for _, ref := range refs {
		go func() {
			line, err := waitOne(ctx, e, ref, conditions, ignore)
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
