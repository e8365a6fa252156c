// Command wherry-compose is Compose, and what else speaks Docker's API. The front executes it with its own arguments; it
// can also be started by itself, as docker-compose, and as a plugin of the docker command line.
package main

import (
	"context"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/containers/storage/pkg/reexec"
	"github.com/sirupsen/logrus"
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/compose"
	"github.com/wherry-containers/wherry/cmd/wherry/system"
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
	debug.SetGCPercent(400) // most commands are over before a collection would pay
	os.Exit(run())
}

func run() int {
	start := time.Now()
	out := cmdkit.NewOutput(os.Stdout)
	env := &cmdkit.Env{
		Program: cmdkit.Program(os.Args[0], "wherry"), Args: os.Args, Version: version, Commit: commit,
		In: os.Stdin, Out: out, Err: os.Stderr, InFile: os.Stdin, OutFile: os.Stdout, ErrFile: os.Stderr,
		Getenv: os.Getenv, Environ: os.Environ,
	}
	logrus.SetLevel(logrus.WarnLevel)
	logrus.SetFormatter(plainLog{})
	ctx := context.Background()
	var err error
	if plugin, ok := asPlugin(env); ok {
		err = plugin.run(ctx)
	} else {
		err = table().Run(system.WithService(compose.WithVerb(ctx, composeVerb), service), env)
	}
	if err == nil {
		err = out.Failed()
	}
	code := cmdkit.Report(env, err)
	env.Tell(time.Since(start).Round(time.Microsecond), code)
	return code
}

// plainLog prints a library's message as a warning of ours.
type plainLog struct{}

func (plainLog) Format(e *logrus.Entry) ([]byte, error) {
	if strings.HasPrefix(e.Message, "secret file ") {
		return nil, nil // the create says it where it is so, with the path; names of secrets in the store are no files
	}
	word := "Warning: "
	if e.Level > logrus.WarnLevel {
		word = "Debug: "
	}
	return []byte(word + e.Message + "\n"), nil
}

// table is the companion's part of the front's table of commands.
func table() *cmdkit.App {
	return &cmdkit.App{
		Summary: "Compose, and the service of Docker's API",
		Entries: []cmdkit.Entry{
			{Names: "compose", New: compose.Compose, Place: cmdkit.Composer},
			{Names: "__complete", New: complete, Place: cmdkit.Composer},
			{Names: "system", Sub: []cmdkit.Entry{{Names: "service", New: system.Service}}},
		},
		Flags: globalFlags, Prepare: prepare,
	}
}

// globalFlags are those of the front that a companion must know: it gets the whole command line.
func globalFlags(env *cmdkit.Env) []cli.Flag {
	return append(cmdkit.GlobalFlags(env, os.Setenv), cmdkit.Refusals()...)
}

func prepare(_ context.Context, env *cmdkit.Env, place cmdkit.Place) error {
	if place == cmdkit.Inside {
		return enter(env)
	}
	var err error
	env.Dirs, err = layout.Find(env.Getenv)
	return err
}

// enter brings the process to the store.
func enter(env *cmdkit.Env) error {
	if err := rootless.Enter(rootless.EnterOptions{}); err != nil {
		return err
	}
	var err error
	env.Dirs, err = layout.Find(env.Getenv)
	return err
}
