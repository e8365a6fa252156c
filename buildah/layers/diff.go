package layers

import (
	"context"
	"fmt"
	"slices"
)

// Diff returns the layers that make the tree of the stack upper of the one of lower. Where upper stands on lower those
// are its own ones; else one layer is made of what differs. What lower has more is gone in it.
func (s *Store) Diff(ctx context.Context, lower, upper []string) ([]string, error) {
	if len(lower) <= len(upper) && slices.Equal(lower, upper[:len(lower)]) {
		own := upper[len(lower):]
		return slices.Clone(own), s.Hold(ctx, own)
	}
	id, err := s.Squash(ctx, lower, upper)
	if err != nil {
		return nil, err
	}
	return []string{id}, nil
}

// Squash makes one layer of what differs between two trees, whether one stands on the other or not.
func (s *Store) Squash(ctx context.Context, lower, upper []string) (string, error) {
	below, err := s.Mount(ctx, lower)
	if err != nil {
		return "", err
	}
	defer below.Close()
	above, err := s.Mount(ctx, upper)
	if err != nil {
		return "", err
	}
	defer above.Close()
	id, err := s.put(ctx, &packer{full: true}, above.Root(), below.Root(), "")
	if err != nil {
		return "", fmt.Errorf("what differs between two trees: %w", err)
	}
	return id, nil
}
