package libpod

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"golang.org/x/sys/unix"
)

// List returns the containers that opts ask for, newest first. It takes no lock; records that claim what is no longer
// so are shown as they are and repaired on the way out.
func (e *Engine) List(ctx context.Context, opts ListOptions) ([]Summary, error) {
	match, err := e.listFilter(ctx, opts)
	if err != nil {
		return nil, err
	}
	if opts.Sync {
		if err := e.settleAll(ctx); err != nil {
			return nil, err
		}
	}
	cached, stale, err := e.readAll()
	if err != nil {
		return nil, err
	}
	rows := make([]Summary, 0, len(cached))
	slices.SortFunc(cached, func(a, b *summaryRow) int { return b.Created.Compare(a.Created) })
	for _, known := range cached {
		if row := e.present(known, &stale); row != nil && match(row) {
			rows = append(rows, *row)
		}
	}
	e.settleStale(stale)
	if opts.Last > 0 && len(rows) > opts.Last {
		rows = rows[:opts.Last]
	}
	if opts.Size {
		e.addSizes(ctx, rows)
	}
	return rows, nil
}

// present turns a row as it is on disk into what is so now, nil when the container is gone: only containers that claim to
// run cost more than a copy.
func (e *Engine) present(row *summaryRow, stale *[]string) *Summary {
	s := &row.Summary
	if s.Status != record.Running && s.Status != record.Restarting && s.Status != record.Initialized {
		return s
	}
	c := &container{state: record.State{Status: s.Status, ExitCode: s.ExitCode}, live: e.loadLive(s.ID)}
	if c.stale() {
		now, err := e.look(s.ID)
		if err != nil {
			return nil // removed meanwhile
		}
		*s, c = now.summarize().Summary, now
	}
	if c.stale() {
		*stale = append(*stale, s.ID)
		s.ExitCode = c.exitCode()
	}
	s.Status = c.status()
	if s.Status != record.Running && s.Status != record.Initialized {
		return s
	}
	s.Pid = c.live.Pid
	if att := e.networks().Attachment(s.ID); att != nil {
		s.Ports, s.Ends = att.Ports, att.Networks
	}
	if row.Checked {
		s.Health = e.healthStatus(s.ID)
	}
	if c.frozen() {
		s.Status = record.Paused
	}
	return s
}

// summarize is the row of one container as its record has it.
func (c *container) summarize() summaryRow {
	mounts, targets := make([]string, 0, len(c.Mounts)), make([]string, 0, len(c.Mounts))
	for _, m := range c.Mounts {
		mounts, targets = append(mounts, firstOf(m.Source, m.Target)), append(targets, m.Target)
	}
	return summaryRow{
		Checked: c.Health != nil,
		Summary: Summary{
			ID: c.ID, Name: c.name(), Image: firstOf(c.Image.Name, c.Image.Ref), ImageID: c.Image.ID, Command: c.Process.Args(),
			Created: c.Created, Status: c.state.Status, StartedAt: c.state.StartedAt, FinishedAt: c.state.FinishedAt,
			ExitCode: c.state.ExitCode, Labels: c.Labels, Mounts: mounts, Targets: targets, Networks: c.networkNames(),
			RestartCount: c.state.RestartCount, Restart: firstOf(c.Lifecycle.Restart, "no"), UserStopped: c.state.UserStopped,
			AutoRemove: c.Lifecycle.AutoRemove,
		},
	}
}

func (e *Engine) addSizes(ctx context.Context, rows []Summary) {
	for i := range rows {
		rows[i].SizeRw = treeSize(filepath.Join(e.dirs.Container(rows[i].ID), record.UpperDir))
		rows[i].SizeRootFs = rows[i].SizeRw
		if img, err := e.images.Lookup(ctx, rows[i].ImageID); err == nil {
			rows[i].SizeRootFs += img.Size
		}
	}
}

// treeSize is the sum of the sizes of the files below dir, hard links counted once.
func treeSize(dir string) int64 {
	var total int64
	seen := map[uint64]bool{}
	filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil
		}
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil && !seen[st.Ino] {
			seen[st.Ino] = st.Nlink > 1
			total += st.Size
		}
		return nil
	})
	return total
}

// matchLabel tells whether labels fulfil "key" or "key=value".
func matchLabel(labels map[string]string, want string) bool {
	key, value, withValue := strings.Cut(want, "=")
	have, ok := labels[key]
	return ok && (!withValue || have == value)
}

func parseBool(key, value string) (bool, error) {
	switch strings.ToLower(value) {
	case "true", "1", "t":
		return true, nil
	case "false", "0", "f":
		return false, nil
	}
	return false, errdefs.New(errdefs.ErrInvalid, "invalid filter %s=%s (true or false)", key, value)
}

// settleAll waits for each container's lock and makes its record say what is so.
func (e *Engine) settleAll(ctx context.Context) error {
	ids, err := e.containers.IDs()
	for _, id := range ids {
		lockErr := e.containers.WithLock(ctx, id, func() error {
			e.settleLocked(id)
			return nil
		})
		if lockErr != nil && !errors.Is(lockErr, errdefs.ErrNotFound) {
			return lockErr
		}
	}
	return err
}
