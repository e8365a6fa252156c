package solver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/moby/buildkit/util/progress/logs"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/buildah/source"
	"github.com/wherry-containers/wherry/buildah/tree"
)

// Job is one build: the vertices of all its definitions, each of them once.
type Job struct {
	Ref      string
	Session  session.Group // whom to ask for secrets, log-ins, local directories
	Progress *Progress
	Allowed  entitlements.Set
	Remote   []Remote // caches of others, the first one that knows something counts; set before anything is loaded

	worker *Worker
	ctx    context.Context //nolint:containedctx // the life of the build, in which vertices that several callers wait for run
	cancel context.CancelCauseFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	states map[digest.Digest]*state
	memo   source.Memo
	// unsteady: somebody changed a context while it was copied. The keys of what follows do not say what is in it, so
	// nothing more is recorded.
	unsteady atomic.Bool
	release  []func()
}

// NewJob begins a build. Close it.
func (w *Worker) NewJob(ctx context.Context, ref string, group session.Group, allowed entitlements.Set) *Job {
	j := &Job{Ref: ref, Session: group, Progress: NewProgress(), Allowed: allowed, worker: w, states: map[digest.Digest]*state{}}
	j.ctx, j.cancel = context.WithCancelCause(ctx)
	return j
}

// Close stops what is still at work and waits for its end.
func (j *Job) Close() {
	j.cancel(context.Canceled)
	j.work.Wait()
	j.Progress.Close()
	for _, release := range slices.Backward(j.release) {
		release()
	}
}

// Load adds a definition to the build.
func (j *Job) Load(def *pb.Definition) (Edge, error) {
	e, err := Load(def, j.permit)
	if err != nil {
		return Edge{}, err
	}
	j.add(e.Vertex)
	return e, nil
}

// permit refuses what the user has not allowed.
func (j *Job) permit(op *pb.Op) error {
	if e := op.GetExec(); e != nil {
		err := j.Allowed.Check(entitlements.Values{
			NetworkHost:      e.Network == pb.NetMode_HOST,
			SecurityInsecure: e.Security == pb.SecurityMode_INSECURE,
		})
		if err != nil {
			return fmt.Errorf("%w (grant it with --allow)", err)
		}
	}
	return nil
}

// add makes the states of a vertex and of what it stands on. A step that is known already stays as it is, but for
// what the later definition asks: no cache.
func (j *Job) add(v *Vertex) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.addLocked(v)
}

func (j *Job) addLocked(v *Vertex) {
	if s, ok := j.states[v.Digest]; ok {
		s.fresh = s.fresh || v.Metadata.GetIgnoreCache() && !s.begun
		return
	}
	for _, in := range v.Inputs {
		j.addLocked(in.Vertex)
	}
	j.states[v.Digest] = &state{job: j, v: v, step: newStep(j.Progress, v), fresh: v.Metadata.GetIgnoreCache(), op: j.worker.op(v), busy: make(chan struct{})}
}

func (j *Job) state(v *Vertex) *state {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.states[v.Digest]
	s.begun = true
	return s
}

// Result makes what an edge stands for. Several callers for one edge are served by the same work.
func (j *Job) Result(ctx context.Context, e Edge) (*tree.Tree, error) {
	outputs, err := j.state(e.Vertex).trees(ctx)
	if err != nil {
		return nil, err
	}
	if e.Index >= len(outputs) {
		return nil, vertexError(e.Vertex, errors.New("it has no such output"))
	}
	return outputs[e.Index], nil
}

// Step runs do as a step of the build that is in no definition: it is shown under name.
func (j *Job) Step(ctx context.Context, name string, do func(context.Context) error) error {
	s := &step{p: j.Progress, v: client.Vertex{Digest: digest.FromString(j.Ref + time.Now().String() + name), Name: name}}
	end := s.begin()
	err := do(s.context(ctx))
	end(err)
	return err
}

// moved takes an error that says that a context was changed while it was copied for a warning: the build goes on with what
// was found, as it would have if all had been sent first, but nobody else gets to see it.
func (j *Job) moved(ctx context.Context, err error) error {
	if !errors.Is(err, content.ErrChanged) {
		return err
	}
	j.unsteady.Store(true)
	stdout, stderr, flush := logs.NewLogStreams(ctx, false)
	defer flush()
	defer stdout.Close()
	defer stderr.Close()
	_, err = fmt.Fprintf(stderr, "warning: %v: the steps from here on are not cached\n", err)
	return err
}

// Warn tells a warning about a vertex.
func (j *Job) Warn(w client.VertexWarning) {
	j.Progress.Tell(&client.SolveStatus{Warnings: []*client.VertexWarning{&w}})
}
