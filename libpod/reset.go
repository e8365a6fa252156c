package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/recorddir"
)

// Reset ends and removes all containers, then takes everything else out of the store: volumes, images, secrets, caches.
// That goes to the trash first, so that a kill leaves nothing half there; the next reset goes on.
func (e *Engine) Reset(ctx context.Context) error {
	if err := e.removeAll(ctx); err != nil {
		return err
	}
	if err := e.unmountVolumes(); err != nil {
		return err
	}
	faultpoint.Hit("reset.containers")
	return e.images.WithImagesExclusive(ctx, func() error {
		if err := e.discardStore(); err != nil {
			return err
		}
		faultpoint.Hit("reset.moved")
		return errors.Join(recorddir.RemoveAll(e.dirs.GraphRun()), e.containers.EmptyTrash())
	})
}

// removeAll removes every container, also one that cannot be read or whose maker was killed.
func (e *Engine) removeAll(ctx context.Context) error {
	ids, err := e.containers.IDs()
	for _, id := range ids {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rmErr := e.remove(ctx, id, RemoveOptions{Force: true})
		if rmErr != nil && !errors.Is(rmErr, errdefs.ErrNotFound) {
			err = errors.Join(err, fmt.Errorf("remove container %s: %w", shortID(id), rmErr))
		}
	}
	return err
}

// discardStore moves the parts of the store to the trash.
func (e *Engine) discardStore() error {
	if err := os.MkdirAll(e.dirs.Trash(), 0o700); err != nil {
		return err
	}
	for _, name := range layout.StoreParts {
		to := filepath.Join(e.dirs.Trash(), "reset-"+newID()[:8]+"-"+name)
		err := os.Rename(filepath.Join(e.dirs.Data, name), to)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("reset: %w", err)
		}
		if err == nil {
			faultpoint.Hit("reset.part")
		}
	}
	return nil
}
