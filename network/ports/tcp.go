package ports

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/network/nssocket"
	"github.com/wherry-containers/wherry/network/state"
)

const (
	// dialTime is how long a container may take to accept: its queue may be full for a moment.
	dialTime = 10 * time.Second
	// drain is how long connections of a container that is gone may still deliver what it had sent.
	drain = 300 * time.Millisecond
	// pause is the wait after an accept that failed for want of descriptors or memory.
	pause = 20 * time.Millisecond
)

// tcpPort is one listener and its connections.
type tcpPort struct {
	net.Listener
	to target

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

func listenTCP(ctx context.Context, p state.Port, to target) (io.Closer, uint16, error) {
	name, address, err := network(p)
	if err != nil {
		return nil, 0, err
	}
	config := net.ListenConfig{}
	config.SetMultipathTCP(false) // it would cost each connection, and the way to the container has one path
	l, err := config.Listen(ctx, name, address)
	if err != nil {
		return nil, 0, err
	}
	t := &tcpPort{Listener: l, to: to, conns: map[net.Conn]struct{}{}}
	go t.accept()
	return t, l.Addr().(*net.TCPAddr).AddrPort().Port(), nil
}

func (t *tcpPort) accept() {
	for {
		conn, err := t.Accept()
		switch {
		case err == nil:
			go t.serve(conn.(*net.TCPConn))
		case errors.Is(err, net.ErrClosed):
			return
		default: // EMFILE, ENFILE, ENOBUFS, ENOMEM or a client that went: none of them is the listener's end
			time.Sleep(pause)
		}
	}
}

// Close stops listening at once. The connections end when the container's last words have been passed on.
func (t *tcpPort) Close() error {
	err := t.Listener.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if len(t.conns) > 0 {
		time.AfterFunc(drain, t.cut)
	}
	return err
}

func (t *tcpPort) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		c.Close()
	}
}

func (t *tcpPort) track(c net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.conns[c] = struct{}{}
	}
	return !t.closed
}

func (t *tcpPort) forget(c net.Conn) {
	c.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

func (t *tcpPort) serve(client *net.TCPConn) {
	if !t.track(client) {
		reset(client)
		return
	}
	defer t.forget(client)
	container, err := t.to.dialTCP(unmap(client.RemoteAddr().(*net.TCPAddr).AddrPort()))
	if err != nil {
		reset(client)
		return
	}
	if !t.track(container) {
		container.Close()
		reset(client)
		return
	}
	defer t.forget(container)
	done := make(chan struct{})
	go func() {
		defer close(done)
		carry(container, client)
	}()
	carry(client, container)
	<-done
}

// dialTCP connects to the container with the client's address where that works, else with the gateway's.
func (t target) dialTCP(client netip.AddrPort) (conn *net.TCPConn, err error) {
	addr, origin, err := t.resolve(client)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(dialTime)
	for _, origin := range fallbacks(origin) {
		if conn, err = t.Namespace.DialTCP(addr, origin, deadline); err == nil || refused(err) {
			break
		}
	}
	return conn, err
}

// fallbacks are the ways to present a client, the best one first. A client on this very host has its address and port
// in use itself.
func fallbacks(o nssocket.Origin) []nssocket.Origin {
	if !o.From.IsValid() {
		return []nssocket.Origin{{}}
	}
	return []nssocket.Origin{o, {From: netip.AddrPortFrom(o.From.Addr(), 0), Mark: o.Mark}, {}}
}

// refused tells whether an answer came from the container: another try would only repeat it.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ETIMEDOUT)
}

// carry copies until from has said its last; splice(2) does it without a copy into memory of ours.
func carry(to, from *net.TCPConn) {
	_, err := to.ReadFrom(from)
	switch {
	case err == nil:
		to.CloseWrite()
	case errors.Is(err, net.ErrClosed):
	case dead(from): // the other shall not take this for a good end
		breakOff(to)
	default: // to hears no more; what it said before is still on its way in the other direction
		from.CloseRead()
	}
}

// dead tells whether a connection was reset or given up.
func dead(c *net.TCPConn) bool {
	const closed = 7 // TCP_CLOSE
	info, err := control(c, func(fd int) (*unix.TCPInfo, error) { return unix.GetsockoptTCPInfo(fd, unix.SOL_TCP, unix.TCP_INFO) })
	return err != nil || info.State == closed
}

// breakOff resets the connection, unless what its peer has not got yet would be lost by it: then it ends as any other.
func breakOff(c *net.TCPConn) {
	if unsent, err := control(c, func(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.SIOCOUTQ) }); err == nil && unsent == 0 {
		reset(c)
		return
	}
	c.CloseWrite()
}

func control[T any](c *net.TCPConn, ask func(fd int) (T, error)) (answer T, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return answer, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { answer, failed = ask(int(fd)) })
	return answer, errors.Join(err, failed)
}

// reset closes a connection so that its peer sees an error, not an end.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

// unmap makes of a client's address on a socket of both families that of its own family.
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// parseHost reads a host address as users write it, in brackets or not.
func parseHost(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return addr.Unmap(), err
}
