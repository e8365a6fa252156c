package solver

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/buildah/tree"
)

// mergeOp lays trees one over the other.
type mergeOp struct{ op *pb.MergeOp }

// Key is the order of the inputs.
func (m *mergeOp) Key(context.Context, Surroundings) (Key, error) {
	description, err := m.op.MarshalVT()
	return Key{Digest: opDigest("merge", description)}, err
}

// Run only makes a stack: no file is touched.
func (m *mergeOp) Run(ctx context.Context, s Surroundings, inputs []*tree.Tree) (_ []*tree.Tree, err error) {
	p := newPlaces(s)
	defer func() { err = errors.Join(err, p.close()) }()
	merged := &tree.Tree{}
	for _, in := range m.op.Inputs {
		if in.Input < 0 {
			continue
		}
		t, err := p.layered(ctx, inputs[in.Input])
		if err != nil {
			return nil, err
		}
		merged = merged.On(t.Layers...)
	}
	return []*tree.Tree{merged}, nil
}

// diffOp is what one tree has over another.
type diffOp struct{ op *pb.DiffOp }

// Key is which input is which.
func (d *diffOp) Key(context.Context, Surroundings) (Key, error) {
	description, err := d.op.MarshalVT()
	return Key{Digest: opDigest("diff", description)}, err
}

// Run compares the trees, or finds that one stands on the other.
func (d *diffOp) Run(ctx context.Context, s Surroundings, inputs []*tree.Tree) (_ []*tree.Tree, err error) {
	p := newPlaces(s)
	defer func() { err = errors.Join(err, p.close()) }()
	sides := make([]*tree.Tree, 2)
	for i, input := range []int64{d.op.Lower.Input, d.op.Upper.Input} {
		var t *tree.Tree
		if input >= 0 {
			t = inputs[input]
		}
		if sides[i], err = p.layered(ctx, t); err != nil {
			return nil, err
		}
	}
	stack, err := s.Layers.Diff(ctx, sides[0].Layers, sides[1].Layers)
	return []*tree.Tree{{Layers: stack}}, err
}

// passOp is its first input; the others only have to be made.
type passOp struct{}

// Key has nothing to add to the inputs.
func (passOp) Key(context.Context, Surroundings) (Key, error) {
	return Key{Digest: opDigest("pass", nil)}, nil
}

// Run returns the input as layers, for that is what is recorded.
func (passOp) Run(ctx context.Context, s Surroundings, inputs []*tree.Tree) (_ []*tree.Tree, err error) {
	p := newPlaces(s)
	defer func() { err = errors.Join(err, p.close()) }()
	t, err := p.layered(ctx, inputs[0])
	return []*tree.Tree{t}, err
}

// digest is of what selectors choose in a tree. That of layers is remembered, so that they are mounted once for it.
func (s *state) digest(ctx context.Context, t *tree.Tree, selectors []content.Selector) (_ digest.Digest, err error) {
	memory, name := s.job.worker.Cache, fmt.Sprintf("%+v", selectors)
	if t.Dir == "" {
		if d, ok := memory.Content(t.Layers, name); ok {
			return d, nil
		}
	}
	p := newPlaces(s.surroundings())
	defer func() { err = errors.Join(err, p.close()) }()
	v, err := p.contents(ctx, t)
	if err != nil {
		return "", err
	}
	d, err := v.Digest(ctx, selectors...)
	if err == nil && t.Dir == "" {
		memory.PutContent(t.Layers, name, d)
	}
	return d, err
}
