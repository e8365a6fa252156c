package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	buildkitd "github.com/moby/buildkit/client"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/registry"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/buildah/option"
	buildreq "github.com/wherry-containers/wherry/buildah/request"
)

func buildRoutes() []route {
	return []route{
		{method: http.MethodPost, pattern: "/build", handle: (*Server).build},
		{method: http.MethodPost, pattern: "/build/prune", handle: (*Server).buildPrune},
		{method: http.MethodPost, pattern: "/build/cancel", handle: (*Server).buildCancel},
		{method: http.MethodPost, pattern: "/session", handle: (*Server).session},
		{method: http.MethodPost, pattern: "/grpc", handle: (*Server).grpc},
	}
}

// withBuilder runs do with a client of the builder.
func (s *Server) withBuilder(ctx context.Context, do func(*buildkitd.Client) error) error {
	if s.opts.Build == nil {
		return fail(http.StatusNotImplemented, "this service cannot build images")
	}
	c, err := buildkitd.New(ctx, "passthrough:///wherry", buildkitd.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.opts.Build(ctx) }))
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

// Versions of the builder that clients ask for.
const (
	classicBuilder = "1"
	buildkit       = "2"
)

// build makes an image of a Dockerfile.
func (s *Server) build(w *response, r *request) error {
	switch r.param("version") {
	case "", classicBuilder:
		return s.buildClassic(w, r)
	case buildkit:
		return s.buildWithSession(w, r)
	}
	return invalid("invalid version %q of the builder: want 1 or 2", r.param("version"))
}

// buildClassic builds what comes as a tar archive, or lies where the parameter remote says.
func (s *Server) buildClassic(w *response, r *request) error {
	opts, err := classicOptions(r)
	if err != nil {
		return err
	}
	logins, err := buildLogins(r)
	if err != nil {
		return err
	}
	nobody := func(string) string { return "" } // the service's environment is not the client's
	req, err := buildreq.New(opts, buildreq.Surroundings{In: r.body(w), Getenv: nobody, Lookup: func(string) (string, bool) { return "", false }})
	if err != nil {
		return err
	}
	defer req.Close()
	req.Solve.Session = append(req.Solve.Session, logins)
	ctx, done := s.builds.begin(r.Context(), r.param("buildid"))
	defer done()
	t := &transcript{out: w.messages(), quiet: r.flag("q"), seen: map[digest.Digest]bool{}}
	err = s.withBuilder(ctx, func(c *buildkitd.Client) error { return t.follow(ctx, c, req.Solve, opts.Result.Tags) })
	return t.end(err)
}

// classicOptions reads the query. What cannot be done is refused by name; what has no meaning without containers between
// the steps (rm, forcerm) is fulfilled anyway.
func classicOptions(r *request) (option.Build, error) {
	o := option.Build{Context: "-", Target: r.param("target"), NoCache: r.flag("nocache")}
	for name, why := range map[string]string{
		"securityopt": "steps have wherry's own confinement",
		"outputs":     "the result is an image in the store (use BuildKit's client for others)",
		"session":     "it goes with version=2",
	} {
		if text := r.param(name); text != "" && text != "null" && text != "[]" {
			return o, unsupported(name, why)
		}
	}
	if text := r.param("isolation"); text != "" && text != "default" {
		return o, unsupported("isolation="+text, "only Windows has it")
	}
	if remote := r.param("remote"); remote != "" {
		known := func(prefix string) bool { return strings.HasPrefix(remote, prefix) }
		if !slices.ContainsFunc([]string{"http://", "https://", "git://", "ssh://", "git@", "github.com/"}, known) {
			return o, invalid("invalid remote %q: want a URL", remote) // a path would be one of the service's machine
		}
		o.Context = remote
	}
	if file := r.param("dockerfile"); file != "" {
		if filepath.IsAbs(file) || file == "-" || strings.Contains(file, "://") || !filepath.IsLocal(file) {
			return o, invalid("invalid dockerfile %q: want a path inside the context", file)
		}
		o.Files = []string{file}
	}
	if r.flag("pull") {
		o.Pull = "always"
	}
	if p := r.param("platform"); p != "" {
		o.Platforms = []string{p}
	}
	o.Result = option.Result{Tags: r.params("t"), Squash: r.flag("squash"), Format: "docker"}
	if err := buildLists(r, &o); err != nil {
		return o, err
	}
	return o, buildSteps(r, &o.Steps)
}

// buildLists reads the parameters that are JSON.
func buildLists(r *request, o *option.Build) error {
	var args map[string]*string
	var labels map[string]string
	var from []string
	for name, into := range map[string]any{"buildargs": &args, "labels": &labels, "cachefrom": &from} {
		if text := r.param(name); text != "" {
			if err := json.Unmarshal([]byte(text), into); err != nil {
				return invalid("invalid %s: %v", name, err)
			}
		}
	}
	for name, value := range args {
		if value != nil { // null is a variable of the client's that is not set
			o.Args = append(o.Args, name+"="+*value)
		}
	}
	for name, value := range labels {
		o.Result.Labels = append(o.Result.Labels, name+"="+value)
	}
	for _, ref := range from {
		if strings.ContainsAny(ref, "=,") {
			return invalid("invalid cachefrom %q: want the name of an image", ref)
		}
		o.Result.CacheFrom = append(o.Result.CacheFrom, ref)
	}
	return nil
}

// buildSteps reads how commands are to be executed.
func buildSteps(r *request, s *option.Steps) error {
	s.Network, s.CgroupParent, s.NoProxy, s.Resources = r.param("networkmode"), r.param("cgroupparent"), true, map[string]string{}
	switch s.Network {
	case "", "default", "bridge", "host", "none":
	default:
		return unsupported("networkmode="+s.Network, "steps have the default network, that of the host, or none")
	}
	for _, text := range r.params("extrahosts") {
		s.Hosts = append(s.Hosts, strings.FieldsFunc(text, func(c rune) bool { return c == ',' })...)
	}
	for name, key := range map[string]string{"memory": "memory", "memswap": "memswap", "cpushares": "cpushares", "cpuperiod": "cpuperiod", "cpuquota": "cpuquota"} {
		n, err := strconv.ParseInt(orZero(r.param(name)), 10, 64)
		if err != nil {
			return invalid("invalid value %q for %s: want a whole number", r.param(name), name)
		}
		if n != 0 {
			s.Resources[key] = strconv.FormatInt(n, 10)
		}
	}
	for _, name := range []string{"cpusetcpus", "cpusetmems"} {
		if text := r.param(name); text != "" {
			s.Resources[name] = text
		}
	}
	var err error
	if s.ShmSize, err = strconv.ParseInt(orZero(r.param("shmsize")), 10, 64); err != nil {
		return invalid("invalid value %q for shmsize: want a whole number", r.param("shmsize"))
	}
	var limits []*container.Ulimit
	if text := r.param("ulimits"); text != "" {
		if err := json.Unmarshal([]byte(text), &limits); err != nil {
			return invalid("invalid ulimits: %v", err)
		}
	}
	for _, l := range limits {
		if l != nil {
			u := units.Ulimit{Name: l.Name, Soft: l.Soft, Hard: l.Hard}
			s.Ulimits = append(s.Ulimits, u.String())
		}
	}
	return nil
}

func orZero(text string) string {
	if text == "" {
		return "0"
	}
	return text
}

// buildLogins are the log-ins of registries that a client sends along.
func buildLogins(r *request) (*logins, error) {
	l := &logins{known: map[string]registry.AuthConfig{}}
	text := r.Header.Get("X-Registry-Config")
	if text == "" {
		return l, nil
	}
	data, err := base64.URLEncoding.DecodeString(text)
	if err != nil {
		data, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil || json.Unmarshal(data, &l.known) != nil {
		return nil, invalid("invalid X-Registry-Config header: want base64 of JSON")
	}
	return l, nil
}

// grpc connects a client with BuildKit's API.
func (s *Server) grpc(w *response, r *request) error {
	if s.opts.Build == nil {
		return fail(http.StatusNotImplemented, "this service cannot build images")
	}
	there, err := s.opts.Build(r.Context())
	if err != nil {
		return err
	}
	defer there.Close()
	here, err := w.upgrade(r, "application/vnd.docker.raw-stream")
	if err != nil {
		return err
	}
	defer here.Close()
	join(here, there)
	return nil
}

// join copies both ways until one side has ended.
func join(a, b io.ReadWriteCloser) {
	done := make(chan struct{}, 2)
	for _, way := range [][2]io.ReadWriteCloser{{a, b}, {b, a}} {
		go func() {
			io.Copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done
	a.Close()
	b.Close()
	<-done
}

// session connects a client's session with the builder.
func (s *Server) session(w *response, r *request) error {
	if r.Header.Get("X-Docker-Expose-Session-Uuid") == "" {
		return invalid("the header X-Docker-Expose-Session-Uuid is missing")
	}
	return s.withBuilder(r.Context(), func(c *buildkitd.Client) error {
		there, err := tunnel(r.Context(), c, r.Header)
		if err != nil {
			return err
		}
		defer there.Close()
		here, err := w.upgrade(r, "application/vnd.docker.raw-stream")
		if err != nil {
			return err
		}
		defer here.Close()
		join(here, there)
		return nil
	})
}

// buildCancel ends a build that was given an id.
func (s *Server) buildCancel(w *response, r *request) error {
	id := r.param("id")
	if id == "" {
		return invalid("build ID not provided")
	}
	s.builds.cancel(id)
	return w.empty(http.StatusOK)
}
