package solver

import (
	"context"
	"errors"
	"slices"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// Remote is a cache of results that is kept elsewhere.
type Remote interface {
	// Find tells what is known under a key; nil: nothing.
	Find(key digest.Digest) *Found
}

// Found is the result of a vertex in a remote cache. Its layers are not here yet.
type Found struct {
	As    digest.Digest                               // key by which it counts in what stands on it
	Here  func() bool                                 // whether there is nothing left to bring
	Fetch func(ctx context.Context) ([]string, error) // brings the layers here
}

// there tells whether nothing has to be made.
func (l looked) there() bool { return l.outputs != nil || l.remote != nil }

// findRemote asks the remote caches for what is not known here.
func (s *state) findRemote(l looked) looked {
	for _, r := range s.job.Remote {
		if found := r.Find(l.key); found != nil {
			l.key, l.remote = found.As, found
			s.showCached()
			break
		}
	}
	return l
}

// fetch brings a remote result here, and makes it known. Nil: it could not be had, and has to be made. The keys of what
// stands on it say by now that it was that result, so from then on nothing is recorded.
func (s *state) fetch(ctx context.Context, l looked) ([]*tree.Tree, error) {
	layers, err := l.remote.Fetch(s.step.context(ctx))
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		s.job.unsteady.Store(true)
		s.job.Warn(client.VertexWarning{Vertex: s.v.Digest, Level: 1,
			Short: []byte("the cached result cannot be had, and is made anew: " + err.Error())})
		return nil, nil
	}
	l.outputs = []*tree.Tree{{Layers: layers}}
	for _, key := range l.own {
		if err := s.job.worker.Cache.Put(key, s.record(l)); err != nil {
			return nil, vertexError(s.v, err)
		}
	}
	return l.outputs, s.fetchBelow(ctx)
}

// fetchBelow makes also those results below known whose layers have come with this one: without their keys a later build,
// which has not got the cache, would not find this one.
func (s *state) fetchBelow(ctx context.Context) error {
	for _, in := range s.v.Inputs {
		below := s.job.state(in.Vertex)
		if l := below.lookOnce.peek(); l.remote == nil || !l.remote.Here() {
			continue
		}
		if _, err := below.trees(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Known is what a finished vertex is known by.
type Known struct {
	Keys   []digest.Digest
	As     digest.Digest // key by which it counts in what stands on it
	Layers []string
}

// Known lists what is known of the vertices below edges, the lowest first: those whose layers are there. With all, results
// that a remote cache has are fetched too.
func (j *Job) Known(ctx context.Context, edges []Edge, all bool) ([]Known, error) {
	if j.unsteady.Load() {
		return nil, errors.New("a context was changed while it was read, or a cached result could not be had: build again")
	}
	var list []Known
	seen := map[*state]bool{}
	var walk func(v *Vertex) error
	walk = func(v *Vertex) error {
		s := j.state(v)
		if seen[s] || isSource(v) {
			return nil
		}
		seen[s] = true
		for _, in := range v.Inputs {
			if err := walk(in.Vertex); err != nil {
				return err
			}
		}
		l, err := s.look(ctx)
		if err != nil {
			return err
		}
		if outputs := s.treeOnce.peek(); outputs != nil {
			l.outputs = outputs
		} else if all && l.remote != nil {
			if l.outputs, err = s.trees(ctx); err != nil {
				return err
			}
		}
		if len(l.outputs) != 1 || l.outputs[0].Dir != "" {
			return nil // several outputs: such steps are not shared
		}
		keys := slices.Clone(l.own)
		if !slices.Contains(keys, l.key) {
			keys = append(keys, l.key)
		}
		list = append(list, Known{Keys: keys, As: l.key, Layers: l.outputs[0].Layers})
		return nil
	}
	for _, e := range edges {
		if err := walk(e.Vertex); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Rights are how whoever asked for the build is known to the registry of an image's name.
func (j *Job) Rights(ctx context.Context, name string) (access.Options, error) {
	return j.sources().Rights(ctx, name)
}
