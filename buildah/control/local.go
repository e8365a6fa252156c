package control

import (
	"context"
	"net"

	"github.com/moby/buildkit/client"
	"google.golang.org/grpc/test/bufconn"
)

// Connect returns BuildKit's client of this server, in this process, and what ends the connection.
func (s *Server) Connect(ctx context.Context) (*client.Client, func(), error) {
	const buffer = 64 << 10
	listener := bufconn.Listen(buffer)
	server := s.GRPC()
	go server.Serve(listener) //nolint:errcheck // it ends with Stop
	c, err := client.New(ctx, "passthrough:///wherry",
		client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		client.WithSessionDialer(s.dialSession))
	if err != nil {
		server.Stop()
		return nil, nil, err
	}
	return c, func() { c.Close(); server.Stop() }, nil
}

// dialSession connects a session of this process without a tunnel through the Control service.
func (s *Server) dialSession(ctx context.Context, _ string, header map[string][]string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer ours.Close()
		_ = s.worker.Sessions.HandleConn(ctx, ours, header) // the client sees the end of the connection
	}()
	return theirs, nil
}
