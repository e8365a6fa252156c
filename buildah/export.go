package buildah

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/result"
	"github.com/moby/buildkit/util/progress"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/buildah/control"
	"github.com/wherry-containers/wherry/buildah/export"
	bridge "github.com/wherry-containers/wherry/buildah/gateway"
	"github.com/wherry-containers/wherry/buildah/layers"
	"github.com/wherry-containers/wherry/buildah/option"
	"github.com/wherry-containers/wherry/buildah/request"
	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// outputs makes what builds ask for, by package export.
type outputs struct {
	exporter *export.Exporter
	locals   *locals
	registry option.Registry // of this process' user
	layers   *layers.Store
	layered  func(context.Context, *tree.Tree) ([]string, error)
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
	if how := e.Attrs[request.Squash]; how != "" {
		if err := o.squash(ctx, r.Result, how == request.SquashAll); err != nil {
			return nil, err
		}
	}
	return o.exporter.Export(ctx, r)
}

func (o *outputs) request(e control.Export) export.Request {
	r := export.Request{Type: e.Type, ID: e.ID, Attrs: maps.Clone(e.Attrs), Progress: steps{}, InlineCache: e.Inline}
	delete(r.Attrs, request.Squash) // what the exporter gets is squashed already
	if r.Type == "moby" {           // docker's own client means the store of images by it
		r.Type = "image"
	}
	if ids := session.AllSessionIDs(e.Session); len(ids) > 0 {
		r.SessionID = ids[0]
		if l, ok := o.locals.of(r.SessionID); ok {
			r.Dirs, r.Files = l.outDirs, l.outFiles
			r.Access, r.Retry = o.registry.Options, o.registry.Retry
		}
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

// squash makes one layer of what a Dockerfile adds to its base image, or of everything.
func (o *outputs) squash(ctx context.Context, r *export.Result, all bool) error {
	one := func(t *tree.Tree, platform string) (*tree.Tree, error) {
		if t == nil {
			return nil, nil
		}
		stack, err := o.layered(ctx, t)
		if err != nil {
			return nil, err
		}
		keep := 0
		if !all {
			keep = min(baseLayers(r.Metadata[exptypes.ExporterImageBaseConfigKey+platform]), len(stack))
		}
		if len(stack)-keep < 2 {
			return t, nil
		}
		layer, err := o.layers.Squash(ctx, stack[:keep], stack)
		return &tree.Tree{Layers: append(slices.Clone(stack[:keep]), layer)}, err
	}
	var err error
	if r.Ref, err = one(r.Ref, ""); err != nil {
		return err
	}
	for platform, t := range r.Refs {
		if r.Refs[platform], err = one(t, "/"+platform); err != nil {
			return err
		}
	}
	return nil
}

// baseLayers is how many layers an image's configuration names.
func baseLayers(config []byte) int {
	var image ocispecs.Image
	if json.Unmarshal(config, &image) != nil {
		return 0
	}
	return len(image.RootFS.DiffIDs)
}

// steps shows the parts of an export.
type steps struct{}

// Step begins a part.
func (steps) Step(ctx context.Context, name string) func(error) error {
	return progress.OneOff(ctx, name)
}
