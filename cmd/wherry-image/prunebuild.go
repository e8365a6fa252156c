package main

import (
	"context"
	"fmt"
	"time"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	engine "github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/list"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// pruneBuild removes entries of the build cache.
func pruneBuild(ctx context.Context, env *cmdkit.Env, opts option.PruneBuild) error {
	what := "all dangling build cache"
	if opts.All {
		what = "all build cache"
	}
	if !opts.Force && !env.Confirm(ctx, "This will remove "+what+".") {
		return nil
	}
	return withSession(ctx, env, func(s *engine.Session) error {
		pruned, err := s.PruneBuildCache(ctx, opts.PruneOptions)
		rows := list.CacheRows(pruned.Entries, time.Now())
		switch {
		case opts.Raw:
			for _, e := range pruned.Entries {
				fmt.Fprintf(env.Out, "deleted %s\n", e.ID)
			}
			fmt.Fprintf(env.Out, "reclaimed %d\n", pruned.Reclaimed)
			return err
		case opts.Verbose:
			for _, r := range rows {
				fmt.Fprintln(env.Out, r.Details())
			}
		case len(rows) > 0:
			if printErr := env.Print(rows, "", list.CacheTable); printErr != nil {
				return printErr
			}
		}
		fmt.Fprintf(env.Out, "Total:\t%s\n", list.Size(pruned.Reclaimed))
		return err
	})
}
