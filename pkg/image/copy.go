package image

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/containers/common/pkg/retry"
	"github.com/containers/image/v5/copy"
	istorage "github.com/containers/image/v5/storage"
	"github.com/containers/image/v5/types"

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
	delay := t.retry.Delay
	if delay == 0 {
		delay = time.Second
	}
	for attempt := 0; ; attempt++ {
		manifest, err := copy.Image(ctx, policy, t.dst, t.src, &t.options)
		if err == nil || attempt >= t.retry.Max || !retry.IsErrorRetryable(err) {
			return manifest, err
		}
		fmt.Fprintf(s.cfg.Err, "Retrying in %s (%d of %d): %s\n", delay, attempt+1, t.retry.Max, firstLine(err))
		if err := sleep(ctx, delay); err != nil {
			return nil, err
		}
		delay *= 2
	}
}

// intoStore runs a transfer whose destination is the store and returns the id of the image that it made.
func (s *Session) intoStore(ctx context.Context, t transfer) (string, error) {
	var made types.ImageReference
	t.options.ReportResolvedReference = &made
	if _, err := s.run(ctx, t); err != nil {
		return "", err
	}
	faultpoint.Hit("image.copied")
	if made == nil {
		made = t.dst
	}
	_, img, err := istorage.ResolveReference(made)
	if err != nil {
		return "", err
	}
	return img.ID, nil
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
