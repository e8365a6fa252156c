package solver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	solvererr "github.com/moby/buildkit/solver/errdefs"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/wherry-containers/wherry/buildah/cache"
	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/buildcache"
)

// state is a vertex in a job.
//
// What a vertex' outputs are known by is found in two steps. Its definition key is made of the operation and the keys of
// its inputs; it costs nothing. Where an input counts by its content there is also a content key, for which the input has
// to be there. A result is recorded under both, so that a build in which nothing changed looks at nothing but records,
// and one in which an input was made again with the same content still finds what stands on it.
type state struct {
	job   *Job
	v     *Vertex
	op    Op
	step  *step
	fresh bool // do not use what is there
	begun bool // somebody has asked for it

	busy     chan struct{} // closed when something is made for it
	busyOnce sync.Once

	keyOnce  once[Key]
	lookOnce once[looked]
	treeOnce once[[]*tree.Tree]
}

// looked is what is known of a vertex before it is carried out.
type looked struct {
	key     digest.Digest   // by which its outputs count in what stands on it
	own     []digest.Digest // under which its result is recorded, the definite one first
	outputs []*tree.Tree    // what is there already; nil: it has to be made
	remote  *Found          // instead: what a remote cache has
}

// vertexError adds to an error which vertex it is about, for BuildKit's clients.
func vertexError(v *Vertex, err error) error {
	if err == nil {
		return nil
	}
	var known *solvererr.VertexError
	if errors.As(err, &known) {
		return err // of an input, and passed on
	}
	return solvererr.WrapVertex(solvererr.WithOp(err, v.Op, v.Metadata.GetDescription()), v.Digest)
}

func (s *state) surroundings() Surroundings {
	return Surroundings{Worker: s.job.worker, Job: s.job, Vertex: s.v}
}

// opKey is what the operation itself says.
func (s *state) opKey(ctx context.Context) (Key, error) {
	return s.keyOnce.get(ctx, s.job, func(ctx context.Context) (Key, error) {
		k, err := s.op.Key(s.step.context(ctx), s.surroundings())
		if err != nil {
			if ctx.Err() == nil {
				s.step.begin()(err)
			}
			return Key{}, vertexError(s.v, err)
		}
		if k.Inputs == nil {
			k.Inputs = make([]InputKey, len(s.v.Inputs))
		}
		return k, nil
	})
}

// look finds the vertex' key, and its result if there is one.
func (s *state) look(ctx context.Context) (looked, error) {
	return s.lookOnce.get(ctx, s.job, s.lookUp)
}

func (s *state) lookUp(ctx context.Context) (looked, error) {
	key, err := s.opKey(ctx)
	if err != nil {
		return looked{}, err
	}
	if isSource(s.v) {
		return looked{key: key.Digest}, nil
	}
	inputs, err := s.lookAtInputs(ctx)
	if err != nil {
		return looked{}, err
	}
	definition, complete := definitionKey(key, inputs, s.v)
	byContent := slices.ContainsFunc(key.Inputs, func(k InputKey) bool { return len(k.Selectors) > 0 })
	if !byContent && complete {
		return s.find(definition)
	}
	if complete && !s.fresh {
		found, err := s.find(definition)
		if err != nil || found.there() {
			return found, err
		}
	}
	s.startMissing(inputs)
	content, err := s.contentKey(ctx, key, inputs)
	if err != nil {
		return looked{}, err
	}
	found, err := s.find(content)
	if err != nil || !complete {
		return found, err
	}
	found.own = append(found.own, definition)
	if found.outputs != nil {
		err = s.job.worker.Cache.Put(definition, s.record(found))
	}
	return found, err
}

// countsAs is the field of a record with the key by which the outputs count in what stands on them.
const countsAs = "as"

func isSource(v *Vertex) bool { return v.Op.GetSource() != nil }

// find looks for a result under a key.
func (s *state) find(key digest.Digest) (looked, error) {
	none := looked{key: key, own: []digest.Digest{key}}
	if s.fresh {
		// What is made anew may differ from what was there: what stands on it must not be mistaken for what stood on that.
		none.key = digest.FromString(string(key) + rand.Text())
		return none, nil
	}
	rec, err := s.job.worker.Cache.Get(key)
	if err != nil {
		return looked{}, vertexError(s.v, err)
	}
	if rec == nil {
		return s.findRemote(none), nil
	}
	if as := rec.Extra[countsAs]; as != "" {
		none.key = digest.Digest(as)
	}
	none.outputs = make([]*tree.Tree, len(rec.Outputs))
	for i, layers := range rec.Outputs {
		none.outputs[i] = &tree.Tree{Layers: layers}
	}
	s.showCached()
	return none, nil
}

func (s *state) showCached() {
	s.step.cached()
	for _, in := range s.v.Inputs {
		if isSource(in.Vertex) {
			s.job.state(in.Vertex).step.cached() // nobody has to fetch it for this
		}
	}
}

func (s *state) record(l looked) cache.Record {
	rec := cache.Record{Kind: buildcache.KindRegular, Description: s.v.Name(), Created: time.Now()}
	rec.Extra = map[string]string{countsAs: string(l.key)}
	for _, t := range l.outputs {
		rec.Outputs = append(rec.Outputs, t.Layers)
	}
	return rec
}

// lookAtInputs looks at all inputs side by side. When one of them turns out to need work before its key is known, the
// others that are not there are begun too: this vertex will hardly be found without them, and its turn would come late.
func (s *state) lookAtInputs(ctx context.Context) ([]looked, error) {
	inputs := make([]looked, len(s.v.Inputs))
	group, ctx := errgroup.WithContext(ctx)
	all := make(chan struct{})
	defer close(all)
	for i, edge := range s.v.Inputs {
		in := s.job.state(edge.Vertex)
		s.job.work.Go(func() { in.watch(s, all) })
		group.Go(func() (err error) {
			if inputs[i], err = in.look(ctx); err == nil && !inputs[i].there() && !isSource(in.v) {
				s.job.work.Go(func() { in.startWith(s, all) })
			}
			return err
		})
	}
	return inputs, group.Wait()
}

// watch tells above when there is work for s, until end.
func (s *state) watch(above *state, end <-chan struct{}) {
	select {
	case <-s.busy:
		above.work()
	case <-end:
	}
}

// startWith begins to make s when there is work for above, unless end comes first.
func (s *state) startWith(above *state, end <-chan struct{}) {
	select {
	case <-above.busy:
		s.startTrees()
	case <-end:
	}
}

// work says that something is made for this vertex.
func (s *state) work() { s.busyOnce.Do(func() { close(s.busy) }) }

// startMissing begins to make the inputs that are not there: this vertex' content key asks for one of them, and most
// probably it will have to be made itself, for which it needs the others too.
func (s *state) startMissing(inputs []looked) {
	for i, in := range s.v.Inputs {
		if !inputs[i].there() && !isSource(in.Vertex) {
			s.work()
			s.job.state(in.Vertex).startTrees()
		}
	}
}

// definitionKey is the key that needs no input to be there. It is not complete where an input has no key of its own.
func definitionKey(key Key, inputs []looked, v *Vertex) (digest.Digest, bool) {
	var b strings.Builder
	b.WriteString("definition\n" + string(key.Digest) + "\n")
	for i, in := range inputs {
		if in.key == "" {
			return "", false
		}
		writeInput(&b, v.Inputs[i].Index, string(in.key))
		fmt.Fprintf(&b, "%+v\n", key.Inputs[i].Selectors)
	}
	return digest.FromString(b.String()), true
}

func writeInput(b *strings.Builder, index int, key string) {
	b.WriteString(key + " " + strconv.Itoa(index) + "\n")
}

// contentKey is the key in which some inputs count by their content.
func (s *state) contentKey(ctx context.Context, key Key, inputs []looked) (digest.Digest, error) {
	parts := make([]string, len(inputs))
	group, ctx := errgroup.WithContext(ctx)
	for i, in := range inputs {
		if len(key.Inputs[i].Selectors) == 0 && in.key != "" {
			parts[i] = string(in.key) + " " + strconv.Itoa(s.v.Inputs[i].Index)
			continue
		}
		group.Go(func() error {
			t, err := s.job.Result(ctx, s.v.Inputs[i])
			if err != nil {
				return err
			}
			d, err := s.digest(ctx, t, key.Inputs[i].Selectors)
			parts[i] = string(d)
			return vertexError(s.v, err)
		})
	}
	if err := group.Wait(); err != nil {
		return "", s.failed(err)
	}
	return digest.FromString("content\n" + string(key.Digest) + "\n" + strings.Join(parts, "\n")), nil
}

// failed shows an error of the vertex itself, which is found before it is carried out.
func (s *state) failed(err error) error {
	var of *solvererr.VertexError
	if s.job.ctx.Err() == nil && errors.As(err, &of) && of.Digest == s.v.Digest.String() {
		s.step.begin()(err)
	}
	return err
}

func (s *state) startTrees() { s.treeOnce.begin(s.job, s.make) }

// trees are the outputs.
func (s *state) trees(ctx context.Context) ([]*tree.Tree, error) {
	return s.treeOnce.get(ctx, s.job, s.make)
}

func (s *state) make(ctx context.Context) ([]*tree.Tree, error) {
	l, err := s.look(ctx)
	if err != nil || l.outputs != nil {
		return l.outputs, err
	}
	if l.remote != nil {
		if l.outputs, err = s.fetch(ctx, l); err != nil || l.outputs != nil {
			return l.outputs, err
		}
	}
	inputs, err := s.inputs(ctx)
	if err != nil {
		return nil, err
	}
	if isSource(s.v) {
		outputs, err := s.run(ctx, inputs)
		return outputs, vertexError(s.v, err)
	}
	outputs, err := s.makeLocked(ctx, l, inputs)
	return outputs, vertexError(s.v, err)
}

// makeLocked carries the vertex out unless another process, which held the lock of its key, just has.
func (s *state) makeLocked(ctx context.Context, l looked, inputs []*tree.Tree) ([]*tree.Tree, error) {
	memory := s.job.worker.Cache
	err := memory.Locked(ctx, l.own[0], func() error {
		found, err := s.find(l.own[0])
		if err != nil || found.outputs != nil {
			l.outputs = found.outputs
			return err
		}
		if l.outputs, err = s.run(ctx, inputs); err != nil || s.job.unsteady.Load() {
			return err
		}
		for _, key := range l.own {
			if err := memory.Put(key, s.record(l)); err != nil {
				return err
			}
		}
		return nil
	})
	return l.outputs, err
}

// run carries the operation out.
func (s *state) run(ctx context.Context, inputs []*tree.Tree) ([]*tree.Tree, error) {
	end := s.step.begin()
	ctx = s.step.context(ctx)
	outputs, err := s.op.Run(ctx, s.surroundings(), inputs)
	end(err)
	return outputs, err
}

// inputs makes all inputs side by side.
func (s *state) inputs(ctx context.Context) ([]*tree.Tree, error) {
	trees := make([]*tree.Tree, len(s.v.Inputs))
	group, ctx := errgroup.WithContext(ctx)
	for i, in := range s.v.Inputs {
		group.Go(func() (err error) {
			trees[i], err = s.job.Result(ctx, in)
			return err
		})
	}
	return trees, group.Wait()
}
