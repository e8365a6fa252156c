// Package api speaks Docker's Engine API over wherry's engine: a front end like the command line, with the same calls.
//
// One Server is one http.Handler. `wherry system service` lets it listen; Compose calls it in process. Handlers of one noun
// are in files of that name; the table of routes (route.go) names them all.
package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// Versions of Docker's API that the server speaks.
const (
	MaxVersion = "1.51"
	MinVersion = "1.24" // what asks for less than 1.41 is served as 1.41, as Docker 28 does
)

// Options says what a Server works on.
type Options struct {
	Engine  *libpod.Engine
	Dirs    layout.Dirs
	Getenv  func(string) string
	Version string       // wherry's
	Commit  string       // that it was built from
	Warn    func(string) // takes one line for whoever looks after the service; nil: dropped
	// EventsBackend says where events of images go (see package events); nil: the default.
	EventsBackend func() string
	// Build connects to the builder, which speaks BuildKit's API; nil: there is none.
	Build func(ctx context.Context) (net.Conn, error)
}

// Server answers Docker's API. It keeps nothing of containers and images: those are the engine's, on disk. Any number of
// servers may work side by side, and beside the command line.
type Server struct {
	opts   Options
	engine *libpod.Engine
	routes []compiled
	agent  string // the Server header
	execs  *execTable
	builds *buildTable
	runs   runTable
	work   *workload
}

// New returns a server. It does no I/O.
func New(opts Options) *Server {
	if opts.Warn == nil {
		opts.Warn = func(string) {}
	}
	if opts.Getenv == nil {
		opts.Getenv = func(string) string { return "" }
	}
	return &Server{
		opts: opts, engine: opts.Engine, routes: compile(routes()),
		agent:  fmt.Sprintf("wherry/%s (%s)", opts.Version, runtime.GOOS),
		execs:  newExecTable(opts.Dirs),
		builds: newBuildTable(),
		work:   newWorkload(),
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	defer s.work.begin()()
	w := &response{ResponseWriter: rw}
	r := &request{Request: req, version: maxVersion}
	h := w.Header()
	h.Set("Server", s.agent)
	h.Set("Api-Version", MaxVersion)
	h.Set("Docker-Experimental", "false")
	h.Set("Ostype", "linux")
	defer func() {
		p := recover()
		if p == http.ErrAbortHandler { //nolint:errorlint // it is the value itself that net/http looks for
			panic(p)
		}
		if p != nil {
			s.opts.Warn(fmt.Sprintf("%s %s: %v\n%s", req.Method, req.URL.Path, p, debug.Stack()))
			w.fail(fail(http.StatusInternalServerError, "the service made a mistake; its log says more"))
		}
	}()
	if err := s.dispatch(w, r); err != nil {
		w.fail(err)
	}
}

// dispatch takes the version off the path and calls what the rest of it names.
func (s *Server) dispatch(w *response, r *request) error {
	path := r.URL.Path
	if rest, ok := strings.CutPrefix(path, "/v"); ok {
		text, below, _ := strings.Cut(rest, "/")
		if v, ok, err := parseVersion(text); err != nil {
			return err
		} else if ok {
			r.version, path = v, "/"+below
		}
	}
	for i := range s.routes {
		if vars, ok := s.routes[i].match(r.Method, path); ok {
			if since := s.routes[i].since; since > r.version {
				return fail(http.StatusBadRequest, "%s %s needs API version 1.%d", r.Method, path, since)
			}
			r.vars = vars
			return s.routes[i].handle(s, w, r)
		}
	}
	return fail(http.StatusNotFound, "page not found")
}
