package libpod

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/logdriver"
)

// Logs writes a container's log. With Follow it goes on until the container has ended and all is written.
func (e *Engine) Logs(ctx context.Context, ref string, opts LogsOptions) error {
	id, err := e.resolve(ref)
	if err != nil {
		return err
	}
	c, err := e.lookSettled(id)
	if err != nil {
		return err
	}
	status := c.status()
	q := logdriver.Query{Since: opts.Since, Until: opts.Until, Tail: opts.Tail, Follow: opts.Follow && status != record.Created && status != record.Exited,
		Details: opts.Details, Timestamps: opts.Timestamps}
	ended := make(chan struct{})
	if q.Follow {
		go func() {
			defer close(ended)
			awaitEnd(ctx, c)
		}()
	} else {
		close(ended)
	}
	sink := logdriver.Sink{Stdout: opts.Stdout, Stderr: opts.Stderr}
	path := e.logPath(c)
	switch {
	case path != "":
		err = logdriver.Read(ctx, path, q, ended, sink)
	case c.Log.Driver == logdriver.Journald:
		err = e.journalLog(ctx, c, q, ended, sink)
	default:
		return errdefs.New(errdefs.ErrUnsupported, "container %q logs to %q, which keeps nothing to read (use --log-driver json-file)", c.name(), c.Log.Driver)
	}
	if err != nil {
		return fmt.Errorf("logs of container %q: %w", c.name(), err)
	}
	return nil
}

// logPath is the file that the container's output goes to; empty where its driver keeps none.
func (e *Engine) logPath(c *container) string {
	switch c.Log.Driver {
	case "", logdriver.JSONFile, logdriver.K8sFile, logdriver.Local:
		return firstOf(c.Log.Opts["path"], filepath.Join(e.dirs.Container(c.ID), record.LogFile))
	}
	return ""
}
