// Command wherry-image does what needs the image libraries. The front executes it with its own arguments; it can
// also be started by itself.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/containers/storage/pkg/reexec"
	"github.com/sirupsen/logrus"
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/image"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/rootless"
)

func main() {
	if reexec.Init() { // a child of containers/storage that unpacks a layer
		return
	}
	os.Exit(run())
}

// exitInterrupted is the status of a command that Ctrl-C ended.
const exitInterrupted = 130

func run() int {
	start := time.Now()
	out := cmdkit.NewOutput(os.Stdout)
	env := &cmdkit.Env{
		Program: cmdkit.Program(os.Args[0], "wherry"), Args: os.Args,
		In: os.Stdin, Out: out, Err: os.Stderr, InFile: os.Stdin, OutFile: os.Stdout, ErrFile: os.Stderr,
		Getenv: os.Getenv, Environ: os.Environ,
	}
	// What the libraries log is for their developers; what matters comes back as an error.
	logrus.SetLevel(logrus.FatalLevel)
	logrus.SetFormatter(plainLog{})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if done, err := forFront(ctx, env); done {
		return cmdkit.Report(env, err)
	}
	err := table().Run(image.WithVerbs(ctx, verbs()), env)
	if err == nil {
		err = out.Failed()
	}
	if err != nil && ctx.Err() != nil {
		return exitInterrupted // who typed Ctrl-C knows why
	}
	code := cmdkit.Report(env, err)
	env.Tell(time.Since(start).Round(time.Microsecond), code)
	return code
}

// plainLog prints a library's message as a warning of ours.
type plainLog struct{}

func (plainLog) Format(e *logrus.Entry) ([]byte, error) {
	return []byte("Warning: " + e.Message + "\n"), nil
}

// table is the companion's part of the front's table of commands.
func table() *cmdkit.App {
	verbs := []cmdkit.Entry{
		{Names: "pull", New: image.Pull},
		{Names: "push", New: image.Push},
		{Names: "load", New: image.Load},
		{Names: "save", New: image.Save},
		{Names: "import", New: image.Import},
		{Names: "rmi rm remove", New: image.Remove},
		{Names: "tag", New: image.Tag},
		{Names: "untag", New: image.Untag},
		{Names: "search", New: image.Search},
	}
	commit := cmdkit.Entry{Names: "commit", New: image.Commit}
	builds := []cmdkit.Entry{{Names: "prune", New: image.PruneBuild}}
	group := append([]cmdkit.Entry{{Names: "prune", New: image.Prune}, {Names: "sign", New: image.Sign}, {Names: "scp", New: image.SCP},
		{Names: "trust", Sub: image.Trust(cmdkit.Plain)}}, verbs...)
	top := append([]cmdkit.Entry{
		{Names: "login", New: image.Login, Place: cmdkit.Plain},
		{Names: "logout", New: image.Logout, Place: cmdkit.Plain},
		{Names: "image", Sub: group},
		{Names: "manifest", Sub: image.Manifests(cmdkit.Inside)},
		{Names: "container", Sub: []cmdkit.Entry{commit}},
		{Names: "builder", Sub: builds},
		{Names: "buildx", Sub: append(builds, cmdkit.Entry{Names: "imagetools", Sub: image.Imagetools(cmdkit.Inside)})},
		commit,
	}, verbs...)
	return &cmdkit.App{Summary: "Commands of wherry that need the image libraries", Entries: top, Flags: globalFlags, Prepare: prepare}
}

// globalFlags are those of the front that a companion must know: it gets the whole command line.
func globalFlags(env *cmdkit.Env) []cli.Flag {
	return append(cmdkit.GlobalFlags(env, os.Setenv), cmdkit.Refusals()...)
}

func prepare(_ context.Context, env *cmdkit.Env, place cmdkit.Place) error {
	if place != cmdkit.Plain {
		if err := rootless.Enter(rootless.EnterOptions{}); err != nil {
			return err
		}
	}
	var err error
	env.Dirs, err = layout.Find(env.Getenv)
	return err
}
