package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
	buildkitd "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/session/grpchijack"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/moby/moby/api/types/registry"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

// tunnel connects a session to the builder; the header says whose it is and what it offers.
func tunnel(ctx context.Context, c *buildkitd.Client, header http.Header) (net.Conn, error) {
	meta := map[string][]string{}
	for name, values := range header {
		if strings.HasPrefix(strings.ToLower(name), "x-docker-expose-session-") {
			meta[name] = values
		}
	}
	return grpchijack.Dialer(c.ControlClient())(ctx, "h2c", meta)
}

// buildWithSession builds what a client's session offers (version=2): its messages are BuildKit's.
func (s *Server) buildWithSession(w *response, r *request) error {
	id := r.param("session")
	if id == "" || r.param("remote") == "" {
		return invalid("version=2 needs the parameters session and remote: the context comes through the session")
	}
	req, err := sessionRequest(r)
	if err != nil {
		return err
	}
	ctx, done := s.builds.begin(r.Context(), r.param("buildid"))
	defer done()
	out := w.messages()
	err = s.withBuilder(ctx, func(c *buildkitd.Client) error {
		group, ctx := errgroup.WithContext(ctx)
		var result *controlapi.SolveResponse
		group.Go(func() (err error) {
			result, err = c.ControlClient().Solve(ctx, req)
			return err
		})
		group.Go(func() error { return trace(ctx, c, req.Ref, out) })
		if err := group.Wait(); err != nil {
			return fail(statusOf(err), "%s", plainBuildError(err))
		}
		if sum := result.ExporterResponse[exptypes.ExporterImageConfigDigestKey]; sum != "" {
			return out.send(namedAux{"moby.image.id", imageID{sum}})
		}
		return nil
	})
	return out.end(err)
}

// namedAux is a message for programs.
type namedAux struct {
	ID  string `json:"id"`
	Aux any    `json:"aux"`
}

// trace hands on what happens in a build, in BuildKit's own encoding.
func trace(ctx context.Context, c *buildkitd.Client, ref string, out *messages) error {
	stream, err := c.ControlClient().Status(ctx, &controlapi.StatusRequest{Ref: ref})
	if err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		data, err := m.MarshalVT()
		if err != nil {
			return err
		}
		if err := out.send(namedAux{"moby.buildkit.trace", data}); err != nil {
			return err
		}
	}
}

// sessionRequest turns the query into BuildKit's request, as dockerd does.
func sessionRequest(r *request) (*controlapi.SolveRequest, error) {
	o, err := classicOptions(&request{Request: r.Request, vars: r.vars, version: r.version, query: withoutSession(r)})
	if err != nil {
		return nil, err
	}
	attrs := map[string]string{"target": o.Target}
	if file := r.param("dockerfile"); file != "" {
		attrs["filename"] = file
	}
	if remote := r.param("remote"); remote != "client-session" {
		attrs["context"] = remote
	}
	for _, pair := range o.Args {
		name, value, _ := strings.Cut(pair, "=")
		attrs["build-arg:"+name] = value
	}
	for _, pair := range o.Result.Labels {
		name, value, _ := strings.Cut(pair, "=")
		attrs["label:"+name] = value
	}
	set := func(name, value string, given bool) {
		if given {
			attrs[name] = value
		}
	}
	set("no-cache", "", o.NoCache)
	set("image-resolve-mode", "pull", o.Pull == "always")
	set("platform", strings.Join(o.Platforms, ","), len(o.Platforms) > 0)
	set("add-hosts", strings.ReplaceAll(strings.Join(o.Steps.Hosts, ","), ":", "="), len(o.Steps.Hosts) > 0)
	set("cgroup-parent", o.Steps.CgroupParent, o.Steps.CgroupParent != "")
	set("ulimit", strings.Join(o.Steps.Ulimits, ","), len(o.Steps.Ulimits) > 0)
	set("shm-size", r.param("shmsize"), o.Steps.ShmSize > 0)
	for name, value := range o.Steps.Resources {
		attrs[name] = value
	}
	req := &controlapi.SolveRequest{Ref: r.param("buildid"), Frontend: "dockerfile.v0", FrontendAttrs: attrs, Session: r.param("session"),
		Cache: &controlapi.CacheOptions{}}
	if req.Ref == "" {
		req.Ref = identity.NewID()
	}
	if mode := o.Steps.Network; mode == "host" || mode == "none" {
		attrs["force-network-mode"] = mode
		if mode == "host" {
			req.Entitlements = append(req.Entitlements, entitlements.EntitlementNetworkHost.String())
		}
	}
	for _, ref := range o.Result.CacheFrom {
		req.Cache.Imports = append(req.Cache.Imports, &controlapi.CacheOptionsEntry{Type: "registry", Attrs: map[string]string{"ref": ref}})
	}
	return req, addOutputs(req, r, o.Result.Tags)
}

// withoutSession is the query without what only version 2 has.
func withoutSession(r *request) map[string][]string {
	rest := map[string][]string{}
	for name, values := range r.URL.Query() {
		switch name {
		case "session", "outputs", "version", "remote", "dockerfile":
		default:
			rest[name] = values
		}
	}
	return rest
}

func addOutputs(req *controlapi.SolveRequest, r *request, tags []string) error {
	outputs, err := clientOutputs(r.param("outputs"))
	if err != nil {
		return err
	}
	if len(outputs) == 0 {
		outputs = []clientOutput{{Type: buildkitd.ExporterImage}}
	}
	for _, o := range outputs {
		if o.Type == "moby" || o.Type == buildkitd.ExporterImage {
			o.Type = buildkitd.ExporterImage
			if o.Attrs == nil {
				o.Attrs = map[string]string{}
			}
			if len(tags) > 0 && o.Attrs["name"] == "" {
				names := make([]string, len(tags))
				for i, tag := range tags {
					named, err := pullName(withTag(tag), "")
					if err != nil {
						return err
					}
					names[i] = named.String()
				}
				o.Attrs["name"] = strings.Join(names, ",")
			}
		}
		req.Exporters = append(req.Exporters, &controlapi.Exporter{Type: o.Type, Attrs: o.Attrs})
	}
	return nil
}

// logins answer the builder's questions for log-ins with what the client sent along.
type logins struct {
	auth.UnimplementedAuthServer
	known map[string]registry.AuthConfig
}

// Register makes them part of a session.
func (l *logins) Register(server *grpc.Server) { auth.RegisterAuthServer(server, l) }

// Credentials are those for one registry; without any the builder uses its own.
func (l *logins) Credentials(_ context.Context, req *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	names := []string{req.Host}
	if req.Host == "registry-1.docker.io" || req.Host == "docker.io" {
		names = append(names, "https://index.docker.io/v1/", "docker.io", "index.docker.io")
	}
	for _, name := range names {
		c, ok := l.known[name]
		if !ok {
			continue
		}
		if c.IdentityToken != "" {
			return &auth.CredentialsResponse{Secret: c.IdentityToken}, nil
		}
		user, password, _ := strings.Cut(authOptions(c).Creds, ":")
		return &auth.CredentialsResponse{Username: user, Secret: password}, nil
	}
	return &auth.CredentialsResponse{}, nil
}
