package image

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/list"
	"github.com/wherry-containers/wherry/pkg/store"
)

// historyOptions is what `history` was asked for.
type historyOptions struct {
	noTrunc bool
	quiet   bool
	human   bool
	format  string
}

const historyTable = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"

// History is `wherry history`.
func History(env *cmdkit.Env) *cli.Command {
	opts := historyOptions{human: true}
	return &cli.Command{
		Name: "history", Usage: "Show the steps that an image was made by", ArgsUsage: "IMAGE",
		Flags: []cli.Flag{
			cmdkit.Bool(&opts.noTrunc, "no-trunc", "Show everything in full"),
			cmdkit.Bool(&opts.quiet, "quiet q", "Print only ids"),
			cmdkit.Bool(&opts.human, "human H", "Show sizes and times for people"),
			cmdkit.String(&opts.format, "format", "Print as `table|json|TEMPLATE`"),
		},
		Action: func(c *cli.Context) error { return showHistory(c.Context, env, opts, c.Args().First()) },
	}
}

func showHistory(ctx context.Context, env *cmdkit.Env, opts historyOptions, name string) error {
	img, err := store.Open(env.Dirs).Lookup(ctx, name)
	if err != nil {
		return err
	}
	steps := list.Steps(img, list.HistoryOptions{NoTrunc: opts.noTrunc, Raw: !opts.human}, time.Now())
	if !opts.quiet {
		return env.Print(steps, opts.format, historyTable)
	}
	for _, s := range steps {
		if _, err := fmt.Fprintln(env.Out, s.ID); err != nil {
			return err
		}
	}
	return nil
}
