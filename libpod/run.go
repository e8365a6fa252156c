package libpod

import (
	"context"
	"errors"

	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

// Run creates a container and starts it, and unless it is to be detached stays until its end. It returns the exit
// code of the container's process and the container's id. A container that could not be started stays as created
// unless it is to be removed at its end.
func (e *Engine) Run(ctx context.Context, opts RunOptions) (int, string, error) {
	opts.Config.Lifecycle.Detached = opts.Detach
	if err := e.settleRequires(ctx, &opts.CreateOptions); err != nil {
		return 0, "", err
	}
	if err := e.startRequired(ctx, opts.Config.Lifecycle.Requires); err != nil {
		return 0, "", err
	}
	ahead := namespaceAhead(&opts.Config.Network)
	c, lock, err := e.create(ctx, opts.CreateOptions, atomicfile.Ordered)
	if err != nil {
		ahead.Drop()
		return 0, "", err
	}
	faultpoint.Hit("run.created")
	c.ahead = ahead
	c.keep = opts.Keep
	var attach *AttachOptions
	if !opts.Detach {
		attach = &opts.Attach
	}
	code, err := e.startLocked(ctx, c, lock, StartOptions{Attach: attach})
	if err != nil && c.Lifecycle.AutoRemove && !errors.Is(err, ErrDetached) {
		rmErr := e.Remove(context.WithoutCancel(ctx), c.ID, RemoveOptions{Force: true, Volumes: true})
		if rmErr != nil && !errors.Is(rmErr, errdefs.ErrNotFound) {
			err = errors.Join(err, rmErr)
		}
	}
	return code, c.ID, err
}
