package solver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/session/sshforward"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"

	"github.com/wherry-containers/wherry/buildah/cache"
	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/buildah/layers"
	"github.com/wherry-containers/wherry/buildah/run"
	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// places are where the trees of one operation are mounted. close gives all of them up.
type places struct {
	s       Surroundings
	outputs map[int]*layers.Draft // of execOp: by mount
	undo    []func() error
}

func newPlaces(s Surroundings) *places { return &places{s: s, outputs: map[int]*layers.Draft{}} }

func (p *places) close() error {
	var faults []error
	for _, undo := range slices.Backward(p.undo) {
		faults = append(faults, undo())
	}
	p.undo = nil
	return errors.Join(faults...)
}

// draft mounts a tree for writing.
func (p *places) draft(ctx context.Context, t *tree.Tree) (*layers.Draft, error) {
	t, err := p.layered(ctx, t)
	if err != nil {
		return nil, err
	}
	d, err := p.s.Layers.Begin(ctx, t.Layers)
	if err != nil {
		return nil, err
	}
	p.undo = append(p.undo, func() error { d.Discard(); return nil }) // after a commit there is nothing left of it
	return d, nil
}

// commit makes a draft a tree.
func (p *places) commit(ctx context.Context, d *layers.Draft, by string) ([]string, error) {
	return d.Commit(ctx, layers.Info{CreatedBy: by})
}

// view mounts a tree for reading.
func (p *places) view(ctx context.Context, t *tree.Tree) (string, error) {
	t, err := p.layered(ctx, t)
	if err != nil {
		return "", err
	}
	m, err := p.s.Layers.Mount(ctx, t.Layers)
	if err != nil {
		return "", err
	}
	p.undo = append(p.undo, m.Close)
	return m.Root(), nil
}

// contents looks at a tree's files.
func (p *places) contents(ctx context.Context, t *tree.Tree) (*content.View, error) {
	if t != nil && t.View != nil {
		return t.View, nil
	}
	var dir string
	var o content.Options
	if t != nil && t.Dir != "" {
		dir, o.RootOwned = t.Dir, t.RootOwned
	} else {
		var err error
		if dir, err = p.view(ctx, t); err != nil {
			return nil, err
		}
	}
	v, err := content.Open(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	p.undo = append(p.undo, v.Close)
	return v, nil
}

// layered is a tree as layers: a directory's files are copied into one.
func (p *places) layered(ctx context.Context, t *tree.Tree) (*tree.Tree, error) {
	if t == nil {
		return &tree.Tree{}, nil
	}
	if t.Dir == "" {
		return t, nil
	}
	d, err := p.s.Layers.Begin(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer d.Discard()
	v, err := p.contents(ctx, t)
	if err != nil {
		return nil, err
	}
	if err := p.s.Job.moved(ctx, copyAll(ctx, v, d.Root())); err != nil {
		return nil, err
	}
	stack, err := p.commit(ctx, d, "copy of "+t.Dir)
	if err != nil {
		return nil, err
	}
	return &tree.Tree{Layers: stack, Pin: t.Pin}, nil
}

// Layered is a tree as layers.
func (w *Worker) Layered(ctx context.Context, t *tree.Tree) (_ []string, err error) {
	p := newPlaces(Surroundings{Worker: w})
	defer func() { err = errors.Join(err, p.close()) }()
	layered, err := p.layered(ctx, t)
	if err != nil {
		return nil, err
	}
	return layered.Layers, nil
}

// cacheWish is a directory of RUN --mount=type=cache that a step asks for.
type cacheWish struct {
	id      string
	sharing cache.Sharing
	fill    func(dir string) error // what it begins with; nil: nothing
	mounts  []int
}

// cacheDirs takes hold of the directories of the step's cache mounts, and returns them by mount. They are taken in order of
// their ids and each once: two steps that lock the same two, or one that locks one twice, would wait for ever.
func cacheDirs(ctx context.Context, s Surroundings, p *places, mounts []*pb.Mount, inputs []*tree.Tree) (map[int]string, error) {
	wishes := map[string]*cacheWish{}
	for i, m := range mounts {
		if m.MountType != pb.MountType_CACHE {
			continue
		}
		var in *tree.Tree
		if m.Input >= 0 {
			in = inputs[m.Input]
		}
		w, err := wishFor(ctx, p, m, in)
		if err != nil {
			return nil, err
		}
		if before := wishes[w.id]; before != nil {
			w.mounts = before.mounts
			if before.sharing == cache.Locked {
				w.sharing = cache.Locked
			}
		}
		w.mounts = append(w.mounts, i)
		wishes[w.id] = w
	}
	dirs := map[int]string{}
	for _, id := range slices.Sorted(maps.Keys(wishes)) {
		w := wishes[id]
		d, err := s.Cache.DirFrom(ctx, id, w.sharing, w.fill)
		if err != nil {
			return nil, err
		}
		p.undo = append(p.undo, d.Close)
		for _, i := range w.mounts {
			dirs[i] = d.Path()
		}
	}
	return dirs, nil
}

// wishFor is what one mount asks for. At its first use the directory begins as the mount's input.
func wishFor(ctx context.Context, p *places, m *pb.Mount, in *tree.Tree) (*cacheWish, error) {
	if m.CacheOpt == nil {
		return nil, fmt.Errorf("cache mount %s without its options", m.Dest)
	}
	w := &cacheWish{id: m.CacheOpt.ID}
	if w.id == "" {
		w.id = m.Dest
	}
	w.sharing = map[pb.CacheSharingOpt]cache.Sharing{pb.CacheSharingOpt_PRIVATE: cache.Private, pb.CacheSharingOpt_LOCKED: cache.Locked}[m.CacheOpt.Sharing]
	if in.Scratch() {
		return w, nil
	}
	layered, err := p.layered(ctx, in)
	if err != nil {
		return nil, err
	}
	w.id += fmt.Sprint(" from ", layered.Layers)
	w.fill = func(dir string) error {
		from, err := p.contents(ctx, layered)
		if err != nil {
			return err
		}
		return copyAll(ctx, from, dir)
	}
	return w, nil
}

func secretMount(ctx context.Context, s Surroundings, o *pb.SecretOpt, m *run.Mount) error {
	if o == nil {
		return fmt.Errorf("secret mount %s without its options", m.Target)
	}
	data, err := secret(ctx, s, o.ID)
	if o.Optional && errors.Is(err, secrets.ErrNotFound) {
		return errNotThere
	}
	m.Data, m.UID, m.GID, m.Mode = data, o.Uid, o.Gid, os.FileMode(o.Mode)&os.ModePerm
	return err
}

func sshMount(ctx context.Context, s Surroundings, p *places, o *pb.SSHOpt, m *run.Mount) error {
	if o == nil {
		return fmt.Errorf("ssh mount %s without its options", m.Target)
	}
	m.UID, m.GID, m.Mode = o.Uid, o.Gid, os.FileMode(o.Mode)&os.ModePerm
	err := s.Sessions.Any(ctx, s.Job.Session, func(ctx context.Context, _ string, caller session.Caller) error {
		if err := sshforward.CheckSSHID(ctx, caller, o.ID); err != nil {
			if o.Optional {
				return errNotThere
			}
			if grpcerrors.Code(err) == codes.Unimplemented {
				err = errdefs.New(errdefs.ErrNotFound, "the build was given no SSH agent or key %q (--ssh %s)", o.ID, o.ID)
			}
			return err
		}
		socket, end, err := sshforward.MountSSHSocket(ctx, caller, sshforward.SocketOpt{ID: o.ID, UID: int(o.Uid), GID: int(o.Gid), Mode: int(m.Mode)})
		if err == nil {
			m.Source = socket
			p.undo = append(p.undo, end)
		}
		return err
	})
	return err
}
