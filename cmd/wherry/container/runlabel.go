package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/values"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/store"
)

type runLabelOptions struct {
	name                    string
	display, quiet, replace bool
	pullArgs                []string
}

// RunLabel is `wherry container runlabel`.
func RunLabel(env *cmdkit.Env) *cli.Command {
	var opts runLabelOptions
	pass := func(name, usage string) *cmdkit.Flag {
		return cmdkit.Func(name, usage, func(s string) error {
			opts.pullArgs = append(opts.pullArgs, "--"+name+"="+s)
			return nil
		})
	}
	tls := pass("tls-verify", "Insist on HTTPS with a trusted certificate when pulling")
	tls.Bool = true
	return &cli.Command{
		Name: "runlabel", Usage: "Run the command that a label of an image holds", ArgsUsage: "LABEL IMAGE [ARG...]",
		Flags: []cli.Flag{
			pass("authfile", "`FILE` with the log-ins of registries"),
			pass("cert-dir", "`DIR` with the CA and certificates for the registry"),
			pass("creds", "`USER:PASSWORD` for the registry"),
			cmdkit.Bool(&opts.display, "display", "Only show the command"),
			checked(&opts.name, "name n", "`NAME` that stands for NAME in the label", values.Name),
			cmdkit.Bool(&opts.quiet, "quiet q", "Do not show how a pull goes, nor the command"),
			cmdkit.Bool(&opts.replace, "replace", "Remove a container of that name first"),
			tls,
		},
		Action: func(c *cli.Context) error { return runLabel(c.Context, env, &opts, c.Args().Slice()) },
	}
}

func runLabel(ctx context.Context, env *cmdkit.Env, opts *runLabelOptions, operands []string) error {
	label, image := operands[0], operands[1]
	img, err := store.Open(env.Dirs).Lookup(ctx, image)
	if errors.Is(err, errdefs.ErrNotFound) {
		if err = puller(ctx, env, opts.quiet, opts.pullArgs)(image, "missing", ""); err == nil {
			img, err = store.Open(env.Dirs).Lookup(ctx, image)
		}
	}
	if err != nil {
		return err
	}
	text, ok := img.Config.Config.Labels[label]
	if !ok {
		return &errdefs.ExitError{Code: 1, Err: errdefs.New(errdefs.ErrNotFound, "image %q has no label %q", image, label)}
	}
	name := opts.name
	if name == "" {
		name = baseName(image)
	}
	command, err := labelCommand(env, text, image, name, operands[2:])
	if err != nil {
		return err
	}
	if opts.display || !opts.quiet {
		fmt.Fprintln(env.Err, "command:", strings.Join(command, " "))
	}
	if opts.display {
		return nil
	}
	if opts.replace {
		err := engine(env).Remove(ctx, name, libpod.RemoveOptions{Force: true})
		if err != nil && !errors.Is(err, errdefs.ErrNotFound) {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = env.InFile, env.OutFile, env.ErrFile
	cmd.Env = append(env.Environ(), "NAME="+name, "IMAGE="+image)
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return cmdkit.Exit(exit.ExitCode())
	}
	return err
}

// baseName is the last part of an image's name, without tag and digest.
func baseName(image string) string {
	base, _, _ := strings.Cut(path.Base(image), "@")
	base, _, _ = strings.Cut(base, ":")
	return base
}

// labelCommand fills in a label's line: its first word must be a container program, which is this one. No shell reads it.
func labelCommand(env *cmdkit.Env, text, image, name string, args []string) ([]string, error) {
	words, err := splitWords(text)
	if err != nil || len(words) == 0 {
		return nil, errdefs.New(errdefs.ErrInvalid, "the label of image %q holds no command: %q", image, text)
	}
	switch program := path.Base(words[0]); program {
	case "podman", "docker", "wherry", "exe": // /proc/self/exe
		words = words[1:]
	default:
		return nil, errdefs.New(errdefs.ErrUnsupported, "the label of image %q starts %q: only podman, docker and wherry are run from a label", image, program)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	values := map[string]string{"IMAGE": image, "NAME": name, "PWD": env.Getenv("PWD"), "SUDO_UID": env.Getenv("SUDO_UID"), "SUDO_GID": env.Getenv("SUDO_GID")}
	command := []string{self}
	for _, word := range words {
		switch word {
		case "IMAGE", "NAME":
			word = values[word]
		default:
			word = os.Expand(word, func(of string) string {
				if value, ok := values[of]; ok {
					return value
				}
				return "$" + of // the container's own
			})
		}
		command = append(command, word)
	}
	return append(command, args...), nil
}
