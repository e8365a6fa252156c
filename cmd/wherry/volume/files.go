package volume

import (
	"context"
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
)

// Export is `wherry volume export`.
func Export(env *cmdkit.Env) *cli.Command {
	var file string
	return &cli.Command{
		Name: "export", Usage: "Write a volume's content as a tar stream", ArgsUsage: "VOLUME",
		Flags:  []cli.Flag{cmdkit.String(&file, "output o", "Write to `FILE`, not to standard output")},
		Action: func(c *cli.Context) error { return export(c.Context, env, c.Args().First(), file) },
	}
}

func export(ctx context.Context, env *cmdkit.Env, name, file string) error {
	switch {
	case file != "" && file != "-":
		return engine(env).VolumeExportFile(ctx, name, file)
	case cmdkit.IsTerminal(env.OutFile):
		return cmdkit.Usagef("a tar stream is nothing for a terminal (use --output FILE, or a pipe)")
	}
	return engine(env).VolumeExport(ctx, name, env.Out)
}

// Import is `wherry volume import`.
func Import(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "Unpack a tar stream, plain or compressed, into a volume", ArgsUsage: "VOLUME [FILE]",
		Action: func(c *cli.Context) error { return importFrom(c.Context, env, c.Args().Get(0), c.Args().Get(1)) },
	}
}

func importFrom(ctx context.Context, env *cmdkit.Env, name, file string) error {
	var in io.Reader = env.In
	if file != "" && file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	} else if cmdkit.IsTerminal(env.InFile) {
		return cmdkit.Usagef("a tar stream does not come from a terminal (name a FILE, or use a pipe)")
	}
	return engine(env).VolumeImport(ctx, name, in)
}
