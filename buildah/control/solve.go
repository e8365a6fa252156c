package control

import (
	"context"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/entitlements"
	"golang.org/x/sync/errgroup"

	bridge "github.com/wherry-containers/wherry/buildah/gateway"
	"github.com/wherry-containers/wherry/buildah/solver"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// build is one build that a client asked for.
type build struct {
	ref       string
	req       *controlapi.SolveRequest
	job       *solver.Job
	progress  *solver.Progress
	created   time.Time
	completed time.Time // guarded by Server.mu, like those below
	err       error
	response  map[string]string
}

// Solve builds.
func (s *Server) Solve(ctx context.Context, req *controlapi.SolveRequest) (*controlapi.SolveResponse, error) {
	modernise(req)
	// The build is known, and over, also when it is refused: the client waits for what is told of it.
	granted, err := allowed(req)
	b, known := s.begin(ctx, req, granted)
	if known != nil {
		return nil, known
	}
	var response map[string]string
	if err == nil {
		err = unsupported(req)
	}
	if err == nil {
		response, err = s.solve(ctx, b)
	}
	s.end(b, response, err)
	if err != nil {
		return nil, err
	}
	return &controlapi.SolveResponse{ExporterResponse: response}, nil
}

// unsupported refuses what would otherwise be passed over in silence.
func unsupported(req *controlapi.SolveRequest) error {
	switch {
	case req.SourcePolicy != nil || req.SourcePolicySession != "":
		return errdefs.New(errdefs.ErrUnsupported, "source policies are not supported")
	case req.EnableSessionExporter:
		return errdefs.New(errdefs.ErrUnsupported, "an exporter in the client's session is not supported")
	case req.ProxyNetwork:
		return errdefs.New(errdefs.ErrUnsupported, "a proxy network is not supported")
	}
	return nil
}

// modernise puts what older clients send in the place where newer ones do.
func modernise(req *controlapi.SolveRequest) {
	if req.Cache == nil {
		req.Cache = &controlapi.CacheOptions{}
	}
	if ref := req.Cache.ExportRefDeprecated; ref != "" {
		attrs := map[string]string{"ref": ref}
		for k, v := range req.Cache.ExportAttrsDeprecated {
			attrs[k] = v
		}
		req.Cache.Exports = append(req.Cache.Exports, &controlapi.CacheOptionsEntry{Type: "registry", Attrs: attrs})
	}
	for _, ref := range req.Cache.ImportRefsDeprecated {
		req.Cache.Imports = append(req.Cache.Imports, &controlapi.CacheOptionsEntry{Type: "registry", Attrs: map[string]string{"ref": ref}})
	}
	if len(req.Exporters) == 0 && req.ExporterDeprecated != "" {
		req.Exporters = []*controlapi.Exporter{{Type: req.ExporterDeprecated, Attrs: req.ExporterAttrsDeprecated}}
	}
}

// allowed is what the client lets steps have.
func allowed(req *controlapi.SolveRequest) (entitlements.Set, error) {
	list := make([]entitlements.Entitlement, len(req.Entitlements))
	for i, e := range req.Entitlements {
		list[i] = entitlements.Entitlement(e)
	}
	return entitlements.WhiteList(list, nil)
}

func (s *Server) begin(ctx context.Context, req *controlapi.SolveRequest, granted entitlements.Set) (*build, error) {
	job := s.worker.NewJob(ctx, req.Ref, session.NewGroup(req.Session), granted)
	b := &build{ref: req.Ref, req: req, job: job, progress: job.Progress, created: time.Now()}
	if err := s.add(b); err != nil {
		job.Close()
		return nil, err
	}
	return b, nil
}

func (s *Server) end(b *build, response map[string]string, err error) {
	b.job.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	b.completed, b.response, b.err = time.Now(), response, err
	b.job = nil     // its trees and views can go
	_ = s.release() // what stays held is given back with the process
	s.wake()
}

func (s *Server) solve(ctx context.Context, b *build) (map[string]string, error) {
	if err := s.checkExports(b); err != nil {
		return nil, err
	}
	if err := s.opts.Remote.Check(b.req.Cache.GetImports(), b.req.Cache.GetExports()); err != nil {
		return nil, err
	}
	defer s.importCaches(ctx, b)()
	how, err := provenanceAsked(b.req)
	if err != nil {
		return nil, err
	}
	res, err := s.result(ctx, b)
	if err != nil {
		return nil, err
	}
	if err := evaluate(ctx, res); err != nil {
		return nil, err
	}
	if how != nil {
		if err := s.attest(ctx, b, res, *how); err != nil {
			return nil, err
		}
	}
	response, err := s.export(ctx, b, res)
	if err != nil {
		return nil, err
	}
	return response, s.exportCaches(ctx, b, res, response)
}

// result runs the frontend: one of ours, the client itself, or none for a definition.
func (s *Server) result(ctx context.Context, b *build) (*gateway.Result, error) {
	req := b.req
	front := bridge.New(b.job, req.Session, s.workers(), req.FrontendAttrs, req.FrontendInputs)
	switch {
	case req.Frontend != "":
		return front.Run(ctx, req.Frontend)
	case len(req.Definition.GetDef()) > 0:
		return front.Solve(ctx, gateway.SolveRequest{Definition: req.Definition})
	case req.Definition != nil:
		return gateway.NewResult(), nil
	}
	return s.gateway.Serve(ctx, b.ref, front)
}

// evaluate makes all references of a result side by side.
func evaluate(ctx context.Context, res *gateway.Result) error {
	group, ctx := errgroup.WithContext(ctx)
	_ = res.EachRef(func(r gateway.Reference) error {
		if r != nil {
			group.Go(func() error { return r.Evaluate(ctx) })
		}
		return nil
	})
	return group.Wait()
}
