package libpod

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// settleMounts completes the mounts of a container that is to be made: those of other containers come along, sources are
// looked for, images and secrets are resolved. Images cannot be removed meanwhile.
func (e *Engine) settleMounts(ctx context.Context, cfg *record.Config, opts CreateOptions) error {
	for _, from := range opts.VolumesFrom {
		if err := e.volumesFrom(cfg, from); err != nil {
			return err
		}
	}
	for i := range cfg.Mounts {
		m := &cfg.Mounts[i]
		switch m.Type {
		case "bind":
			if _, err := os.Stat(m.Source); err != nil && (!m.MakeSource || !errors.Is(err, fs.ErrNotExist)) {
				return sourceError(*m, err)
			}
		case "image":
			img, err := e.images.Lookup(ctx, m.Source)
			if errors.Is(err, errdefs.ErrNotFound) {
				return errdefs.New(errdefs.ErrNotFound, "image %q of the mount at %q is not here (wherry pull %s fetches it)", m.Source, m.Target, m.Source)
			} else if err != nil {
				return err
			}
			m.Image = &record.Image{ID: img.ID, Name: m.Source, Ref: img.Ref, Layers: img.Layers}
		}
	}
	return e.checkSecrets(cfg)
}

// volumesFrom adds the bind mounts and volumes of another container, but for those at a target that is taken. Volumes
// that were made for that container stay its own: they are not removed with this one.
func (e *Engine) volumesFrom(cfg *record.Config, from string) error {
	ref, options, _ := strings.Cut(from, ":")
	id, err := e.resolve(ref)
	if err != nil {
		return err
	}
	other, err := e.load(id)
	if err != nil {
		return err
	}
	words := strings.Split(options, ",")
	for _, m := range other.Mounts {
		if m.Type != "bind" && m.Type != "volume" {
			continue
		}
		if slices.ContainsFunc(cfg.Mounts, func(o record.Mount) bool { return o.Target == m.Target }) {
			continue
		}
		m.ReadOnly = m.ReadOnly || slices.Contains(words, "ro")
		m.Anonymous = false
		for _, label := range []string{"z", "Z"} {
			if slices.Contains(words, label) {
				m.Relabel = label
			}
		}
		cfg.Mounts = append(cfg.Mounts, m)
	}
	return nil
}
