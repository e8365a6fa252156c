package solver

import (
	"context"
	"slices"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/buildah/source"
	"github.com/wherry-containers/wherry/buildah/tree"
)

// sourceOp brings something from outside.
type sourceOp struct {
	op       *pb.SourceOp
	platform *pb.Platform
}

// Key is what the source stands for now. An empty digest says that only its content counts.
func (o *sourceOp) Key(ctx context.Context, s Surroundings) (Key, error) {
	src, err := source.Identify(o.op, o.platform)
	if err != nil {
		return Key{}, err
	}
	key, pin, err := src.Key(ctx, s.Job.sources())
	return Key{Digest: key, Pin: pin}, err
}

// Run fetches it.
func (o *sourceOp) Run(ctx context.Context, s Surroundings, _ []*tree.Tree) ([]*tree.Tree, error) {
	src, err := source.Identify(o.op, o.platform)
	if err != nil {
		return nil, err
	}
	t, err := src.Fetch(ctx, s.Job.sources())
	if err != nil {
		return nil, err
	}
	return []*tree.Tree{t}, nil
}

// sources is what sources need from this build.
func (j *Job) sources() *source.Env {
	w := j.worker
	return &source.Env{
		Dirs: w.Dirs, Session: j.Session, Sessions: w.Sessions, Local: w.Local, Image: w.Image, Getenv: w.Getenv, Hold: j.atEnd, Memo: &j.memo,
		NeverPull: w.NeverPull, Access: w.Access, Retry: w.Retry,
		OwnLogins: w.Own != nil && slices.ContainsFunc(session.AllSessionIDs(j.Session), w.Own),
	}
}

// atEnd has release called when the build is over.
func (j *Job) atEnd(release func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.release = append(j.release, release)
}

// Metadata finds what a source stands for.
func (j *Job) Metadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	return source.Metadata(ctx, op, opt, j.sources())
}

// Walk shows every vertex that an edge stands on, once, with what a source's name stood for.
func (j *Job) Walk(ctx context.Context, e Edge, show func(v *Vertex, pin string)) error {
	seen := map[*Vertex]bool{}
	var walk func(v *Vertex) error
	walk = func(v *Vertex) error {
		if seen[v] {
			return nil
		}
		seen[v] = true
		for _, in := range v.Inputs {
			if err := walk(in.Vertex); err != nil {
				return err
			}
		}
		key, err := j.state(v).opKey(ctx)
		show(v, key.Pin)
		return err
	}
	return walk(e.Vertex)
}

// View lets look into what an edge stands for.
func (j *Job) View(ctx context.Context, e Edge, look func(*content.View) error) error {
	t, err := j.Result(ctx, e)
	if err != nil {
		return err
	}
	p := newPlaces(Surroundings{Worker: j.worker, Job: j, Vertex: e.Vertex})
	v, err := p.contents(ctx, t)
	if err == nil {
		err = look(v)
	}
	if fault := p.close(); err == nil {
		err = fault
	}
	return err
}
