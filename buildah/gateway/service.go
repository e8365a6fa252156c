package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/moby/buildkit/client/buildid"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Service is BuildKit's gateway over gRPC, for clients that are themselves the frontend of a build.
type Service struct {
	gwpb.UnimplementedLLBBridgeServer

	mu     sync.Mutex
	builds map[string]*served
	more   chan struct{} // closed, and made anew, when a build is added
}

// NewService returns a service without builds.
func NewService() *Service { return &Service{builds: map[string]*served{}, more: make(chan struct{})} }

// served is one build whose frontend is the client.
type served struct {
	*Bridge
	done chan struct{}

	mu         sync.Mutex
	refs       map[string]*Ref
	containers map[string]client.Container
	over       bool // no more containers
	last       int
	ended      bool
	result     *client.Result
	err        error
}

// Serve lets the client be the frontend of a build until it returns a result.
func (s *Service) Serve(ctx context.Context, id string, b *Bridge) (*client.Result, error) {
	v := &served{Bridge: b, done: make(chan struct{}), refs: map[string]*Ref{}}
	s.mu.Lock()
	s.builds[id] = v
	close(s.more)
	s.more = make(chan struct{})
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.builds, id)
		s.mu.Unlock()
		v.releaseContainers()
	}()
	select {
	case <-v.done:
		return v.result, v.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// patience is how long a call waits for its build, which comes over another stream.
const patience = 5 * time.Second

func (s *Service) build(ctx context.Context) (*served, error) {
	id := buildid.FromIncomingContext(ctx)
	if id == "" {
		return nil, status.Error(codes.InvalidArgument, "the call does not say which build it is about")
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		v, more := s.builds[id], s.more
		s.mu.Unlock()
		if v != nil {
			return v, nil
		}
		select {
		case <-more:
		case <-timeout.C:
			return nil, status.Errorf(codes.NotFound, "no build %s", id)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// keep gives a reference a name for the client.
func (v *served) keep(r client.Reference) *gwpb.Ref {
	ref, ok := r.(*Ref)
	if !ok || ref == nil {
		return &gwpb.Ref{}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last++
	id := fmt.Sprint(v.last)
	v.refs[id] = ref
	return &gwpb.Ref{Id: id, Def: ref.def}
}

func (v *served) ref(id string) (*Ref, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r, ok := v.refs[id]; ok {
		return r, nil
	}
	return nil, status.Errorf(codes.NotFound, "no reference %q", id)
}

// Ping says what we can do.
func (s *Service) Ping(ctx context.Context, _ *gwpb.PingRequest) (*gwpb.PongResponse, error) {
	v, err := s.build(ctx)
	if err != nil {
		return nil, err
	}
	return &gwpb.PongResponse{FrontendAPICaps: gwpb.Caps.All(), LLBCaps: pb.Caps.All(), Workers: workerRecords(v.workers)}, nil
}

// Solve makes references of a definition, or runs a frontend of ours.
func (s *Service) Solve(ctx context.Context, req *gwpb.SolveRequest) (*gwpb.SolveResponse, error) {
	v, err := s.build(ctx)
	if err != nil {
		return nil, err
	}
	res, err := v.Bridge.Solve(ctx, client.SolveRequest{
		Evaluate: req.Evaluate, Definition: req.Definition, Frontend: req.Frontend, FrontendOpt: req.FrontendOpt,
		FrontendInputs: req.FrontendInputs, CacheImports: cacheImports(req.CacheImports), SourcePolicies: req.SourcePolicies,
	})
	if err != nil {
		return nil, err
	}
	if !req.AllowResultReturn || !req.AllowResultArrayRef {
		return nil, status.Error(codes.Unimplemented, "the client is too old: it does not know results with several references")
	}
	out, err := v.describe(res)
	return &gwpb.SolveResponse{Result: out}, err
}

func cacheImports(in []*gwpb.CacheOptionsEntry) (out []client.CacheOptionsEntry) {
	for _, e := range in {
		out = append(out, client.CacheOptionsEntry{Type: e.GetType(), Attrs: e.GetAttrs()})
	}
	return out
}

// describe is a result for the client.
func (v *served) describe(res *client.Result) (*gwpb.Result, error) {
	out := &gwpb.Result{Metadata: res.Metadata}
	if res.Refs != nil {
		refs := &gwpb.RefMap{Refs: map[string]*gwpb.Ref{}}
		for name, r := range res.Refs {
			refs.Refs[name] = v.keep(r)
		}
		out.Result = &gwpb.Result_Refs{Refs: refs}
	} else {
		out.Result = &gwpb.Result_Ref{Ref: v.keep(res.Ref)}
	}
	for name, list := range res.Attestations {
		for _, a := range list {
			described, err := client.AttestationToPB(&a)
			if err != nil {
				return nil, err
			}
			if a.Ref != nil {
				described.Ref = v.keep(a.Ref)
			}
			if out.Attestations == nil {
				out.Attestations = map[string]*gwpb.Attestations{}
			}
			if out.Attestations[name] == nil {
				out.Attestations[name] = &gwpb.Attestations{}
			}
			out.Attestations[name].Attestation = append(out.Attestations[name].Attestation, described)
		}
	}
	return out, nil
}

// Return ends the build with the client's result.
func (s *Service) Return(ctx context.Context, req *gwpb.ReturnRequest) (*gwpb.ReturnResponse, error) {
	v, err := s.build(ctx)
	if err != nil {
		return nil, err
	}
	var res *client.Result
	if e := req.Error; e != nil {
		err = grpcerrors.FromGRPC(status.ErrorProto(&spb.Status{Code: e.Code, Message: e.Message, Details: e.Details}))
	} else if res, err = v.returned(req.Result); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended {
		return nil, status.Error(codes.FailedPrecondition, "the build has its result already")
	}
	v.ended, v.result, v.err = true, res, err
	close(v.done)
	return &gwpb.ReturnResponse{}, nil
}

// returned finds what the references of a client's result stand for.
func (v *served) returned(in *gwpb.Result) (*client.Result, error) {
	if in == nil {
		return nil, status.Error(codes.InvalidArgument, "no result")
	}
	res := &client.Result{Metadata: in.Metadata}
	switch r := in.Result.(type) {
	case *gwpb.Result_Ref:
		ref, err := v.optional(r.Ref)
		if err != nil {
			return nil, err
		}
		if ref != nil {
			res.SetRef(ref)
		}
	case *gwpb.Result_Refs:
		for name, r := range r.Refs.GetRefs() {
			ref, err := v.optional(r)
			if err != nil {
				return nil, err
			}
			if ref == nil {
				res.AddRef(name, nil)
			} else {
				res.AddRef(name, ref)
			}
		}
	default:
		return nil, status.Error(codes.Unimplemented, "the client is too old: it names its results in an old way")
	}
	for name, list := range in.Attestations {
		for _, a := range list.GetAttestation() {
			made, err := client.AttestationFromPB[client.Reference](a)
			if err != nil {
				return nil, err
			}
			if ref, err := v.optional(a.GetRef()); err != nil {
				return nil, err
			} else if ref != nil {
				made.Ref = ref
			}
			res.AddAttestation(name, *made)
		}
	}
	return res, nil
}

func (v *served) optional(r *gwpb.Ref) (*Ref, error) {
	if r.GetId() == "" {
		return nil, nil
	}
	return v.ref(r.Id)
}

// Inputs are the definitions that came with the request.
func (s *Service) Inputs(ctx context.Context, _ *gwpb.InputsRequest) (*gwpb.InputsResponse, error) {
	v, err := s.build(ctx)
	if err != nil {
		return nil, err
	}
	return &gwpb.InputsResponse{Definitions: v.inputs}, nil
}

// Warn shows a warning.
func (s *Service) Warn(ctx context.Context, req *gwpb.WarnRequest) (*gwpb.WarnResponse, error) {
	v, err := s.build(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range req.Ranges {
		if r == nil {
			return nil, status.Error(codes.InvalidArgument, "invalid range")
		}
	}
	return &gwpb.WarnResponse{}, v.Bridge.Warn(ctx, digest.Digest(req.Digest), string(req.Short), client.WarnOpts{
		Level: int(req.Level), SourceInfo: req.Info, Range: req.Ranges, Detail: req.Detail, URL: req.Url,
	})
}

// withRef calls do with a reference of the build.
func (s *Service) withRef(ctx context.Context, id string, do func(*Ref) error) error {
	v, err := s.build(ctx)
	if err != nil {
		return err
	}
	r, err := v.ref(id)
	if err != nil {
		return err
	}
	return do(r)
}

// Evaluate makes what a reference stands for.
func (s *Service) Evaluate(ctx context.Context, req *gwpb.EvaluateRequest) (*gwpb.EvaluateResponse, error) {
	return &gwpb.EvaluateResponse{}, s.withRef(ctx, req.Ref, func(r *Ref) error { return r.Evaluate(ctx) })
}

// ReadFile reads a file of a reference.
func (s *Service) ReadFile(ctx context.Context, req *gwpb.ReadFileRequest) (*gwpb.ReadFileResponse, error) {
	res := &gwpb.ReadFileResponse{}
	return res, s.withRef(ctx, req.Ref, func(r *Ref) (err error) {
		in := client.ReadRequest{Filename: req.FilePath}
		if req.Range != nil {
			in.Range = &client.FileRange{Offset: int(req.Range.Offset), Length: int(req.Range.Length)}
		}
		res.Data, err = r.ReadFile(ctx, in)
		return err
	})
}

// ReadDir lists a directory of a reference.
func (s *Service) ReadDir(ctx context.Context, req *gwpb.ReadDirRequest) (*gwpb.ReadDirResponse, error) {
	res := &gwpb.ReadDirResponse{}
	return res, s.withRef(ctx, req.Ref, func(r *Ref) (err error) {
		res.Entries, err = r.ReadDir(ctx, client.ReadDirRequest{Path: req.DirPath, IncludePattern: req.IncludePattern})
		return err
	})
}

// StatFile describes a file of a reference.
func (s *Service) StatFile(ctx context.Context, req *gwpb.StatFileRequest) (*gwpb.StatFileResponse, error) {
	res := &gwpb.StatFileResponse{}
	return res, s.withRef(ctx, req.Ref, func(r *Ref) (err error) {
		res.Stat, err = r.StatFile(ctx, client.StatRequest{Path: req.Path})
		return err
	})
}

// ResolveImageConfig finds an image's digest and configuration.
func (s *Service) ResolveImageConfig(ctx context.Context, req *gwpb.ResolveImageConfigRequest) (*gwpb.ResolveImageConfigResponse, error) {
	v, err := s.build(ctx)
	if err != nil {
		return nil, err
	}
	opt := sourceresolver.Opt{LogName: req.LogName, SourcePolicies: req.SourcePolicies}
	if sourceresolver.ResolverType(req.ResolverType) == sourceresolver.ResolverTypeOCILayout {
		opt.OCILayoutOpt = &sourceresolver.ResolveOCILayoutOpt{
			Platform: platform(req.Platform), Store: sourceresolver.ResolveImageConfigOptStore{SessionID: req.SessionID, StoreID: req.StoreID},
		}
	} else {
		opt.ImageOpt = &sourceresolver.ResolveImageOpt{ResolveMode: req.ResolveMode, Platform: platform(req.Platform)}
	}
	ref, id, config, err := v.Bridge.ResolveImageConfig(ctx, req.Ref, opt)
	return &gwpb.ResolveImageConfigResponse{Ref: ref, Digest: string(id), Config: config}, err
}

// ResolveSourceMeta finds what a source stands for.
func (s *Service) ResolveSourceMeta(ctx context.Context, req *gwpb.ResolveSourceMetaRequest) (*gwpb.ResolveSourceMetaResponse, error) {
	v, err := s.build(ctx)
	if err != nil {
		return nil, err
	}
	if req.Source == nil {
		return nil, status.Error(codes.InvalidArgument, "no source")
	}
	opt := sourceresolver.Opt{
		LogName: req.LogName, SourcePolicies: req.SourcePolicies,
		ImageOpt:     &sourceresolver.ResolveImageOpt{ResolveMode: req.ResolveMode, Platform: platform(req.Platform), NoConfig: req.GetImage().GetNoConfig()},
		OCILayoutOpt: &sourceresolver.ResolveOCILayoutOpt{Platform: platform(req.Platform)},
	}
	if i := req.Image; i != nil && (i.AttestationChain || len(i.ResolveAttestations) > 0) {
		return nil, status.Error(codes.Unimplemented, "attestations of images are not resolved")
	}
	if req.Git != nil {
		opt.GitOpt = &sourceresolver.ResolveGitOpt{ReturnObject: req.Git.ReturnObject}
	}
	res, err := v.ResolveSourceMetadata(ctx, req.Source, opt)
	if err != nil {
		return nil, err
	}
	return metadata(res), nil
}

func platform(p *pb.Platform) *ocispecs.Platform {
	if p == nil {
		return nil
	}
	spec := p.Spec()
	return &spec
}

// Register adds the service to a server.
func (s *Service) Register(g *grpc.Server) { gwpb.RegisterLLBBridgeServer(g, s) }
