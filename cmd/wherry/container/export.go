package container

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/archive"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

// Export is `wherry export`.
func Export(env *cmdkit.Env) *cli.Command {
	var output string
	return &cli.Command{
		Name: "export", Usage: "Write a container's root file system as a tar archive", ArgsUsage: "CONTAINER",
		Flags: []cli.Flag{cmdkit.String(&output, "output o", "Write to `FILE` instead of standard output")},
		Action: func(c *cli.Context) error {
			if output == "" && cmdkit.IsTerminal(env.OutFile) {
				return cmdkit.Usagef("export writes an archive to standard output, and that is a terminal (name a file with --output, or redirect)")
			}
			return export(c.Context, env, c.Args().First(), output)
		},
	}
}

// export writes to standard output or a pipe at once. A file appears under its name only when it is whole.
func export(ctx context.Context, env *cmdkit.Env, ref, output string) error {
	e := engine(env)
	if output == "" {
		var out io.Writer = env.Out
		if env.OutFile != nil {
			out = env.OutFile
		}
		return e.Export(ctx, ref, out)
	}
	info, err := os.Stat(output)
	if err == nil && info.IsDir() {
		return errdefs.New(errdefs.ErrInvalid, "--output: %s is a directory (name a file)", output)
	}
	if err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(output, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(e.Export(ctx, ref, f), f.Close())
	}
	err = archive.WriteFile(output, func(f *os.File) error {
		err := e.Export(ctx, ref, f)
		faultpoint.Hit("export.written")
		return err
	})
	if path := new(fs.PathError); errors.As(err, &path) && path.Op != "pack" {
		return errdefs.New(path.Err, "--output: %v", err)
	}
	return err
}
