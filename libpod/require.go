package libpod

import (
	"context"
	"fmt"
)

// settleRequires turns the names of --requires into ids.
func (e *Engine) settleRequires(ctx context.Context, opts *CreateOptions) error {
	names := opts.Config.Lifecycle.Requires
	if len(names) == 0 {
		return nil
	}
	ids, err := e.ResolveIDs(ctx, names...)
	if err != nil {
		return fmt.Errorf("--requires: %w", err)
	}
	opts.Config.Lifecycle.Requires = ids
	return nil
}

// startRequired starts the containers that another one needs, and those that they need. It holds no lock of another
// container meanwhile.
func (e *Engine) startRequired(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if _, err := e.Start(ctx, id, StartOptions{}); err != nil {
			return fmt.Errorf("start the required container %s: %w", e.displayNames([]string{id}), err)
		}
	}
	return nil
}
