package api

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"

	"github.com/moby/moby/api/types"
	"golang.org/x/net/websocket"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/record"
)

// client is one that is attached to a container.
type client struct {
	stdin          io.Reader // nil: none is wanted
	stdout, stderr io.Writer
	detachKeys     string
	left           chan struct{} // closed when the detach keys were typed
	leftOnce       sync.Once
	inputEnd       chan struct{} // closed when stdin has come to its end
	endOnce        sync.Once
}

func newClient(detachKeys string) *client {
	return &client{detachKeys: detachKeys, left: make(chan struct{}), inputEnd: make(chan struct{})}
}

func (c *client) options() libpod.AttachOptions {
	return libpod.AttachOptions{Stdin: c.stdin, NoStdin: c.stdin == nil, Stdout: c.stdout, Stderr: c.stderr, DetachKeys: c.detachKeys}
}

func (c *client) leave() {
	if c != nil {
		c.leftOnce.Do(func() { close(c.left) })
	}
}

// attachment is a request to attach.
type attachment struct {
	id                    string
	doc                   *libpod.Inspect
	stdin, stdout, stderr bool
	logs, stream          bool
	detachKeys            string
}

func (s *Server) attachRequest(r *request) (*attachment, error) {
	a := &attachment{stdin: r.flag("stdin"), stdout: r.flag("stdout"), stderr: r.flag("stderr"), logs: r.flag("logs"), stream: r.flag("stream"), detachKeys: r.param("detachKeys")}
	if _, err := monitor.ParseDetachKeys(a.detachKeys); err != nil {
		return nil, invalid("invalid detach keys: %v", err)
	}
	var err error
	if a.id, err = s.container(r); err != nil {
		return nil, err
	}
	if a.doc, err = s.engine.Inspect(r.Context(), a.id); err != nil {
		return nil, err
	}
	if a.doc.State.Paused {
		return nil, fail(http.StatusConflict, "container %s is paused, unpause the container before attach", r.vars["id"])
	}
	return a, nil
}

func (s *Server) containerAttach(w *response, r *request) error {
	a, err := s.attachRequest(r)
	if err != nil {
		return err
	}
	// Known before the client is answered: it may start the container as soon as it is.
	run, leave := s.runs.join(a.id)
	defer leave()
	contentType := types.MediaTypeMultiplexedStream
	if a.doc.Config.Tty {
		contentType = types.MediaTypeRawStream
	}
	c := newClient(a.detachKeys)
	lazy := &lateConn{ready: make(chan struct{})}
	c.stdout, c.stderr = split(lazy, a.doc.Config.Tty, a.stdout, a.stderr)
	if a.stdin {
		c.stdin = &lastRead{Reader: lazy, ended: c.inputEnded}
	}
	first := a.stream && s.runs.attach(run, c)
	conn, err := w.upgrade(r, contentType)
	lazy.set(conn, err)
	if err != nil {
		s.runs.detach(run, c)
		return err
	}
	defer conn.Close()
	s.attached(context.WithoutCancel(r.Context()), a, c, run, first, conn)
	conn.closeWrite()
	return nil
}

// attached serves a client until the container ends, or it leaves.
func (s *Server) attached(ctx context.Context, a *attachment, c *client, run *run, first bool, conn net.Conn) {
	if a.logs {
		s.engine.Logs(ctx, a.id, libpod.LogsOptions{Tail: -1, Stdout: c.stdout, Stderr: c.stderr})
	}
	if !a.stream {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.watch(conn, cancel)
	if first && s.awaitStart(ctx, a.id, run) {
		s.followRun(ctx, c, run)
		return
	}
	if first && !s.runs.detach(run, c) { // it was started just now
		s.followRun(ctx, c, run)
		return
	}
	s.engine.Attach(ctx, a.id, c.options())
}

// followRun returns at the end of a run that the start of this server has connected the client to.
func (s *Server) followRun(ctx context.Context, c *client, run *run) {
	select {
	case <-run.done:
	case <-c.left:
	case <-ctx.Done():
	}
}

// awaitStart waits for a start: true where it is ours, which takes the run's client along, false where somebody else has
// started the container, or did before.
func (s *Server) awaitStart(ctx context.Context, id string, run *run) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	elsewhere := make(chan struct{})
	go func() {
		defer close(elsewhere)
		if status, err := s.engine.Status(ctx, id); err == nil && status != record.Running && status != record.Restarting {
			s.engine.Wait(ctx, id, "running")
		}
	}()
	select {
	case <-run.begun:
		return true
	case <-run.done:
		return true
	case <-elsewhere:
		return s.runs.isTaken(run)
	}
}

// watch calls gone when the client is not there any more. That it sends nothing more is no such sign: docker closes its
// half when its standard input ends.
func (c *client) watch(conn net.Conn, gone func()) {
	go func() {
		if c.stdin != nil { // somebody reads already, and a socket has one reader at a time
			<-c.inputEnd
		} else if _, err := io.Copy(io.Discard, conn); err != nil {
			gone()
			return
		}
		awaitHangup(conn, gone)
	}()
}

func (c *client) inputEnded() { c.endOnce.Do(func() { close(c.inputEnd) }) }

// lastRead tells when there is nothing left to read.
type lastRead struct {
	io.Reader
	ended func()
}

func (l *lastRead) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if err != nil {
		l.ended()
	}
	return n, err
}

// awaitHangup calls gone when the other side of a connection that nobody reads from is closed.
func awaitHangup(conn net.Conn, gone func()) {
	if c, ok := conn.(*connection); ok {
		conn = c.Conn
	}
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	system, ok := conn.(syscall.Conn)
	if !ok { // a pipe in memory: its end is that of both directions
		gone()
		return
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return
	}
	err = raw.Read(func(fd uintptr) bool { // is called again at each event
		fds := []unix.PollFd{{Fd: int32(fd)}}
		_, err := unix.Poll(fds, 0)
		return err == nil && fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
	if err == nil {
		gone()
	}
}

// lateConn is a connection that comes soon.
type lateConn struct {
	ready chan struct{}
	conn  net.Conn
	err   error
}

func (l *lateConn) set(conn *connection, err error) {
	if l.err = err; err == nil {
		l.conn = conn
	}
	close(l.ready)
}

func (l *lateConn) Read(p []byte) (int, error) {
	if <-l.ready; l.err != nil {
		return 0, l.err
	}
	return l.conn.Read(p)
}

func (l *lateConn) Write(p []byte) (int, error) {
	if <-l.ready; l.err != nil {
		return 0, l.err
	}
	return l.conn.Write(p)
}

// containerAttachSocket is attach over a websocket: the streams are not told apart.
func (s *Server) containerAttachSocket(w *response, r *request) error {
	a, err := s.attachRequest(r)
	if err != nil {
		return err
	}
	a.stdin, a.stdout, a.stderr, a.stream = true, true, true, a.stream || !r.given("stream")
	run, leave := s.runs.join(a.id)
	defer leave()
	w.hijacked = true
	server := websocket.Server{Handler: func(ws *websocket.Conn) {
		defer ws.Close()
		ws.PayloadType = websocket.BinaryFrame
		c := newClient(a.detachKeys)
		c.stdin, c.stdout, c.stderr = &lastRead{Reader: ws, ended: c.inputEnded}, ws, ws
		s.attached(context.WithoutCancel(r.Context()), a, c, run, a.stream && s.runs.attach(run, c), ws)
	}}
	server.ServeHTTP(hijackable{w.ResponseWriter}, r.Request)
	return nil
}

// hijackable gives a writer the method that websocket looks for.
type hijackable struct{ http.ResponseWriter }

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(h.ResponseWriter).Hijack()
}
