// Command wherry runs containers without a daemon and without root.
package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
)

// Set by the linker.
var (
	version = "unknown"
	commit  = "unknown"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func main() {
	debug.SetGCPercent(800) // a command is over before a collection would pay: the first comes at 32 MB
	os.Exit(run())
}

// run is main with a result. Signals keep their default action: what a killed command leaves is whole, and a
// command that must outlive one (a foreground run) takes care of them itself.
func run() int {
	start := time.Now()
	if os.Getenv("PATH") == "" { // env -i, a bare service: newuidmap and the runtime are still where they always are
		os.Setenv("PATH", defaultPath)
	}
	var ahead *libpod.Ahead
	if os.Geteuid() == 0 && startsContainer(os.Args) { // root, or in the user namespace already
		ahead = libpod.NewAhead(os.Getenv)
	}
	out := cmdkit.NewOutput(os.Stdout)
	env := &cmdkit.Env{
		Program: cmdkit.Program(os.Args[0], "wherry"), Args: os.Args, Version: version, Commit: commit,
		In: os.Stdin, Out: out, Err: os.Stderr, InFile: os.Stdin, OutFile: os.Stdout, ErrFile: os.Stderr,
		Getenv: os.Getenv, Environ: os.Environ, Ahead: ahead,
	}
	err := dispatch(context.Background(), env)
	if err == nil {
		err = out.Failed()
	}
	code := cmdkit.Report(env, err)
	env.Tell(time.Since(start).Round(time.Microsecond), code)
	return code
}

// startsContainer looks whether a container is about to be started. It may miss a command line with flags before the
// command: that one takes a little longer.
func startsContainer(args []string) bool {
	if len(args) > 1 && args[1] == "container" {
		args = args[1:]
	}
	return len(args) > 2 && (args[1] == "run" || args[1] == "start")
}

// dispatch runs the command that was typed, or that the name we were called by stands for.
func dispatch(ctx context.Context, env *cmdkit.Env) error {
	if cmdkit.IsCompose(os.Args[0]) {
		env.Program = cmdkit.ComposeName
		return prepare(ctx, env, cmdkit.Composer)
	}
	return table().Run(ctx, env)
}
