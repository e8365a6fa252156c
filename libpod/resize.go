package libpod

import (
	"context"
	"path/filepath"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Resize changes the size of a running container's terminal. One without a terminal has no size to change.
func (e *Engine) Resize(_ context.Context, ref string, rows, columns uint16) error {
	id, err := e.resolve(ref)
	if err != nil {
		return err
	}
	c, err := e.lookSettled(id)
	if err != nil {
		return err
	}
	if !c.running() {
		return errdefs.New(errdefs.ErrState, "container %q is not running", c.name())
	}
	conn, err := monitor.Dial(filepath.Join(e.dirs.ContainerRun(id), record.AttachSock))
	if err != nil {
		return errdefs.New(errdefs.ErrState, "container %q has lost its monitor, which holds its terminal (restart the container)", c.name())
	}
	defer conn.Close()
	if err := monitor.Quiet(conn); err != nil {
		return err
	}
	return monitor.Resize(conn, rows, columns)
}

// Status is where a container is by the kernel's word: cheaper than Inspect. Of a paused one it says so.
func (e *Engine) Status(_ context.Context, ref string) (record.Status, error) {
	id, err := e.resolve(ref)
	if err != nil {
		return "", err
	}
	c, err := e.lookSettled(id)
	if err != nil {
		return "", err
	}
	status := c.status()
	if status == record.Running && c.frozen() {
		return record.Paused, nil
	}
	return status, nil
}
