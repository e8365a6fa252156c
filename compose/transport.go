package compose

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"

	"github.com/moby/moby/client"
)

// transport serves a handler to a client in the same process. Each connection is a pair of sockets and not a net.Pipe:
// attach and exec close one direction to say that the input is over, which a net.Pipe cannot tell.
type transport struct {
	handler func() (http.Handler, error)
	start   sync.Once
	failed  error
	conns   chan net.Conn
	done    chan struct{}
	server  *http.Server
}

func newTransport(handler func() (http.Handler, error)) *transport {
	return &transport{handler: handler, conns: make(chan net.Conn), done: make(chan struct{})}
}

// client returns Docker's client over the transport. Commands that ask for nothing never make the handler.
func (t *transport) client() (*client.Client, error) {
	return client.New(
		client.WithHost("unix:///wherry"), // only a name: dial goes where it goes
		client.WithDialContext(t.dial),
		client.WithUserAgent("compose"),
	)
}

// dial makes a connection to the handler.
func (t *transport) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	t.start.Do(t.serve)
	if t.failed != nil {
		return nil, t.failed
	}
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	select {
	case t.conns <- theirs:
		return ours, nil
	case <-t.done:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	ours.Close()
	theirs.Close()
	return nil, err
}

func (t *transport) serve() {
	handler, err := t.handler()
	if err != nil {
		t.failed = err
		return
	}
	t.server = &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	go t.server.Serve(t) // ends at close
}

// close ends the service; what it still does is cut off.
func (t *transport) close() {
	t.start.Do(func() { t.failed = net.ErrClosed })
	if t.server != nil {
		t.server.Close()
	}
}

// Accept is the listener's end.
func (t *transport) Accept() (net.Conn, error) {
	select {
	case conn := <-t.conns:
		return conn, nil
	case <-t.done:
		return nil, net.ErrClosed
	}
}

// Close is called by the server, once.
func (t *transport) Close() error {
	close(t.done)
	return nil
}

// Addr has no meaning here.
func (t *transport) Addr() net.Addr { return &net.UnixAddr{Name: "compose", Net: "unix"} }

// pair is two ends of one connection, each of which can be half closed.
func pair() (a, b net.Conn, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	a, errA := conn(fds[0])
	b, errB := conn(fds[1])
	if err := errors.Join(errA, errB); err != nil {
		return nil, nil, err
	}
	return a, b, nil
}

func conn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "compose")
	defer f.Close() // FileConn has a descriptor of its own
	return net.FileConn(f)
}
