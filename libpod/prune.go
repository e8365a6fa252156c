package libpod

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/events"
)

// pruners is how many containers are removed at a time: removal waits for the disk more than it computes.
const pruners = 4

// Prune removes all containers that do not run and match filters (until, label, label!) with their anonymous volumes,
// and returns their ids and the bytes their read-write layers took. The volumes go last, when there are few containers
// left that might use them; those that a kill leaves volume prune removes.
func (e *Engine) Prune(ctx context.Context, filters map[string][]string) ([]string, int64, error) {
	rows, err := e.List(ctx, ListOptions{All: true, Filters: filters, Size: true})
	if err != nil {
		return nil, 0, err
	}
	results := make([]pruned, len(rows))
	slots := make(chan struct{}, pruners)
	var all sync.WaitGroup
	for i := range rows {
		if rows[i].Active() || ctx.Err() != nil {
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			results[i] = e.pruneOne(ctx, rows[i].ID)
		})
	}
	all.Wait()
	var removed, volumes []string
	var reclaimed int64
	failed := ctx.Err()
	for i, r := range results {
		volumes = append(volumes, r.volumes...)
		failed = errors.Join(failed, r.err)
		if r.gone {
			removed = append(removed, rows[i].ID)
			reclaimed += rows[i].SizeRw
		}
	}
	for _, name := range volumes {
		if err := e.removeVolume(name, false); err != nil && !errors.Is(err, errdefs.ErrInUse) && !errors.Is(err, errdefs.ErrNotFound) {
			failed = errors.Join(failed, err)
		}
	}
	e.notePrune(events.Container, reclaimed)
	return removed, reclaimed, errors.Join(failed, e.containers.EmptyTrash())
}

// pruned is what became of one container.
type pruned struct {
	gone    bool
	volumes []string // its anonymous ones
	err     error
}

// pruneOne removes one container. That somebody else removed or started it meanwhile is no error.
func (e *Engine) pruneOne(ctx context.Context, id string) (p pruned) {
	if c, err := e.load(id); err == nil {
		for _, m := range c.Mounts {
			if m.Type == "volume" && m.Anonymous {
				p.volumes = append(p.volumes, m.Source)
			}
		}
	}
	err := e.Remove(ctx, id, RemoveOptions{})
	switch {
	case err == nil:
		p.gone = true
		return p
	case errors.Is(err, errdefs.ErrNotFound) || errors.Is(err, errdefs.ErrState) || errors.Is(err, os.ErrNotExist):
		return pruned{}
	}
	return pruned{err: err}
}
