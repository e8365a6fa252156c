package container

import (
	"context"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/values"
)

// updating is what the flags of update say.
type updating struct {
	libpod.UpdateOptions
	latest bool
	health wish // takes the health flags, which it has in common with run
}

// Update is `wherry update`.
func Update(env *cmdkit.Env) *cli.Command {
	u := &updating{}
	return &cli.Command{
		Name: "update", Usage: "Change limits, restart policy, environment and health check of containers", ArgsUsage: "[CONTAINER...]",
		Flags:  u.flags(env),
		Action: func(c *cli.Context) error { return u.run(c.Context, env, c.Args().Slice()) },
	}
}

func (u *updating) flags(env *cmdkit.Env) []cli.Flag {
	set := limits(func(change func(*record.Resources)) { u.Limits = append(u.Limits, change) })
	flags := slices.Concat(set.flags(), u.health.healthFlags(), []cli.Flag{
		cmdkit.Func("env e", "Set `NAME=VALUE` for the next process; NAME alone passes the caller's value on", func(s string) error {
			pairs, err := values.Env(s, env.Environ)
			u.Env = append(u.Env, pairs...)
			return err
		}),
		cmdkit.Bool(&u.latest, "latest l", "The newest container"),
		cmdkit.Func("restart", "When it ends, start it again: `no|always|unless-stopped|on-failure[:MAX]`", func(s string) error {
			policy, retries, err := values.Restart(s)
			u.Restart = &record.Restart{Policy: policy, MaxRetries: retries}
			return err
		}),
		cmdkit.Strings(&u.UnsetEnv, "unsetenv", "Drop the variable `NAME`"),
	}, cmdkit.Refused("ulimit", "a process has its limits from its start (make the container anew with --ulimit)"),
		cmdkit.Refused("kernel-memory", "no kernel of today limits it"))
	return flags
}

func (u *updating) run(ctx context.Context, env *cmdkit.Env, operands []string) error {
	e := engine(env)
	if u.latest {
		ref, rest, err := one(ctx, e, true, operands)
		if err != nil {
			return err
		}
		if len(rest) > 0 {
			return cmdkit.Usagef("--latest does not go with a named container")
		}
		operands = []string{ref}
	}
	if len(operands) == 0 {
		return cmdkit.Operandsf("which container? Name one, or use --latest")
	}
	u.NoHealth = u.health.NoHealth
	if u.health.HealthSet {
		u.Health = u.health.Config.Health
	}
	if err := u.health.checkHealth(); err != nil {
		return err
	}
	if len(u.Limits) == 0 && u.Restart == nil && u.Health == nil && !u.NoHealth && len(u.Env)+len(u.UnsetEnv) == 0 {
		return cmdkit.Usagef("what is to change? Give at least one flag, as --memory 1g (see %s update --help)", env.Program)
	}
	return cmdkit.Each(env, operands, func(ref string) (string, error) {
		if err := e.Update(ctx, ref, u.UpdateOptions); err != nil {
			return "", fmt.Errorf("update container %q: %w", ref, err)
		}
		return ref, nil
	})
}
