package libpod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/pkg/archive"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/store"
)

// SnapshotOptions say what a snapshot of a container holds.
type SnapshotOptions struct {
	Running bool // let its processes go on meanwhile
	Squash  bool // all files, not only those that differ from the image's
	Volumes bool // the image declares the container's volumes as its own
}

// Snapshot is a container while an image is made of it.
type Snapshot struct {
	Image *store.Image // what it stands on
	e     *Engine
	v     *fileView
	opts  SnapshotOptions

	changes []archive.Change
}

// Snapshot calls do while the container does not change: it is paused unless opts say otherwise, and goes on when do
// returns, or when this process dies.
func (e *Engine) Snapshot(ctx context.Context, ref string, opts SnapshotOptions, do func(*Snapshot) error) error {
	return e.withFiles(ctx, ref, bareRoot, func(v *fileView) error {
		s := &Snapshot{e: e, v: v, opts: opts}
		var err error
		if s.Image, err = e.images.Lookup(ctx, v.c.Image.ID); err != nil {
			return fmt.Errorf("image of container %q: %w", v.c.name(), err)
		}
		take := func() error {
			if !opts.Squash {
				if s.changes, err = e.changesOf(ctx, v.c, true); err != nil {
					return err
				}
			}
			faultpoint.Hit("commit.compared")
			if err := do(s); err != nil {
				return err
			}
			e.note(v.c, "commit")
			return nil
		}
		if opts.Running {
			return take()
		}
		return e.whileFrozen(v.c, take)
	})
}

// Empty tells whether nothing changed.
func (s *Snapshot) Empty() bool { return !s.opts.Squash && len(s.changes) == 0 }

// WriteLayer writes the tar stream of the image's new layer. What is mounted in the container is not in it.
func (s *Snapshot) WriteLayer(ctx context.Context, out io.Writer) error {
	p := archive.NewPacker(out, s.v.packing())
	var err error
	if s.opts.Squash {
		err = p.Tree(ctx, s.v.root, "")
	} else {
		err = p.Changes(ctx, s.v.root, s.changes)
	}
	if err == nil {
		err = s.e.stillThere(s.v.c)
	}
	if err == nil {
		err = p.Close()
	}
	if err != nil && !errors.As(err, new(*errdefs.Kinded)) {
		return fmt.Errorf("read the files of container %q: %w", s.v.c.name(), err)
	}
	return err
}

// Config is the image's configuration as the container has it.
func (s *Snapshot) Config() store.Config {
	c, config := s.v.c, s.Image.Config
	p := &config.Config
	p.User, p.WorkingDir, p.StopSignal = c.Process.User, c.Process.WorkDir, c.Lifecycle.StopSignal
	p.Env, p.Entrypoint, p.Cmd = slices.Clone(c.Process.Env), c.Process.Entrypoint, c.Process.Command
	p.Labels, p.Volumes, p.ExposedPorts = maps.Clone(c.Labels), maps.Clone(p.Volumes), maps.Clone(p.ExposedPorts)
	p.OnBuild = slices.Clone(p.OnBuild)
	p.Healthcheck = nil
	if h := c.Health; h != nil {
		p.Healthcheck = &store.Healthcheck{Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod,
			StartInterval: h.StartInterval, Retries: h.Retries}
	}
	if s.opts.Volumes {
		for _, m := range c.Mounts {
			if m.Type != "volume" && m.Type != "bind" {
				continue
			}
			if p.Volumes == nil {
				p.Volumes = map[string]struct{}{}
			}
			p.Volumes[path.Clean(m.Target)] = struct{}{}
		}
	}
	config.History = slices.Clone(config.History)
	config.RootFS.DiffIDs = slices.Clone(config.RootFS.DiffIDs)
	return config
}

// Command is the container's command line, for the image's history.
func (s *Snapshot) Command() string { return strings.Join(s.v.c.Process.Args(), " ") }
