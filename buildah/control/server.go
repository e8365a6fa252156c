// Package control is BuildKit's Control service over our solver, so that BuildKit's own clients (its client library, in
// this process or another one, buildctl, docker buildx) build with it.
package control

import (
	"context"
	"fmt"
	"sync"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/api/types"
	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session/grpchijack"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	bridge "github.com/wherry-containers/wherry/buildah/gateway"
	"github.com/wherry-containers/wherry/buildah/solver"
)

// maxMessage is what BuildKit's clients send at most: a Dockerfile's definition with its source.
const maxMessage = 16 << 20

// Options configure a Server.
type Options struct {
	Worker    *solver.Worker
	Platforms []ocispecs.Platform // that steps can run for; this machine's first
	Version   string
	Exporter  Exporter
	Cache     Cache
	Remote    RemoteCaches
}

// Server serves builds. It belongs to one process.
type Server struct {
	controlapi.UnimplementedControlServer

	opts    Options
	worker  *solver.Worker
	gateway *bridge.Service

	mu     sync.Mutex
	builds map[string]*build
	order  []string      // refs of builds, the oldest first
	more   chan struct{} // closed, and made anew, when a build begins or ends
}

// New returns a server without builds.
func New(o Options) *Server {
	return &Server{opts: o, worker: o.Worker, gateway: bridge.NewService(), builds: map[string]*build{}, more: make(chan struct{})}
}

// GRPC returns a gRPC server that serves s.
func (s *Server) GRPC() *grpc.Server {
	g := grpc.NewServer(
		grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor), grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	controlapi.RegisterControlServer(g, s)
	s.gateway.Register(g)
	grpc_health_v1.RegisterHealthServer(g, health.NewServer())
	return g
}

// Session connects a client's session.
func (s *Server) Session(stream controlapi.Control_SessionServer) error {
	conn, closed, header := grpchijack.Hijack(stream)
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	go func() {
		select {
		case <-closed:
			cancel(context.Canceled)
		case <-ctx.Done():
		}
	}()
	return s.worker.Sessions.HandleConn(ctx, conn, header)
}

// workerID names our one worker.
const workerID = "wherry"

func (s *Server) workers() []gateway.WorkerInfo {
	return []gateway.WorkerInfo{{ID: workerID, Labels: labels, Platforms: s.opts.Platforms}}
}

var labels = map[string]string{"org.mobyproject.buildkit.worker.executor": "wherry"}

// ListWorkers lists the one worker there is.
func (s *Server) ListWorkers(context.Context, *controlapi.ListWorkersRequest) (*controlapi.ListWorkersResponse, error) {
	return &controlapi.ListWorkersResponse{Record: []*moby_buildkit_v1_types.WorkerRecord{{
		ID: workerID, Labels: labels, Platforms: pb.PlatformsFromSpec(s.opts.Platforms), BuildkitVersion: s.version(),
	}}}, nil
}

// Info says who we are. The version is BuildKit's, for its clients ask it what they may use.
func (s *Server) Info(context.Context, *controlapi.InfoRequest) (*controlapi.InfoResponse, error) {
	return &controlapi.InfoResponse{BuildkitVersion: s.version()}, nil
}

// speaks is the version of BuildKit whose API, frontend and LLB this is.
const speaks = "v0.33.1"

func (s *Server) version() *moby_buildkit_v1_types.BuildkitVersion {
	return &moby_buildkit_v1_types.BuildkitVersion{Package: "github.com/wherry-containers/wherry", Version: speaks, Revision: s.opts.Version}
}

// Status tells what happens in a build, from its beginning to its end.
func (s *Server) Status(req *controlapi.StatusRequest, stream controlapi.Control_StatusServer) error {
	if err := sendTime(stream); err != nil {
		return err
	}
	b, err := s.wait(stream.Context(), req.Ref)
	if err != nil {
		return err
	}
	return b.progress.Follow(stream.Context(), func(st *client.SolveStatus) error {
		for _, m := range st.Marshal() {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		return nil
	})
}

// sendTime tells the client what time it is here, by which it corrects what it shows.
func sendTime(stream grpc.ServerStream) error {
	return stream.SendHeader(metadata.Pairs("buildkit-current-timestamp", time.Now().Format(time.RFC3339Nano)))
}

// patience is how long a client may ask for a build that has not begun: its calls come over several streams.
const patience = 10 * time.Second

// wait finds a build, also one that begins soon.
func (s *Server) wait(ctx context.Context, ref string) (*build, error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		b, more := s.builds[ref], s.more
		s.mu.Unlock()
		if b != nil {
			return b, nil
		}
		select {
		case <-more:
		case <-timeout.C:
			return nil, status.Errorf(codes.NotFound, "no build %s", ref)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// remembered is how many builds that are over can still be asked about.
const remembered = 32

// add makes a build known.
func (s *Server) add(b *build) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.ref == "" {
		return status.Error(codes.InvalidArgument, "the build has no ref")
	}
	if s.builds[b.ref] != nil {
		return status.Errorf(codes.AlreadyExists, "build %s is there already", b.ref)
	}
	s.builds[b.ref] = b
	s.order = append(s.order, b.ref)
	for i := 0; i < len(s.order) && len(s.order) > remembered; {
		old := s.builds[s.order[i]]
		if old.completed.IsZero() {
			i++
			continue
		}
		delete(s.builds, old.ref)
		s.order = append(s.order[:i], s.order[i+1:]...)
	}
	s.wake()
	return nil
}

func (s *Server) wake() {
	close(s.more)
	s.more = make(chan struct{})
}

// errNotHere is for what BuildKit keeps in a daemon.
func errNotHere(what string) error {
	return status.Error(codes.Unimplemented, fmt.Sprintf("%s: wherry does not have that", what))
}
