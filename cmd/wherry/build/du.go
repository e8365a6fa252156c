package build

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/image/list"
)

// DiskUsage is `wherry buildx du`.
func DiskUsage(env *cmdkit.Env) *cli.Command {
	var filters []string
	var verbose bool
	var format string
	return &cli.Command{
		Name: "du", Usage: "Show what the build cache holds",
		Flags: []cli.Flag{
			cmdkit.Strings(&filters, "filter", "Only entries for which `KEY=VALUE` holds: until, id, parents, description, type, inuse, shared, private; also != and ~="),
			cmdkit.Bool(&verbose, "verbose", "Show all that is known of each"),
			cmdkit.String(&format, "format", "Print as `table|json|TEMPLATE`"),
		},
		Action: func(c *cli.Context) error { return diskUsage(c.Context, env, filters, verbose, format) },
	}
}

func diskUsage(ctx context.Context, env *cmdkit.Env, filters []string, verbose bool, format string) error {
	if verbose && format != "" {
		return cmdkit.Usagef("--verbose and --format exclude each other")
	}
	match, err := buildcache.ParseFilters(filters, time.Now())
	if err != nil {
		return err
	}
	entries, err := buildcache.List(ctx, env.Dirs)
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e *buildcache.Entry) bool { return !match(e) })
	slices.Reverse(entries) // the last used first
	rows := list.CacheRows(entries, time.Now())
	switch {
	case verbose:
		for _, r := range rows {
			fmt.Fprintln(env.Out, r.Details())
		}
	case format != "" && format != "table":
		return env.Print(rows, format, list.CacheTable)
	default:
		if err := env.Print(rows, format, list.CacheTable); err != nil {
			return err
		}
	}
	return printTotals(env, entries, len(filters) > 0)
}

// printTotals adds up as buildx does; a selection has one sum only.
func printTotals(env *cmdkit.Env, entries []*buildcache.Entry, selected bool) error {
	var total, shared, reclaimable int64
	for _, e := range entries {
		total += e.Size
		if e.Shared {
			shared += e.Size
		}
		if !e.InUse {
			reclaimable += e.Size
		}
	}
	w := tabwriter.NewWriter(env.Out, 1, 8, 1, '\t', 0)
	if !selected {
		if shared > 0 {
			fmt.Fprintf(w, "Shared:\t%s\nPrivate:\t%s\n", list.Size(shared), list.Size(total-shared))
		}
		fmt.Fprintf(w, "Reclaimable:\t%s\n", list.Size(reclaimable))
	}
	fmt.Fprintf(w, "Total:\t%s\n", list.Size(total))
	return w.Flush()
}
