package system

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/rootless"
)

// Check is `wherry system check`.
func Check(env *cmdkit.Env) *cli.Command {
	opts := libpod.CheckOptions{MaxAge: 24 * time.Hour}
	var quiet bool
	return &cli.Command{
		Name: "check", Usage: "Compare the store with what it should be, and repair it",
		Flags: []cli.Flag{
			cmdkit.Bool(&opts.Force, "force f", "With --repair, remove what cannot be mended: containers, volumes and images that are broken"),
			cmdkit.Duration(&opts.MaxAge, "max m", "How old a layer without an image may be, as `DURATION`: a pull may be at work on it"),
			cmdkit.Bool(&opts.Quick, "quick q", "Leave images and layers out, which take longest"),
			cmdkit.Bool(&opts.Repair, "repair r", "Mend what can be mended without losing anything"),
			cmdkit.Bool(&quiet, "quiet", "Print nothing, only exit"),
		},
		Action: func(c *cli.Context) error {
			if opts.Force && !opts.Repair {
				return cmdkit.Usagef("--force needs --repair")
			}
			return check(c.Context, env, opts, quiet)
		},
	}
}

// companion runs a command of the companion, which brings the libraries that write images.
func companion(ctx context.Context, env *cmdkit.Env, args ...string) error {
	cmd := exec.CommandContext(ctx, env.Dirs.Image(), args...)
	cmd.Env = env.Environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimPrefix(strings.TrimSpace(string(out)), "Error: "))
	}
	return nil
}

// check exits with 1 when something is wrong and was not repaired.
func check(ctx context.Context, env *cmdkit.Env, opts libpod.CheckOptions, quiet bool) error {
	opts.RemoveImage = func(id string) error { return companion(ctx, env, "rmi", "--force", id) }
	opts.CollectLayers = func() error { return companion(ctx, env, "image", "prune", "--force", "--layers") }
	problems, err := libpod.New(env.Dirs, libpod.EngineOptions{Warn: env.Warn}).Check(ctx, opts)
	if err != nil {
		return err
	}
	left := 0
	for _, p := range problems {
		suffix := ""
		switch {
		case p.Repaired:
			suffix = " (repaired)"
		case p.Fatal:
			suffix = " (cannot be repaired)"
		}
		if !p.Repaired {
			left++
		}
		if !quiet {
			fmt.Fprintln(env.Out, cmdkit.Printable(p.Object+": "+p.Text+suffix))
		}
	}
	if left > 0 {
		return cmdkit.Exit(1)
	}
	if len(problems) == 0 && !quiet {
		fmt.Fprintln(env.Out, "No problems found")
	}
	return nil
}

// Migrate is `wherry system migrate`.
func Migrate(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "migrate", Usage: "Leave the user namespace, so that a changed /etc/subuid or /etc/subgid counts",
		Flags: append(cmdkit.Refused("migrate-db", "its store has no database"),
			cmdkit.Refused("new-runtime", "a container keeps the runtime it was made with (container clone makes another one of it)")...),
		Action: func(c *cli.Context) error { return migrate(c.Context, env) },
	}
}

// migrate refuses while containers run: they would keep the old namespace, where no later command could reach them.
func migrate(ctx context.Context, env *cmdkit.Env) error {
	rows, err := libpod.New(env.Dirs, libpod.EngineOptions{Warn: env.Warn}).List(ctx, libpod.ListOptions{All: true})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.Status == record.Running || row.Status == record.Paused || row.Status == record.Restarting {
			return errdefs.New(errdefs.ErrState, "container %q is running (%s stop --all first)", row.Name, env.Program)
		}
	}
	return rootless.Stop(ctx)
}
