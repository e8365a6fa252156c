package libpod

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/wherry-containers/wherry/pkg/archive"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Export writes the container's root file system as a tar stream, without what is mounted in it: no volumes, no /proc.
func (e *Engine) Export(ctx context.Context, ref string, out io.Writer) error {
	return e.withFiles(ctx, ref, bareRoot, func(v *fileView) error {
		p := archive.NewPacker(out, v.packing())
		err := p.Tree(ctx, v.root, "")
		if err == nil {
			err = e.stillThere(v.c)
		}
		if err == nil {
			err = p.Close()
		}
		if err == nil {
			e.note(v.c, "export")
		}
		if err != nil && !errors.As(err, new(*errdefs.Kinded)) {
			err = fmt.Errorf("export container %q: %w", v.c.name(), err)
		}
		return err
	})
}

// packing are the options for tar streams of the container: its ids, and the attributes that programs need.
func (v *fileView) packing() archive.Options {
	return archive.Options{
		Owner:     func(uid, gid int) (int, int) { return int(inner(v.uids, uint32(uid))), int(inner(v.gids, uint32(gid))) },
		Attribute: keepAttribute,
	}
}

// stillThere is asked when all was read: what was read of a container that was removed meanwhile is not whole.
func (e *Engine) stillThere(c *container) error {
	if !e.containers.Complete(c.ID) {
		return errdefs.New(errdefs.ErrNotFound, "container %q was removed meanwhile", c.name())
	}
	return nil
}
