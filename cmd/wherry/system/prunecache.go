package system

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/buildcache"
)

// pruneCache has the companion remove what builds have left; an empty build cache is not worth its start. Its entries
// have no labels.
func pruneCache(ctx context.Context, env *cmdkit.Env, opts pruneOptions) (deleted []string, reclaimed int64, err error) {
	if len(opts.filters["label"]) > 0 || buildcache.IsEmpty(env.Dirs) {
		return nil, 0, nil
	}
	args := []string{"builder", "prune", "--force", "--raw"}
	if opts.all {
		args = append(args, "--all")
	}
	for _, value := range opts.filters["until"] {
		if _, err := time.ParseDuration(value); err != nil {
			return nil, 0, nil // the cache knows ages only
		}
		args = append(args, "--filter", "until="+value)
	}
	cmd := exec.CommandContext(ctx, env.Dirs.Image(), args...)
	cmd.Env = env.Environ()
	cmd.Stderr = env.Err
	out, err := cmd.Output()
	for line := range strings.Lines(string(out)) {
		what, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch what {
		case "deleted":
			deleted = append(deleted, value)
		case "reclaimed":
			reclaimed, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	if err != nil {
		err = fmt.Errorf("prune the build cache: %w", err)
	}
	return deleted, reclaimed, err
}
