package solver

import (
	"context"
	"fmt"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/semaphore"

	"github.com/wherry-containers/wherry/buildah/cache"
	"github.com/wherry-containers/wherry/buildah/layers"
	"github.com/wherry-containers/wherry/buildah/run"
	"github.com/wherry-containers/wherry/pkg/image"
	imageoption "github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// Worker is what all builds of a process share.
type Worker struct {
	Dirs     layout.Dirs
	Layers   *layers.Store
	Cache    *cache.Cache
	Runner   *run.Runner
	Sessions *session.Manager
	Slots    *semaphore.Weighted // one for each step that may be at work at a time

	NeverPull bool     // images have to be in the store
	Networks  []string // of the steps, instead of the default one
	DNS       run.DNS

	// Access and Retry say how registries are asked on behalf of this process' user.
	Access access.Options
	Retry  *imageoption.Retry

	// Local, Image and Getenv are source.Env's. Own tells whether a session is this process' user's.
	Local  func(session, name string) (dir string, ok bool)
	Image  image.Config
	Own    func(session string) bool
	Getenv func(string) string
}

// Surroundings are what an operation needs from outside.
type Surroundings struct {
	*Worker
	Job    *Job
	Vertex *Vertex
}

// InSlot runs do when there is a slot for it.
func (w *Worker) InSlot(ctx context.Context, do func() error) error {
	if err := w.Slots.Acquire(ctx, 1); err != nil {
		return context.Cause(ctx)
	}
	defer w.Slots.Release(1)
	return do()
}

// op is what carries a vertex out.
func (w *Worker) op(v *Vertex) Op {
	switch op := v.Op.Op.(type) {
	case *pb.Op_Source:
		return &sourceOp{op.Source, v.Op.Platform}
	case *pb.Op_Exec:
		return &execOp{op.Exec, v.Op.Platform}
	case *pb.Op_File:
		return &fileOp{op.File}
	case *pb.Op_Merge:
		return &mergeOp{op.Merge}
	case *pb.Op_Diff:
		return &diffOp{op.Diff}
	case *pb.Op_Passthrough:
		return passOp{}
	}
	panic(fmt.Sprintf("validate let %T pass", v.Op.Op))
}

// opDigest names an operation by its kind and its description.
func opDigest(kind string, description []byte) digest.Digest {
	return digest.FromBytes(append([]byte(kind+"\n"), description...))
}
