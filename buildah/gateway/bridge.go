// Package gateway runs BuildKit's frontends over our solver: it is the client that a frontend talks to, in process and
// for frontends that are themselves clients (buildx) over gRPC.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/distribution/reference"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/buildah/solver"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Names of frontends in BuildKit's requests.
const (
	Dockerfile = "dockerfile.v0"
	image      = "gateway.v0" // one that comes as an image
)

// Bridge is what a frontend sees of one build.
type Bridge struct {
	job     *solver.Job
	session string
	workers []client.WorkerInfo
	opts    map[string]string
	inputs  map[string]*pb.Definition
}

// New returns the bridge of a job. session is the id of the session that asked for the build.
func New(job *solver.Job, session string, workers []client.WorkerInfo, opts map[string]string, inputs map[string]*pb.Definition) *Bridge {
	return &Bridge{job: job, session: session, workers: workers, opts: opts, inputs: inputs}
}

// with is the bridge for another frontend of the same build.
func (b *Bridge) with(opts map[string]string, inputs map[string]*pb.Definition) *Bridge {
	return New(b.job, b.session, b.workers, opts, inputs)
}

// Run runs a frontend.
func (b *Bridge) Run(ctx context.Context, frontend string) (*client.Result, error) {
	switch frontend {
	case Dockerfile:
		return builder.Build(ctx, b)
	case image:
		return b.runImage(ctx)
	}
	return nil, errdefs.New(errdefs.ErrUnsupported, "frontend %q is not supported (Dockerfiles are: %s)", frontend, Dockerfile)
}

// runImage is for a Dockerfile that names its syntax. Docker's own is built in, whichever version is asked for.
func (b *Bridge) runImage(ctx context.Context) (*client.Result, error) {
	source := b.opts["source"]
	if !isDockerfile(source) {
		return nil, errdefs.New(errdefs.ErrUnsupported, "syntax %q is not supported: it is a program in an image, and wherry has Docker's Dockerfile syntax built in (use # syntax=docker/dockerfile:1, or no such line)", source)
	}
	opts := maps.Clone(b.opts)
	if opts["cmdline"] == "" {
		opts["cmdline"] = source // the frontend looks no further for a syntax line
	}
	return builder.Build(ctx, b.with(opts, b.inputs))
}

func isDockerfile(source string) bool {
	source, _, _ = strings.Cut(strings.TrimSpace(source), " ")
	name, err := reference.ParseNormalizedNamed(source)
	if err != nil {
		return false
	}
	switch name.Name() {
	case "docker.io/docker/dockerfile", "docker.io/docker/dockerfile-upstream":
		return true
	}
	return false
}

// Solve makes references of a definition, or runs another frontend.
func (b *Bridge) Solve(ctx context.Context, req client.SolveRequest) (*client.Result, error) {
	switch {
	case req.Frontend != "" && len(req.Definition.GetDef()) > 0:
		return nil, errors.New("a request has either a frontend or a definition")
	case req.Frontend != "":
		return b.with(req.FrontendOpt, req.FrontendInputs).Run(ctx, req.Frontend)
	case len(req.Definition.GetDef()) == 0:
		return client.NewResult(), nil
	}
	if len(req.SourcePolicies) > 0 {
		return nil, errdefs.New(errdefs.ErrUnsupported, "source policies are not supported")
	}
	ref, err := b.load(req.Definition)
	if err != nil {
		return nil, err
	}
	if req.Evaluate {
		if err := ref.Evaluate(ctx); err != nil {
			return nil, err
		}
	}
	res := client.NewResult()
	res.SetRef(ref)
	return res, nil
}

func (b *Bridge) load(def *pb.Definition) (*Ref, error) {
	edge, err := b.job.Load(def)
	if err != nil {
		return nil, err
	}
	return &Ref{job: b.job, edge: edge, def: def}, nil
}

// ResolveImageConfig finds an image's digest and configuration without its layers.
func (b *Bridge) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return sourceresolver.NewImageMetaResolver(b).ResolveImageConfig(ctx, ref, opt)
}

// ResolveSourceMetadata finds what a source stands for at this moment.
func (b *Bridge) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (res *sourceresolver.MetaResponse, err error) {
	if len(opt.SourcePolicies) > 0 {
		return nil, errdefs.New(errdefs.ErrUnsupported, "source policies are not supported")
	}
	name := opt.LogName
	if name == "" {
		name = "resolve " + op.GetIdentifier()
	}
	err = b.job.Step(ctx, name, func(ctx context.Context) error {
		res, err = b.job.Metadata(ctx, op, opt)
		return err
	})
	return res, err
}

// BuildOpts says what was asked for and what we can do.
func (b *Bridge) BuildOpts() client.BuildOpts {
	return client.BuildOpts{
		Opts: b.opts, SessionID: b.session, Workers: b.workers, Product: apicaps.ExportedProduct,
		Caps: gwpb.Caps.CapSet(gwpb.Caps.All()), LLBCaps: pb.Caps.CapSet(pb.Caps.All()),
	}
}

// Inputs are definitions that came with the request.
func (b *Bridge) Inputs(context.Context) (map[string]llb.State, error) {
	states := make(map[string]llb.State, len(b.inputs))
	for name, def := range b.inputs {
		op, err := llb.NewDefinitionOp(def)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", name, err)
		}
		states[name] = llb.NewState(op)
	}
	return states, nil
}

// Warn shows a warning with the build's output.
func (b *Bridge) Warn(_ context.Context, id digest.Digest, msg string, o client.WarnOpts) error {
	b.job.Warn(bkclient.VertexWarning{
		Vertex: id, Level: o.Level, Short: []byte(msg), SourceInfo: o.SourceInfo, Range: o.Range, Detail: o.Detail, URL: o.URL,
	})
	return nil
}
