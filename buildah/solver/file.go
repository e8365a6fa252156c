package solver

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/buildkit/solver/pb"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/buildah/file"
	"github.com/wherry-containers/wherry/buildah/layers"
	"github.com/wherry-containers/wherry/buildah/tree"
)

// fileOp copies, makes and removes files.
type fileOp struct{ op *pb.FileOp }

// Key makes inputs that are only copied from, or asked for a user's name, count by what is read of them.
func (f *fileOp) Key(_ context.Context, s Surroundings) (Key, error) {
	description, err := f.op.MarshalVT()
	if err != nil {
		return Key{}, err
	}
	keys := make([]InputKey, len(s.Vertex.Inputs))
	byKey := make([]bool, len(keys))
	read := func(input int64, sel content.Selector) {
		if input >= 0 && int(input) < len(keys) {
			keys[input].Selectors = append(keys[input].Selectors, sel)
		}
	}
	for _, a := range f.op.Actions {
		if a.Input >= 0 && int(a.Input) < len(keys) {
			byKey[a.Input] = true
		}
		user, group := file.Owners(a)
		read(int64(user), content.Selector{Path: "/etc/passwd", FollowLinks: true})
		read(int64(group), content.Selector{Path: "/etc/group", FollowLinks: true})
		if c := a.GetCopy(); c != nil {
			read(a.SecondaryInput, content.Selector{
				Path: c.Src, FollowLinks: c.FollowSymlink, Wildcard: c.AllowWildcard && content.HasWildcards(c.Src),
				IncludePatterns: c.IncludePatterns, ExcludePatterns: c.ExcludePatterns, RequiredPaths: c.RequiredPaths,
			})
		}
	}
	for i := range keys {
		if byKey[i] {
			keys[i].Selectors = nil
		}
	}
	return Key{Digest: opDigest("file", description), Inputs: keys}, nil
}

// Run carries the actions out one after the other.
func (f *fileOp) Run(ctx context.Context, s Surroundings, inputs []*tree.Tree) (outputs []*tree.Tree, err error) {
	err = s.InSlot(ctx, func() (err error) {
		r := &actions{op: f.op, s: s, places: newPlaces(s), results: make([]*tree.Tree, len(inputs)+len(f.op.Actions))}
		copy(r.results, inputs)
		r.inputs = len(inputs)
		defer func() { err = errors.Join(err, r.places.close()) }()
		outputs, err = r.run(ctx)
		return err
	})
	return outputs, err
}

// actions is one run of a fileOp. Where an action goes on with what the one before it made, and nobody else needs that,
// it works in the same draft, so that a whole COPY is one layer.
type actions struct {
	op      *pb.FileOp
	s       Surroundings
	places  *places
	inputs  int
	results []*tree.Tree // of the inputs and then of each action that was committed
	draft   *layers.Draft
	last    int // the action whose result is in the draft
}

func (r *actions) run(ctx context.Context) ([]*tree.Tree, error) {
	var outputs []*tree.Tree
	for i, a := range r.op.Actions {
		if err := r.begin(ctx, i, a); err != nil {
			return nil, err
		}
		if err := r.do(ctx, a); err != nil {
			return nil, err
		}
		if r.goesOn(i) {
			continue
		}
		if err := r.commit(ctx, i); err != nil {
			return nil, err
		}
		if a.Output < 0 {
			continue
		}
		for len(outputs) <= int(a.Output) {
			outputs = append(outputs, &tree.Tree{})
		}
		outputs[a.Output] = r.results[r.inputs+i]
	}
	return outputs, nil
}

// goesOn tells whether the next action is the only one that wants the result of action i.
func (r *actions) goesOn(i int) bool {
	self := int64(r.inputs + i)
	if r.op.Actions[i].Output >= 0 || i+1 >= len(r.op.Actions) || r.op.Actions[i+1].Input != self {
		return false
	}
	for j, a := range r.op.Actions[i+1:] {
		user, group := file.Owners(a)
		if j > 0 && a.Input == self || a.SecondaryInput == self || int64(user) == self || int64(group) == self {
			return false
		}
	}
	return true
}

// begin has a draft with the action's input.
func (r *actions) begin(ctx context.Context, i int, a *pb.FileAction) (err error) {
	if r.draft != nil && a.Input == int64(r.inputs+r.last) {
		r.last = i
		return nil
	}
	var base *tree.Tree
	if a.Input >= 0 {
		base = r.results[a.Input]
	}
	r.draft, err = r.places.draft(ctx, base)
	r.last = i
	return err
}

func (r *actions) commit(ctx context.Context, i int) error {
	stack, err := r.places.commit(ctx, r.draft, r.s.Vertex.Name())
	r.results[r.inputs+i] = &tree.Tree{Layers: stack}
	r.draft = nil
	return err
}

func (r *actions) do(ctx context.Context, a *pb.FileAction) error {
	users, err := r.users(ctx, a)
	if err != nil {
		return err
	}
	var from *content.View
	if a.GetCopy() != nil && a.SecondaryInput >= 0 {
		if from, err = r.places.contents(ctx, r.results[a.SecondaryInput]); err != nil {
			return err
		}
	}
	return r.s.Job.moved(ctx, file.Do(ctx, a, r.draft.Root(), from, users))
}

// users mounts the trees in which the names of an owner are looked up.
func (r *actions) users(ctx context.Context, a *pb.FileAction) (u file.Users, err error) {
	user, group := file.Owners(a)
	if u.User, err = r.root(ctx, a, user); err != nil {
		return u, err
	}
	u.Group, err = r.root(ctx, a, group)
	return u, err
}

// root is a tree in which names are looked up: the draft itself where that is meant, for it stands on the tree.
func (r *actions) root(ctx context.Context, a *pb.FileAction, input int) (string, error) {
	switch {
	case input < 0:
		return "", nil
	case int64(input) == a.Input:
		return r.draft.Root(), nil
	case input >= len(r.results):
		return "", fmt.Errorf("owner from input %d, which is not there", input)
	}
	return r.places.view(ctx, r.results[input])
}

// copyAll copies a whole tree into an empty directory.
func copyAll(ctx context.Context, v *content.View, dst string) error {
	return file.Do(ctx, &pb.FileAction{Action: &pb.FileAction_Copy{Copy: &pb.FileActionCopy{
		Src: "/", Dest: "/", DirCopyContents: true, CreateDestPath: true, Mode: -1, Timestamp: -1,
	}}}, dst, v, file.Users{})
}
