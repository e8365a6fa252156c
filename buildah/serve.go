package buildah

import (
	"context"
	"net"

	"golang.org/x/sync/errgroup"
)

// Serve serves BuildKit's API on the listeners until the context ends, and lets no build go on after that.
func (b *Builder) Serve(ctx context.Context, listeners ...net.Listener) error {
	server := b.server.GRPC()
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		group.Go(func() error { return server.Serve(l) })
	}
	group.Go(func() error {
		<-ctx.Done()
		server.Stop()
		return nil
	})
	return group.Wait()
}
