package container

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
)

// Copy is `wherry cp`.
func Copy(env *cmdkit.Env) *cli.Command {
	// Podman gives what is copied in to the container's user unless told otherwise, Docker only when told so.
	opts := libpod.CopyOptions{Archive: env.Program != "docker"}
	var quiet bool
	return &cli.Command{
		Name: "cp", Usage: "Copy files between a container and the host, or between containers", ArgsUsage: "CONTAINER:PATH|PATH|- CONTAINER:PATH|PATH|-",
		Description: "A path of - is a tar stream on standard input or output.\n\n" +
			"A file goes into an existing directory, or takes the name. A directory goes into an existing directory, or is\n" +
			"made under the name; with /. at the end of the source only its content is copied.",
		Flags: []cli.Flag{
			cmdkit.Bool(&opts.Archive, "archive a", "Files in the container belong to its user (the default unless called as docker); =false: to who owns them now"),
			cmdkit.Bool(&opts.FollowLink, "follow-link L", "Copy what a link given as the source points to"),
			cmdkit.Bool(&opts.Overwrite, "overwrite", "Let files replace directories, and the reverse"),
			cmdkit.Bool(&quiet, "quiet q", "Say nothing about files that were left out"),
		},
		Action: func(c *cli.Context) error {
			return copyFiles(c.Context, env, c.Args().Get(0), c.Args().Get(1), opts, quiet)
		},
	}
}

func copyFiles(ctx context.Context, env *cmdkit.Env, from, to string, opts libpod.CopyOptions, quiet bool) error {
	src, err := libpod.ParseCopyPlace(from)
	if err != nil {
		return cmdkit.Usagef("%v", err)
	}
	dst, err := libpod.ParseCopyPlace(to)
	if err != nil {
		return cmdkit.Usagef("%v", err)
	}
	if dst.Container == "" && dst.Path == "-" && cmdkit.IsTerminal(env.OutFile) {
		return cmdkit.Usagef("cp writes a tar stream to standard output, and that is a terminal (redirect it)")
	}
	opts.Stdin, opts.Stdout = env.In, env.Out
	if env.OutFile != nil {
		opts.Stdout = env.OutFile
	}
	skipped, err := engine(env).Copy(ctx, src, dst, opts)
	if err == nil && skipped > 0 && !quiet {
		env.Warn(fmt.Sprintf("%d sockets and device nodes were not copied", skipped))
	}
	return err
}
