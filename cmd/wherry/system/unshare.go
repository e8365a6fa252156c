package system

import (
	"errors"
	"os/exec"
	"syscall"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/rootless"
)

// Unshare is `wherry unshare`.
func Unshare(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "unshare", Usage: "Run a command in the user namespace, where files of containers can be read and changed",
		ArgsUsage: "[COMMAND [ARG...]]",
		Flags:     cmdkit.Later("rootless-netns"),
		Action:    func(c *cli.Context) error { return unshare(env, c.Args().Slice()) },
	}
}

// unshare replaces this process by the command, or by the user's shell.
func unshare(env *cmdkit.Env, command []string) error {
	if !rootless.Inside() {
		return errdefs.New(errdefs.ErrUnsupported, "unshare is for unprivileged users: as root there is no user namespace to enter")
	}
	if len(command) == 0 {
		shell := env.Getenv("SHELL")
		if shell == "" {
			shell = "/bin/sh"
		}
		command = []string{shell}
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		var missing *exec.Error
		if errors.As(err, &missing) && errors.Is(missing.Err, exec.ErrNotFound) {
			return errdefs.New(errdefs.ErrNoCommand, "no command %q", command[0])
		}
		return errdefs.New(errdefs.ErrNotExecutable, "%q cannot be executed: %v", command[0], err)
	}
	return errdefs.New(errdefs.ErrNotExecutable, "%q cannot be executed: %v", command[0], syscall.Exec(path, command, env.Environ()))
}
