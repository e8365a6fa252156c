package solver

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/progress"
)

// Everybody hears everything, in order, whenever he begins to listen.
func TestProgressFollowers(t *testing.T) {
	p := NewProgress()
	const n = 500
	var all sync.WaitGroup
	hear := func() {
		heard := 0
		err := p.Follow(context.Background(), func(s *client.SolveStatus) error {
			for _, l := range s.Logs {
				if l.Stream != heard {
					t.Errorf("heard %d after %d", l.Stream, heard)
				}
				heard++
			}
			return nil
		})
		if err != nil || heard != n {
			t.Errorf("heard %d of %d: %v", heard, n, err)
		}
	}
	all.Go(hear)
	for i := range n {
		p.Tell(&client.SolveStatus{Logs: []*client.VertexLog{{Stream: i}}})
		if i == n/2 {
			all.Go(hear)
		}
	}
	p.Close()
	p.Tell(&client.SolveStatus{Logs: []*client.VertexLog{{}}})
	all.Go(hear)
	all.Wait()
}

func TestProgressFollowerLeaves(t *testing.T) {
	p := NewProgress()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Follow(ctx, func(*client.SolveStatus) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestSteps(t *testing.T) {
	p := NewProgress()
	v := func(id string) *Vertex {
		return &Vertex{Op: &pb.Op{}, Metadata: &pb.OpMetadata{Description: map[string]string{"llb.customname": id}}}
	}
	first, second := v("first"), v("second")
	first.Digest, second.Digest = "a", "b"
	one, two := newStep(p, first), newStep(p, second)
	end := one.begin()
	ctx := one.context(context.Background())
	w, _, _ := progress.NewFromContext(ctx)
	w.Write("id", progress.Status{Action: "pulling", Current: 1, Total: 2})
	end(nil)
	one.cached() // it was worked on: nothing changes
	two.cached()
	if all, cached, done := p.Steps(); all != 2 || cached != 1 || done != 2 {
		t.Errorf("%d steps, %d cached, %d done", all, cached, done)
	}
	p.Close()
	seen := false
	p.Follow(context.Background(), func(s *client.SolveStatus) error {
		for _, st := range s.Statuses {
			seen = seen || st.Vertex == "a" && st.Name == "pulling" && st.Total == 2
		}
		return nil
	})
	if !seen {
		t.Error("what a library says is not told of its vertex")
	}
}
