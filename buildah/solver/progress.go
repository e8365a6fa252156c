package solver

import (
	"context"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress"
	"github.com/opencontainers/go-digest"
)

// Progress is what has been told about one build, from its beginning. Everybody who follows it hears all.
type Progress struct {
	mu     sync.Mutex
	said   []*client.SolveStatus
	closed bool
	more   chan struct{} // closed, and made anew, when there is something to say
}

// NewProgress returns a Progress that says nothing yet.
func NewProgress() *Progress { return &Progress{more: make(chan struct{})} }

// Tell adds to what is said. What is told after Close is lost.
func (p *Progress) Tell(s *client.SolveStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.said = append(p.said, s)
	p.wake()
}

// Close ends what followers hear.
func (p *Progress) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		p.wake()
	}
}

func (p *Progress) wake() {
	close(p.more)
	p.more = make(chan struct{})
}

// Follow gives to hear everything from the beginning to Close, several things that were told in between at once.
func (p *Progress) Follow(ctx context.Context, hear func(*client.SolveStatus) error) error {
	for next := 0; ; {
		p.mu.Lock()
		news, closed, more := p.said[next:], p.closed, p.more
		p.mu.Unlock()
		if len(news) > 0 {
			next += len(news)
			if err := hear(joined(news)); err != nil {
				return err
			}
			continue
		}
		if closed {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func joined(list []*client.SolveStatus) *client.SolveStatus {
	all := &client.SolveStatus{}
	for _, s := range list {
		all.Vertexes = append(all.Vertexes, s.Vertexes...)
		all.Statuses = append(all.Statuses, s.Statuses...)
		all.Logs = append(all.Logs, s.Logs...)
		all.Warnings = append(all.Warnings, s.Warnings...)
	}
	return all
}

// Steps counts the vertices that were told of: all, those whose result was there already, those that are done.
func (p *Progress) Steps() (all, cached, done int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := map[digest.Digest]*client.Vertex{}
	for _, s := range p.said {
		for _, v := range s.Vertexes {
			last[v.Digest] = v
		}
	}
	for _, v := range last {
		if v.Cached {
			cached++
		}
		if v.Completed != nil {
			done++
		}
	}
	return len(last), cached, done
}

// step is what is told about one vertex.
type step struct {
	p  *Progress
	mu sync.Mutex
	v  client.Vertex
}

func newStep(p *Progress, v *Vertex) *step {
	s := &step{p: p, v: client.Vertex{Digest: v.Digest, Name: v.Name(), ProgressGroup: v.Metadata.GetProgressGroup()}}
	for _, in := range v.Inputs {
		s.v.Inputs = append(s.v.Inputs, in.Vertex.Digest)
	}
	s.tell()
	return s
}

func (s *step) tell() {
	copied := s.v
	s.p.Tell(&client.SolveStatus{Vertexes: []*client.Vertex{&copied}})
}

// begin says that work on the vertex has started; the function that it returns says that it is over.
func (s *step) begin() (end func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.v.Started, s.v.Completed, s.v.Cached, s.v.Error = &now, nil, false, ""
	s.tell()
	return s.end
}

func (s *step) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.v.Completed = &now
	if err != nil {
		s.v.Error = err.Error()
	}
	s.tell()
}

// cached says that the result was there. Said of a vertex that was worked on it changes nothing.
func (s *step) cached() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.v.Started != nil {
		return
	}
	now := time.Now()
	s.v.Started, s.v.Completed, s.v.Cached = &now, &now, true
	s.tell()
}

// context returns a context in which BuildKit's libraries find where to write their progress and logs.
func (s *step) context(ctx context.Context) context.Context {
	w := progress.NewMultiWriter()
	w.Add(&stepWriter{s.p, s.v.Digest})
	return progress.WithProgress(ctx, w)
}

// stepWriter turns what libraries write into news of one vertex.
type stepWriter struct {
	p  *Progress
	id digest.Digest
}

// Write is progress.Writer's.
func (w *stepWriter) Write(id string, v any) error {
	return w.WriteRawProgress(&progress.Progress{ID: id, Timestamp: time.Now(), Sys: v})
}

// Close has nothing to do.
func (w *stepWriter) Close() error { return nil }

// WriteRawProgress is called by progress.MultiWriter.
func (w *stepWriter) WriteRawProgress(p *progress.Progress) error {
	switch v := p.Sys.(type) {
	case progress.Status:
		w.p.Tell(&client.SolveStatus{Statuses: []*client.VertexStatus{{
			ID: p.ID, Vertex: w.id, Name: v.Action, Total: int64(v.Total), Current: int64(v.Current),
			Timestamp: p.Timestamp, Started: v.Started, Completed: v.Completed,
		}}})
	case client.VertexLog:
		v.Vertex, v.Timestamp = w.id, p.Timestamp
		w.p.Tell(&client.SolveStatus{Logs: []*client.VertexLog{&v}})
	case client.VertexWarning:
		v.Vertex = w.id
		w.p.Tell(&client.SolveStatus{Warnings: []*client.VertexWarning{&v}})
	}
	return nil
}
