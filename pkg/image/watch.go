package image

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/containers/image/v5/copy"
	"github.com/containers/image/v5/types"
)

// Watch is told what a session does, by who wants more than lines of text. What is nil is reported as text on Out and Err.
type Watch struct {
	Blob    func(Blob)    // a layer on its way, one call at a time
	Pushed  func(Pushed)  // an image has arrived
	Removed func(Removed) // a name or an image is gone
}

// Blob is how far a layer has come.
type Blob struct {
	Digest string // sha256:...
	Step   Step
	Done   int64 // bytes
	Total  int64 // bytes; 0: not known
}

// Step is what becomes of a layer.
type Step int

// Steps, in their order. A layer that is there already has one only.
const (
	BlobFound Step = iota
	BlobMoving
	BlobArrived
	BlobPresent
)

// Pushed is an image at its destination.
type Pushed struct {
	Tag    string
	Digest string
	Size   int // bytes of the manifest
}

// Removed is a name that was taken away, or an image that was deleted.
type Removed struct {
	Untagged string // as users write it
	Deleted  string // sha256:...
}

// watchInterval is how often a moving layer is told of.
const watchInterval = 100 * time.Millisecond

// follow makes a transfer tell of its layers; the caller calls what it returns when the transfer is over.
func (w *Watch) follow(options *copy.Options) (end func()) {
	if w.Blob == nil {
		return func() {}
	}
	steps := make(chan types.ProgressProperties)
	options.Progress, options.ProgressInterval, options.ReportWriter = steps, watchInterval, nil
	var done sync.WaitGroup
	done.Go(func() {
		for p := range steps {
			if b, ok := blobOf(p); ok {
				w.Blob(b)
			}
		}
	})
	return func() {
		close(steps)
		done.Wait()
	}
}

// blobOf leaves out an image's configuration, which is no layer.
func blobOf(p types.ProgressProperties) (Blob, bool) {
	b := Blob{Digest: p.Artifact.Digest.String(), Done: int64(p.Offset), Total: max(p.Artifact.Size, 0)}
	switch p.Event {
	case types.ProgressEventNewArtifact:
		b.Step = BlobFound
	case types.ProgressEventRead:
		b.Step = BlobMoving
	case types.ProgressEventDone:
		b.Step = BlobArrived
	case types.ProgressEventSkipped:
		b.Step = BlobPresent
	default:
		return b, false
	}
	return b, !strings.HasSuffix(p.Artifact.MediaType, "+json")
}

// tellPushed reports an image that has arrived.
func (s *Session) tellPushed(p Pushed, quiet bool) {
	if s.cfg.Watch.Pushed != nil {
		s.cfg.Watch.Pushed(p)
		return
	}
	report(s.cfg.Out, quiet, "%s: digest: %s size: %d\n", p.Tag, p.Digest, p.Size)
}

// tellRemoved reports a name or an image that is gone.
func (s *Session) tellRemoved(r Removed) {
	switch {
	case s.cfg.Watch.Removed != nil:
		s.cfg.Watch.Removed(r)
	case r.Untagged != "":
		fmt.Fprintf(s.cfg.Out, "Untagged: %s\n", r.Untagged)
	default:
		fmt.Fprintf(s.cfg.Out, "Deleted: %s\n", r.Deleted)
	}
}
