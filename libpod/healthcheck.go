package libpod

import (
	"context"
	"path/filepath"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// HealthCheck checks a container's health now and tells whether it was found well. The result counts like any other
// check's.
func (e *Engine) HealthCheck(ctx context.Context, ref string) (healthy bool, err error) {
	id, err := e.resolve(ref)
	if err != nil {
		return false, err
	}
	c, err := e.lookSettled(id)
	if err != nil {
		return false, err
	}
	switch {
	case c.Health == nil:
		return false, errdefs.New(errdefs.ErrInvalid, "container %q has no health check (--health-cmd gives it one)", c.name())
	case !c.running():
		return false, errdefs.New(errdefs.ErrState, "container %q is not running (wherry start %s starts it)", c.name(), c.name())
	case c.frozen():
		return false, errdefs.New(errdefs.ErrState, "container %q is paused (wherry unpause %s lets it go on)", c.name(), c.name())
	}
	code, _, err := monitor.Probe(ctx, filepath.Join(e.dirs.ContainerRun(id), record.AttachSock))
	if err != nil && ctx.Err() == nil {
		return false, errdefs.New(errdefs.ErrState, "container %q has lost its monitor, which checks its health (restart the container)", c.name())
	}
	return code == 0, err
}
