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
	if driver := firstOf(c.Log.Driver, "json-file"); driver != "json-file" {
		return errdefs.New(errdefs.ErrUnsupported, "container %q logs to %q, which keeps nothing to read (use --log-driver json-file)", c.name(), driver)
	}
	q := logdriver.Query{Since: opts.Since, Until: opts.Until, Tail: opts.Tail, Follow: opts.Follow && c.status() != record.Created,
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
	err = logdriver.Read(ctx, filepath.Join(e.dirs.Container(id), record.LogFile), q, ended, logdriver.Sink{Stdout: opts.Stdout, Stderr: opts.Stderr})
	if err != nil {
		return fmt.Errorf("logs of container %q: %w", c.name(), err)
	}
	return nil
}
