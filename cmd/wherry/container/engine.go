// Package container holds the commands about containers, one file a verb.
package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/store"
)

// engine is the engine on the store of env.
func engine(env *cmdkit.Env) *libpod.Engine {
	return libpod.New(env.Dirs, libpod.EngineOptions{Warn: env.Warn, Runtime: env.Runtime,
		RuntimeFlags: env.RuntimeFlags, Settings: settings(env), EventsBackend: env.EventsBackend, Hooks: hooks(env), CDIDirs: env.CDIDirs, Ahead: env.Ahead})
}

// ended turns what a foreground command returns into its exit status: the container's, or none when the user
// detached from it.
func ended(code int, err error) error {
	switch {
	case errors.Is(err, libpod.ErrDetached):
		return nil
	case err != nil:
		return err
	}
	return cmdkit.Exit(code)
}

// puller returns the function that fetches an image by the companion. The user sees its progress on standard error;
// results of ours alone go to standard output.
func puller(ctx context.Context, env *cmdkit.Env, quiet bool, extra []string) func(ref, policy, platform string) error {
	return func(ref, policy, platform string) error {
		args := append([]string{"pull", "--policy=" + policy}, extra...)
		if platform != "" {
			args = append(args, "--platform="+platform)
		}
		if quiet {
			args = append(args, "--quiet")
		}
		cmd := exec.CommandContext(ctx, env.Dirs.Image(), append(args, "--", ref)...)
		cmd.Args[0] = env.Program
		cmd.Env = env.Environ()
		cmd.Stderr = env.Err
		if env.ErrFile != nil {
			cmd.Stderr = env.ErrFile
		}
		if !quiet {
			cmd.Stdout = cmd.Stderr
		}
		err := cmd.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			hint(ctx, env, ref)
			return &errdefs.ExitError{Code: errdefs.ExitOurs} // it has said why
		}
		if err != nil {
			return fmt.Errorf("pull %s: %w (is wherry installed completely?)", ref, err)
		}
		return nil
	}
}

// hint names the image here that the user may have meant, when a pull of ref came to nothing.
func hint(ctx context.Context, env *cmdkit.Env, ref string) {
	_, err := store.Open(env.Dirs).Lookup(ctx, ref)
	if err != nil && strings.Contains(err.Error(), "did you mean") {
		text, _, _ := strings.Cut(err.Error(), ";") // what would fetch it has just been tried
		fmt.Fprintln(env.Err, "Hint:", text)
	}
}

// stdin is the caller's standard input for a child or an attached container, nil where there is none.
func stdin(env *cmdkit.Env, wanted bool) *os.File {
	if !wanted {
		return nil
	}
	return env.InFile
}
