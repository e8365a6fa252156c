package buildah

import (
	"context"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/result"
	"github.com/moby/buildkit/util/progress"

	"github.com/wherry-containers/wherry/buildah/control"
	"github.com/wherry-containers/wherry/buildah/export"
	bridge "github.com/wherry-containers/wherry/buildah/gateway"
	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// outputs makes what builds ask for, by package export.
type outputs struct {
	exporter *export.Exporter
	locals   *locals
}

// Check finds what is wrong with an output before anything is built.
func (o *outputs) Check(e control.Export) error { return o.exporter.Check(o.request(e)) }

// Export makes one output.
func (o *outputs) Export(ctx context.Context, e control.Export) (map[string]string, error) {
	r := o.request(e)
	var err error
	if r.Result, err = result.ConvertResult(e.Result, func(ref gateway.Reference) (*tree.Tree, error) { return treeOf(ctx, ref) }); err != nil {
		return nil, err
	}
	return o.exporter.Export(ctx, r)
}

func (o *outputs) request(e control.Export) export.Request {
	r := export.Request{Type: e.Type, ID: e.ID, Attrs: e.Attrs, Progress: steps{}}
	if r.Type == "moby" { // docker's own client means the store of images by it
		r.Type = "image"
	}
	for _, id := range session.AllSessionIDs(e.Session) {
		r.SessionID = id
		if l, ok := o.locals.of(id); ok {
			r.Dirs, r.Files = l.outDirs, l.outFiles
		}
		break
	}
	return r
}

func treeOf(ctx context.Context, ref gateway.Reference) (*tree.Tree, error) {
	if ref == nil {
		return nil, nil
	}
	r, ok := ref.(*bridge.Ref)
	if !ok {
		return nil, errdefs.New(errdefs.ErrUnsupported, "a result of another builder")
	}
	return r.Tree(ctx)
}

// steps shows the parts of an export.
type steps struct{}

// Step begins a part.
func (steps) Step(ctx context.Context, name string) func(error) error {
	return progress.OneOff(ctx, name)
}
