package libpod

import (
	"context"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/events"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

// Rename gives a container another name: the new one is claimed, then noted in the state, then the old one released.
// Until it is noted the container goes by the old name; a claim that a kill left is taken over by who wants it.
func (e *Engine) Rename(ctx context.Context, ref, name string) error {
	return e.withContainer(ctx, ref, func(c *container) error {
		old := c.name()
		if name == old {
			return errdefs.New(errdefs.ErrInvalid, "container %q has that name already", name)
		}
		if err := e.containers.Claim(name, c.ID, e.keepsName(name)); err != nil {
			return err
		}
		faultpoint.Hit("rename.claimed")
		c.state.Name = name
		if err := e.writeState(c); err != nil {
			e.containers.Release(name, c.ID)
			return err
		}
		faultpoint.Hit("rename.noted")
		e.note(c, "rename", events.OldName, old)
		return e.containers.Release(old, c.ID)
	})
}
