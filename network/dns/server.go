// Package dns answers the containers' questions for names: those of containers on their own networks from the roster,
// all others by asking the resolvers that the host uses at that moment.
//
// It listens on each network's gateway addresses and nowhere else. A question is answered for the network whose gateway
// it came to, and only to askers of that network's subnets, so one network learns nothing of another.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/wherry-containers/wherry/network/nssocket"
	"github.com/wherry-containers/wherry/network/roster"
)

// Bounds for one network, so that a container that asks without end takes no names from the others.
const (
	maxTCP      = 64  // connections
	maxForwards = 128 // questions under way to the host's resolvers
	maxPacket   = 4096
	// pause keeps the library from asking again at once after an accept that failed for want of descriptors.
	pause = 20 * time.Millisecond
)

// Config is what a Server needs.
type Config struct {
	Roster    *roster.Roster
	Namespace *nssocket.Namespace // where the networks' gateways are
	Port      uint16              // 0: 53
	HostConf  string              // the host's resolv.conf; empty: /etc/resolv.conf
	Asked     func()              // called at each question; may be nil
}

// Server listens on the gateways of networks.
type Server struct {
	Config
	forward *forwarder

	mu        sync.Mutex
	listeners map[netip.Addr]*listener
}

// listener is the pair of sockets on one gateway address.
type listener struct {
	network string
	udp     *net.UDPConn
	tcp     *net.TCPListener
}

// New makes a server that listens nowhere yet.
func New(c Config) *Server {
	if c.Port == 0 {
		c.Port = 53
	}
	if c.HostConf == "" {
		c.HostConf = "/etc/resolv.conf"
	}
	return &Server{Config: c, forward: newForwarder(c.HostConf), listeners: map[netip.Addr]*listener{}}
}

// Sync listens on the gateways of the networks that there are now, and no longer on those of others. A gateway that
// cannot be listened on is in the error and hinders no other.
func (s *Server) Sync(ctx context.Context, networks map[string]*roster.Network) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := map[netip.Addr]string{}
	for _, n := range networks {
		if n.DNSEnabled {
			for _, gateway := range n.Gateways {
				want[gateway.Unmap()] = n.Name
			}
		}
	}
	for addr, l := range s.listeners {
		if want[addr] != l.network {
			l.close()
			delete(s.listeners, addr)
		}
	}
	var failed error
	for addr, name := range want {
		if s.listeners[addr] != nil {
			continue
		}
		l, err := s.listen(ctx, addr, name)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		s.listeners[addr] = l
	}
	return failed
}

// Close stops listening.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for addr, l := range s.listeners {
		l.close()
		delete(s.listeners, addr)
	}
}

func (l *listener) close() {
	l.udp.Close()
	l.tcp.Close()
}

func (s *Server) listen(ctx context.Context, addr netip.Addr, network string) (*listener, error) {
	at := netip.AddrPortFrom(addr, s.Port)
	udp, err := s.Namespace.ListenUDP(at)
	if err != nil {
		return nil, cannotListen(err, at, network)
	}
	tcp, err := s.Namespace.ListenTCP(at)
	if err != nil {
		udp.Close()
		return nil, cannotListen(err, at, network)
	}
	h := &handler{Server: s, ctx: ctx, network: network, gateway: addr, forwards: make(chan struct{}, maxForwards)}
	idle := func() time.Duration { return 5 * time.Second }
	// Both return when their socket is closed; the error says only that.
	go (&dns.Server{PacketConn: udp, Handler: h, UDPSize: maxPacket}).ActivateAndServe()
	go (&dns.Server{Listener: &limited{TCPListener: tcp, free: make(chan struct{}, maxTCP)}, Handler: h, IdleTimeout: idle}).ActivateAndServe()
	return &listener{network, udp, tcp}, nil
}

func cannotListen(err error, at netip.AddrPort, network string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("names of network %q: %s is in use by another program (stop it, or make the network with --disable-dns)", network, at)
	}
	return fmt.Errorf("names of network %q: listen on %s: %w", network, at, err)
}

// limited has at most as many connections as free has places.
type limited struct {
	*net.TCPListener
	free chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	l.free <- struct{}{}
	conn, err := l.TCPListener.Accept()
	if err != nil {
		<-l.free
		if !errors.Is(err, net.ErrClosed) {
			time.Sleep(pause)
		}
		return nil, err
	}
	return &counted{Conn: conn, done: sync.OnceFunc(func() { <-l.free })}, nil
}

type counted struct {
	net.Conn
	done func()
}

func (c *counted) Close() error {
	defer c.done()
	return c.Conn.Close()
}

// handler answers what comes to one gateway.
type handler struct {
	*Server
	ctx      context.Context
	network  string
	gateway  netip.Addr
	forwards chan struct{}
}

// ServeDNS implements miekg/dns's Handler.
func (h *handler) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	if h.Asked != nil {
		h.Asked()
	}
	view := h.Roster.View()
	_, tcp := w.RemoteAddr().(*net.TCPAddr)
	size := dns.MaxMsgSize
	if !tcp {
		size = answerSize(query)
	}
	reply := h.reply(view, query, address(w.RemoteAddr()), tcp)
	if reply == nil {
		return
	}
	reply.Compress = true
	reply.Truncate(size)
	w.WriteMsg(reply)
}

func (h *handler) reply(view *roster.View, query *dns.Msg, client netip.Addr, tcp bool) *dns.Msg {
	n := view.Network(h.network)
	if n == nil || len(query.Question) != 1 {
		return failure(query, dns.RcodeRefused)
	}
	if !n.Covers(client) && client != h.gateway {
		return failure(query, dns.RcodeRefused)
	}
	if opt := query.IsEdns0(); opt != nil && opt.Version() != 0 {
		return failure(query, dns.RcodeBadVers)
	}
	if query.Opcode != dns.OpcodeQuery {
		return failure(query, dns.RcodeNotImplemented)
	}
	asker := askerOf(view, n, client)
	if reply := asker.answer(query); reply != nil {
		return reply
	}
	servers, ok := asker.upstream()
	if !ok {
		return failure(query, dns.RcodeNameError)
	}
	select {
	case h.forwards <- struct{}{}:
		defer func() { <-h.forwards }()
	default:
		return failure(query, dns.RcodeServerFailure)
	}
	return h.forward.ask(h.ctx, query, servers, tcp, h.dial(view))
}

// dial connects to a resolver: one that is itself a container is reached from where the networks are, any other from
// where the host's programs would ask it. Its stub on the loopback (systemd-resolved) is there only.
func (h *handler) dial(view *roster.View) dialer {
	return func(server netip.AddrPort, tcp bool, deadline time.Time) (net.Conn, error) {
		var from *nssocket.Namespace
		if view.Covers(server.Addr().WithZone("")) {
			from = h.Namespace
		}
		if tcp {
			return conn(from.DialTCP(server, nssocket.Origin{}, deadline))
		}
		return conn(from.DialUDP(server, nssocket.Origin{}))
	}
}

// conn keeps a nil pointer from becoming a connection.
func conn[C net.Conn](c C, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

func address(addr net.Addr) netip.Addr {
	switch a := addr.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap()
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// answerSize is how long an answer the asker takes over UDP.
func answerSize(query *dns.Msg) int {
	if opt := query.IsEdns0(); opt != nil {
		return max(dns.MinMsgSize, min(int(opt.UDPSize()), maxPacket))
	}
	return dns.MinMsgSize
}
