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

// listOptions is what `images` was asked for.
type listOptions struct {
	list.RowOptions
	filters   []string
	format    string
	sort      string
	quiet     bool
	noHeading bool
	history   bool
}

// Docker's columns.
const (
	listTable        = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
	listHistoryTable = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.History}}"
	listDigestTable  = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
)

// List is `wherry images` and `wherry image ls`.
func List(env *cmdkit.Env) *cli.Command {
	var opts listOptions
	return &cli.Command{
		Name: "images", Usage: "List images", ArgsUsage: "[NAME]",
		Flags: append([]cli.Flag{
			cmdkit.Bool(&opts.All, "all a", "List also nameless images that others stand on"),
			cmdkit.Bool(&opts.Digests, "digests", "Show digests"),
			cmdkit.Strings(&opts.filters, "filter f", "Only images for which `KEY=VALUE` holds: reference, dangling, label, before, since, until, id, readonly"),
			cmdkit.String(&opts.format, "format", "Print as `table|json|TEMPLATE`"),
			cmdkit.Bool(&opts.NoTrunc, "no-trunc", "Show ids in full"),
			cmdkit.Bool(&opts.quiet, "quiet q", "Print only ids"),
			cmdkit.Bool(&opts.noHeading, "noheading n", "Print no heading"),
			cmdkit.Bool(&opts.history, "history", "Show the names that they had"),
			cmdkit.String(&opts.sort, "sort", "Order by `created|id|repository|size|tag`"),
		}, cmdkit.Refused("tree", "of an image of several platforms only one is kept: there is no tree (history shows its layers)")...),
		Action: func(c *cli.Context) error { return listImages(c.Context, env, opts, c.Args().First()) },
	}
}

func listImages(ctx context.Context, env *cmdkit.Env, opts listOptions, name string) error {
	if name != "" {
		opts.filters = append(opts.filters, "reference="+name)
	}
	now := time.Now()
	filter, err := list.ParseFilter(opts.filters, now, "reference", "dangling", "label", "before", "since", "after", "until", "id", "readonly")
	if err != nil {
		return err
	}
	s := store.Open(env.Dirs)
	images, err := s.Images(ctx)
	if err != nil {
		return err
	}
	if filter.NeedsConfig() || opts.format != "" {
		images = withConfigs(env, s, images)
	}
	chosen, err := filter.Images(images, func(name string) (*store.Image, error) { return s.Lookup(ctx, name) })
	if err != nil {
		return err
	}
	rows := list.Rows(chosen, filter, opts.RowOptions, now)
	if err := list.Sort(rows, opts.sort); err != nil {
		return err
	}
	if opts.quiet {
		return printIDs(env, rows)
	}
	table := listTable
	if opts.Digests {
		table = listDigestTable
	}
	if opts.history {
		table = listHistoryTable
	}
	return env.PrintListing(rows, cmdkit.Listing{Format: opts.format, Table: table, NoHeading: opts.noHeading})
}

// withConfigs fills the configurations; an image whose own cannot be read is listed without.
func withConfigs(env *cmdkit.Env, s *store.Store, images []store.Image) []store.Image {
	for i := range images {
		if err := s.ReadConfig(&images[i]); err != nil {
			env.Warn(err.Error())
		}
	}
	return images
}

// printIDs prints every image once.
func printIDs(env *cmdkit.Env, rows []list.Row) error {
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r.Id] {
			continue
		}
		seen[r.Id] = true
		if _, err := fmt.Fprintln(env.Out, r.ID); err != nil {
			return err
		}
	}
	return nil
}
