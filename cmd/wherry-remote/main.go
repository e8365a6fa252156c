// Command wherry-remote speaks to services of Docker's API elsewhere. The front executes it with its own arguments when
// the user asks for such a service, and for the commands about contexts.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/docker/cli/cli"
	"github.com/sirupsen/logrus"
	urfave "github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/remote"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// Set by the linker.
var (
	version = "unknown"
	commit  = "unknown"
)

func main() { os.Exit(run()) }

// exitInterrupted is the status of a command that Ctrl-C ended.
const exitInterrupted = 130

func run() int {
	start := time.Now()
	out := cmdkit.NewOutput(os.Stdout)
	env := &cmdkit.Env{
		Program: cmdkit.Program(os.Args[0], "wherry"), Args: os.Args, Version: version, Commit: commit,
		In: os.Stdin, Out: out, Err: os.Stderr, InFile: os.Stdin, OutFile: os.Stdout, ErrFile: os.Stderr,
		Getenv: os.Getenv, Environ: os.Environ,
	}
	logrus.SetLevel(logrus.FatalLevel)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := table(ctx).Run(remote.WithVerbs(ctx, verbs{}), env)
	if err == nil {
		err = out.Failed()
	}
	if err != nil && ctx.Err() != nil {
		return exitInterrupted
	}
	var status cli.StatusError
	if errors.As(err, &status) {
		err = &errdefs.ExitError{Code: max(status.StatusCode, 1), Err: spoken(status)}
	}
	code := cmdkit.Report(env, err)
	env.Tell(time.Since(start).Round(time.Microsecond), code)
	return code
}

// spoken is what a status has to say; one that only carries a container's exit status says nothing.
func spoken(status cli.StatusError) error {
	switch {
	case status.Cause != nil:
		return status.Cause
	case status.Status != "":
		return errors.New(status.Status)
	}
	return nil
}

// table is the companion's part of the front's table of commands.
func table(ctx context.Context) *cmdkit.App {
	return &cmdkit.App{
		Summary: "Speaks to services of Docker's API elsewhere",
		Entries: []cmdkit.Entry{
			{Names: "context", Sub: []cmdkit.Entry{
				{Names: "create", New: remote.Create}, {Names: "export", New: remote.Export}, {Names: "import", New: remote.Import},
				{Names: "inspect", New: remote.Inspect}, {Names: "ls list", New: remote.List}, {Names: "rm remove", New: remote.Remove},
				{Names: "update", New: remote.Update}, {Names: "use", New: remote.Use},
			}},
			{Names: "system", Sub: []cmdkit.Entry{
				{Names: "connection", Sub: []cmdkit.Entry{
					{Names: "add", New: remote.AddConnection}, {Names: "default", New: remote.DefaultConnection},
					{Names: "ls list", New: remote.ListConnections}, {Names: "rm remove", New: remote.RemoveConnection},
					{Names: "rename", New: remote.RenameConnection},
				}},
				{Names: "dial-stdio", New: remote.DialStdio},
			}},
		},
		Flags: globalFlags, Prepare: prepare,
		Words: func(env *cmdkit.Env, words []string) (bool, error) { return elsewhere(ctx, env, words) },
	}
}

// globalFlags are those of the front that a companion must know: it gets the whole command line.
func globalFlags(env *cmdkit.Env) []urfave.Flag {
	return append(cmdkit.GlobalFlags(env, os.Setenv), cmdkit.Refusals()...)
}

func prepare(_ context.Context, env *cmdkit.Env, _ cmdkit.Place) (err error) {
	env.Dirs, err = layout.Find(env.Getenv)
	return err
}
