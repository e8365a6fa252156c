// Command wherry-build builds images. The front executes it with its own arguments; it can also be started by itself.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/containers/storage/pkg/reexec"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto" // messages by generated code, not by reflection
	"github.com/sirupsen/logrus"
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/build"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/rootless"
)

// Set by the linker.
var (
	version = "unknown"
	commit  = "unknown"
)

func main() {
	if reexec.Init() { // a child of containers/storage that unpacks a layer
		return
	}
	debug.SetGCPercent(400) // a build that finds everything in the cache is over before a collection would pay
	os.Exit(run())
}

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
	// What the libraries log is for their developers; what matters comes back as an error.
	logrus.SetLevel(logrus.FatalLevel)
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := dispatch(ctx, env)
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

func dispatch(ctx context.Context, env *cmdkit.Env) error {
	if isPlugin(env.Args[0]) {
		return plugin(ctx, env)
	}
	return table().Run(build.WithVerbs(ctx, verbs()), env)
}

// table is the companion's part of the front's table of commands.
func table() *cmdkit.App {
	one := cmdkit.Entry{Names: "build", New: build.Build}
	return &cmdkit.App{
		Summary: "Commands of wherry that build images",
		Entries: []cmdkit.Entry{
			one,
			{Names: "image", Sub: []cmdkit.Entry{one}},
			{Names: "builder", Sub: []cmdkit.Entry{one}},
			{Names: "buildx", Sub: []cmdkit.Entry{{Names: "build b", New: build.Build}}},
			{Names: "buildkit", New: build.BuildKit},
		},
		Flags: globalFlags, Prepare: prepare,
	}
}

// globalFlags are those of the front that a companion must know: it gets the whole command line.
func globalFlags(env *cmdkit.Env) []cli.Flag {
	return append(cmdkit.GlobalFlags(env, os.Setenv), cmdkit.Refusals()...)
}

// prepare brings the process to the store, with a mount namespace of its own.
func prepare(_ context.Context, env *cmdkit.Env, place cmdkit.Place) error {
	if place != cmdkit.Plain {
		if err := rootless.Enter(rootless.EnterOptions{}); err != nil {
			return err
		}
		if err := rootless.Alone(os.Args); err != nil {
			return err
		}
	}
	var err error
	env.Dirs, err = layout.Find(env.Getenv)
	return err
}
