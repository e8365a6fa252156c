package source

import (
	"context"
	"sync"
	"time"

	"github.com/moby/buildkit/util/progress"

	"github.com/wherry-containers/wherry/pkg/image"
)

// showStep shows that something has begun, under a name; what it returns shows the end.
func showStep(ctx context.Context, name string) (end func(error)) {
	w, _, _ := progress.NewFromContext(ctx)
	began := time.Now()
	st := progress.Status{Started: &began}
	_ = w.Write(name, st)
	return func(err error) {
		now := time.Now()
		st.Completed = &now
		if err != nil {
			st.Action = "error"
		}
		_ = w.Write(name, st)
		w.Close()
	}
}

// layerProgress shows the layers of a pull, as BuildKit does.
type layerProgress struct {
	w     progress.Writer
	mu    sync.Mutex
	begun map[string]progress.Status
}

func showLayers(ctx context.Context) *layerProgress {
	w, _, _ := progress.NewFromContext(ctx)
	return &layerProgress{w: w, begun: map[string]progress.Status{}}
}

func (l *layerProgress) end() { l.w.Close() }

func (l *layerProgress) blob(b image.Blob) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	st, ok := l.begun[b.Digest]
	if !ok {
		st = progress.Status{Action: "downloading", Started: &now}
	}
	st.Current, st.Total = int(b.Done), int(b.Total)
	switch b.Step {
	case image.BlobArrived, image.BlobPresent:
		st.Action, st.Completed, st.Current = "done", &now, st.Total
	}
	l.begun[b.Digest] = st
	_ = l.w.Write(b.Digest, st)
}

// byteCount shows how much has come.
type byteCount struct {
	w    progress.Writer
	id   string
	st   progress.Status
	told time.Time
}

func showBytes(ctx context.Context, id string, total int64) *byteCount {
	w, _, _ := progress.NewFromContext(ctx)
	now := time.Now()
	return &byteCount{w: w, id: id, st: progress.Status{Action: "downloading", Total: int(max(total, 0)), Started: &now}}
}

func (b *byteCount) Write(p []byte) (int, error) {
	b.st.Current += len(p)
	if now := time.Now(); now.Sub(b.told) > 100*time.Millisecond {
		b.told = now
		_ = b.w.Write(b.id, b.st)
	}
	return len(p), nil
}
