package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/list"
	"github.com/wherry-containers/wherry/pkg/store"
)

type pruneOptions struct {
	all, force, volumes bool
	filters             map[string][]string
}

// Prune is `wherry system prune`.
func Prune(env *cmdkit.Env) *cli.Command {
	var opts pruneOptions
	flags := append([]cli.Flag{
		cmdkit.Bool(&opts.all, "all a", "Also named images that no container stands on"),
		cmdkit.Filters(&opts.filters, "filter", "Only what `KEY=VALUE` holds for: until, label, label!"),
		cmdkit.Bool(&opts.force, "force f", "Do not ask"),
		cmdkit.Bool(&opts.volumes, "volumes", "Also anonymous volumes that no container uses"),
	}, cmdkit.Refused("build", "no containers of builds are kept, so that there are none to remove")...)
	return &cli.Command{
		Name: "prune", Usage: "Remove stopped containers, unused networks and images and, if asked, unused volumes",
		Flags: append(flags, cmdkit.Refused("external", "only wherry writes to its store: there is nothing of other programs to remove")...),
		Action: func(c *cli.Context) error {
			if err := opts.check(); err != nil {
				return err
			}
			if !opts.force && !env.Confirm(c.Context, opts.warning()) {
				return nil
			}
			return prune(c.Context, env, opts)
		},
	}
}

func (o *pruneOptions) check() error {
	for key := range o.filters {
		switch {
		case key != "until" && key != "label" && key != "label!":
			return cmdkit.Usagef("unknown filter %q (until, label, label!)", key)
		case key == "until" && o.volumes:
			return cmdkit.Usagef("--filter until does not go with --volumes: volumes are not removed by age")
		}
	}
	return nil
}

// warning is Docker's list of what goes.
func (o *pruneOptions) warning() string {
	lines := []string{"This will remove:", "  - all stopped containers", "  - all networks not used by at least one container"}
	if o.volumes {
		lines = append(lines, "  - all anonymous volumes not used by at least one container")
	}
	images := "  - all dangling images"
	if o.all {
		images = "  - all images without at least one container associated to them"
	}
	cache := "  - unused build cache"
	if o.all {
		cache = "  - all build cache"
	}
	lines = append(lines, images, cache)
	for key, values := range o.filters {
		for _, value := range values {
			lines = append(lines, "  - only what "+key+"="+value+" holds for")
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// prune goes on after an error, and prints what it removed in any case.
func prune(ctx context.Context, env *cmdkit.Env, opts pruneOptions) error {
	e := libpod.New(env.Dirs, libpod.EngineOptions{Warn: env.Warn, EventsBackend: env.EventsBackend})
	ids, total, failed := e.Prune(ctx, opts.filters)
	printList(env, "Deleted Containers:", ids)
	if ctx.Err() == nil {
		names, err := e.NetworkPrune(ctx, opts.filters)
		printList(env, "Deleted Networks:", names)
		failed = errors.Join(failed, err)
	}
	if opts.volumes && ctx.Err() == nil {
		names, size, err := e.VolumePrune(ctx, libpod.VolumePruneOptions{Filters: opts.filters})
		printList(env, "Deleted Volumes:", names)
		total, failed = total+size, errors.Join(failed, err)
	}
	if ctx.Err() == nil {
		images, size, err := pruneImages(ctx, env, opts)
		printList(env, "Deleted Images:", images)
		total, failed = total+size, errors.Join(failed, err)
	}
	if ctx.Err() == nil {
		objects, size, err := pruneCache(ctx, env, opts)
		printList(env, "Deleted build cache objects:", objects)
		total, failed = total+size, errors.Join(failed, err)
	}
	fmt.Fprintf(env.Out, "Total reclaimed space: %s\n", list.Size(total))
	return failed
}

func printList(env *cmdkit.Env, title string, lines []string) {
	if len(lines) > 0 {
		fmt.Fprintf(env.Out, "%s\n%s\n\n", title, strings.Join(lines, "\n"))
	}
}

// pruneImages has the companion remove images; a store without any is not worth its start.
func pruneImages(ctx context.Context, env *cmdkit.Env, opts pruneOptions) (deleted []string, reclaimed int64, err error) {
	if images, err := store.Open(env.Dirs).Images(ctx); err != nil || len(images) == 0 {
		return nil, 0, err
	}
	args := []string{"image", "prune", "--force", "--raw"}
	if opts.all {
		args = append(args, "--all")
	}
	for key, values := range opts.filters {
		for _, value := range values {
			args = append(args, "--filter", key+"="+value)
		}
	}
	cmd := exec.CommandContext(ctx, env.Dirs.Image(), args...)
	cmd.Env = env.Environ()
	cmd.Stderr = env.Err
	out, err := cmd.Output()
	for line := range strings.Lines(string(bytes.TrimSpace(out))) {
		what, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch what {
		case "deleted":
			deleted = append(deleted, "deleted: sha256:"+value)
		case "reclaimed":
			reclaimed, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return deleted, reclaimed, &errdefs.ExitError{Code: errdefs.ExitOurs} // it has said why
	}
	if err != nil {
		err = fmt.Errorf("remove images: %w", err)
	}
	return deleted, reclaimed, err
}
