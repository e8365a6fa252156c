package container

import (
	"context"
	"fmt"
	"os/exec"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/values"
)

// Clone is `wherry container clone`.
func Clone(env *cmdkit.Env) *cli.Command {
	var opts libpod.CloneOptions
	var run bool
	set := limits(func(change func(*record.Resources)) { opts.Limits = append(opts.Limits, change) })
	flags := append(set.flags(),
		cmdkit.Bool(&opts.Destroy, "destroy", "Remove the original"),
		cmdkit.Bool(&opts.Force, "force f", "With --destroy, also when it runs"),
		checked(&opts.Name, "name", "`NAME` of the copy, NAME-clone if not given", values.Name),
		cmdkit.Bool(&run, "run", "Start the copy"))
	return &cli.Command{
		Name: "clone", Usage: "Make a container like another one, without what that has written", ArgsUsage: "CONTAINER [NAME] [IMAGE]",
		Flags:  append(flags, cmdkit.Later("pod")...),
		Action: func(c *cli.Context) error { return clone(c.Context, env, opts, run, c.Args().Slice()) },
	}
}

func clone(ctx context.Context, env *cmdkit.Env, opts libpod.CloneOptions, run bool, operands []string) error {
	if len(operands) > 1 {
		if opts.Name != "" {
			return cmdkit.Usagef("the name of the copy is given twice: %q and --name %q", operands[1], opts.Name)
		}
		if opts.Name = operands[1]; values.Name(opts.Name) != nil {
			return cmdkit.Usagef("%s", values.Name(opts.Name))
		}
	}
	if len(operands) > 2 {
		opts.Image = operands[2]
	}
	if opts.Force && !opts.Destroy {
		return cmdkit.Usagef("--force needs --destroy")
	}
	e := engine(env)
	id, err := e.Clone(ctx, operands[0], opts)
	if err == nil && run {
		_, err = e.Start(ctx, id, libpod.StartOptions{})
	}
	if id != "" {
		fmt.Fprintln(env.Out, id)
	}
	return err
}

type cleanupOptions struct {
	sel                  selection
	remove, removeImages bool
}

// Cleanup is `wherry container cleanup`.
func Cleanup(env *cmdkit.Env) *cli.Command {
	var opts cleanupOptions
	flags := []cli.Flag{
		cmdkit.Bool(&opts.sel.all, "all a", "All containers that do not run"),
		cmdkit.Bool(&opts.sel.latest, "latest l", "The newest container"),
		cmdkit.Bool(&opts.remove, "rm", "Then remove them"),
		cmdkit.Bool(&opts.removeImages, "rmi", "Then remove them, and their images unless others stand on them"),
	}
	return &cli.Command{
		Name: "cleanup", Usage: "Take away what a killed monitor left of containers that have ended", ArgsUsage: "[CONTAINER...]",
		Flags:  append(flags, cmdkit.Refused("exec", "nothing is kept of an exec session that has ended")...),
		Action: func(c *cli.Context) error { return cleanup(c.Context, env, &opts, c.Args().Slice()) },
	}
}

func cleanup(ctx context.Context, env *cmdkit.Env, opts *cleanupOptions, operands []string) error {
	ended := []record.Status{record.Created, record.Exited}
	return opts.sel.each(ctx, env, operands, ended, func(e *libpod.Engine, ref string) error {
		doc, err := e.Inspect(ctx, ref)
		if err != nil {
			return err
		}
		if err := e.Cleanup(ctx, doc.ID); err != nil || !opts.remove && !opts.removeImages {
			return err
		}
		if err := e.Remove(ctx, doc.ID, libpod.RemoveOptions{Volumes: true}); err != nil || !opts.removeImages {
			return err
		}
		cmd := exec.CommandContext(ctx, env.Dirs.Image(), "rmi", "--ignore", doc.ImageName)
		cmd.Env = env.Environ()
		cmd.Run() // an image that others use stays
		return nil
	})
}
