package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containers/common/pkg/retry"
	"github.com/containers/image/v5/copy"
	"github.com/containers/image/v5/types"
	"github.com/containers/storage"

	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// transfer is one image on its way.
type transfer struct {
	src, dst types.ImageReference
	options  copy.Options
	retry    option.Retry
	quiet    bool
}

// run copies the image, layers in parallel, and tries again after faults of the network. Layers that arrived are
// kept over an attempt. It returns the manifest as written.
func (s *Session) run(ctx context.Context, t transfer) ([]byte, error) {
	policy, err := s.policyContext()
	if err != nil {
		return nil, err
	}
	if !t.quiet {
		t.options.ReportWriter = s.cfg.Err
	}
	defer s.cfg.Watch.follow(&t.options)()
	var manifest []byte
	err = s.retried(ctx, t.retry, func() error {
		return unlessRemoved(ctx, func() (err error) {
			manifest, err = copy.Image(ctx, policy, t.dst, t.src, &t.options)
			return err
		})
	})
	return manifest, err
}

// retried does something again after a fault of the network, as often as it is to be tried.
func (s *Session) retried(ctx context.Context, r option.Retry, do func() error) error {
	delay := r.Delay
	if delay == 0 {
		delay = time.Second
	}
	for attempt := 0; ; attempt++ {
		err := do()
		if err == nil || attempt >= r.Max || !retry.IsErrorRetryable(err) {
			return err
		}
		fmt.Fprintf(s.cfg.Err, "Retrying in %s (%d of %d): %s\n", delay, attempt+1, r.Max, firstLine(err))
		if err := sleep(ctx, delay); err != nil {
			return err
		}
		delay *= 2
	}
}

// maxRaces bounds how often one transfer loses its layers to somebody who removes them.
const maxRaces = 10

// unlessRemoved does something to an image, and does it again when a removal by another process took the image or
// its layers away meanwhile. Containers/storage holds no lock from the first layer to the name, and neither do we.
func unlessRemoved(ctx context.Context, do func() error) error {
	for race := 1; ; race++ {
		err := do()
		if !isRemoved(err) || race == maxRaces || ctx.Err() != nil {
			return err
		}
	}
}

// isRemoved knows the ways to say that something of the store is gone; one of them has no type.
func isRemoved(err error) bool {
	return errors.Is(err, storage.ErrLayerUnknown) || errors.Is(err, storage.ErrImageUnknown) || errors.Is(err, storage.ErrNotAnID) ||
		err != nil && strings.Contains(err.Error(), "layer for blob") && strings.Contains(err.Error(), "not found")
}

// intoStore runs a transfer whose destination is the store and returns the id of the image that it made.
func (s *Session) intoStore(ctx context.Context, t transfer) (string, error) {
	var made types.ImageReference
	t.options.ReportResolvedReference = &made
	if _, err := s.run(ctx, t); err != nil {
		return "", err
	}
	faultpoint.Hit("image.copied")
	return resolvedID(made)
}

// resolvedID is the id in a reference that a transfer resolved; the image itself may be gone again by now.
func resolvedID(ref types.ImageReference) (string, error) {
	if ref == nil {
		return "", errors.New("the store does not say what was stored")
	}
	text := ref.StringWithinTransport()
	return text[strings.LastIndex(text, "@")+1:], nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// report writes a line for the user unless quiet.
func report(w io.Writer, quiet bool, format string, args ...any) {
	if !quiet {
		fmt.Fprintf(w, format, args...)
	}
}
