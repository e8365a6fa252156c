package ports

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/network/state"
)

const (
	// maxFlows is how many clients one UDP port has at a time; each costs a socket.
	maxFlows = 1024
	// flowIdle is how long a client is remembered after the last packet of either side; RFC 4787 REQ-5 wants two
	// minutes at least.
	flowIdle  = 2 * time.Minute
	maxPacket = 65535
)

// udpPort is one listener and the clients that have sent something to it.
type udpPort struct {
	*net.UDPConn
	to target

	mu     sync.Mutex
	closed bool
	flows  map[flowKey]*flow
}

// flowKey is a client and the address of the host that it sent to: the answer must come from there.
type flowKey struct {
	client netip.AddrPort
	host   netip.Addr
}

type flow struct {
	*net.UDPConn        // to the container
	oob          []byte // says which of the host's addresses the answers come from
	last         atomic.Int64
}

func listenUDP(ctx context.Context, p state.Port, to target) (io.Closer, uint16, error) {
	name, address, err := network(p)
	if err != nil {
		return nil, 0, err
	}
	l, err := new(net.ListenConfig).ListenPacket(ctx, name, address)
	if err != nil {
		return nil, 0, err
	}
	u := &udpPort{UDPConn: l.(*net.UDPConn), to: to, flows: map[flowKey]*flow{}}
	if err := u.wantDestination(); err != nil {
		u.UDPConn.Close()
		return nil, 0, err
	}
	go u.receive()
	return u, u.LocalAddr().(*net.UDPAddr).AddrPort().Port(), nil
}

// wantDestination has the kernel say with each packet which address it came to.
func (u *udpPort) wantDestination() error {
	raw, err := u.SyscallConn()
	if err != nil {
		return err
	}
	var v4, v6 error
	err = raw.Control(func(fd uintptr) {
		v4 = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_PKTINFO, 1)
		v6 = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
	if v4 != nil && v6 != nil { // a socket of one family has but one of them
		return errors.Join(err, v4)
	}
	return err
}

func (u *udpPort) receive() {
	oob := make([]byte, 128)
	for {
		if err := readable(u.UDPConn); errors.Is(err, net.ErrClosed) {
			return
		}
		u.receiveOne(oob)
	}
}

func (u *udpPort) receiveOne(oob []byte) {
	packet := buffers.Get().(*[maxPacket]byte)
	defer buffers.Put(packet)
	n, oobn, _, client, err := u.ReadMsgUDPAddrPort(packet[:], oob)
	if err != nil {
		return // an ICMP error of an earlier answer
	}
	f, err := u.flow(client, oob[:oobn])
	if err != nil {
		return // as a full queue would lose it
	}
	f.last.Store(time.Now().UnixNano())
	f.Write(packet[:n])
}

// readable waits for a packet. Nobody holds a buffer while he waits: there may be thousands of them.
func readable(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil
	})
}

// flow finds the client's flow or begins it.
func (u *udpPort) flow(client netip.AddrPort, oob []byte) (*flow, error) {
	key := flowKey{client, destination(oob)}
	u.mu.Lock()
	defer u.mu.Unlock()
	if f := u.flows[key]; f != nil {
		return f, nil
	}
	if u.closed || len(u.flows) >= maxFlows {
		return nil, net.ErrClosed
	}
	conn, err := u.to.dialUDP(unmap(client))
	if err != nil {
		return nil, err
	}
	f := &flow{UDPConn: conn, oob: source(key.host)}
	u.flows[key] = f
	go u.answer(key, f)
	return f, nil
}

func (t target) dialUDP(client netip.AddrPort) (conn *net.UDPConn, err error) {
	addr, origin, err := t.resolve(client)
	if err != nil {
		return nil, err
	}
	for _, origin := range fallbacks(origin) {
		if conn, err = t.Namespace.DialUDP(addr, origin); err == nil {
			break
		}
	}
	return conn, err
}

// answer passes the container's packets to the client until nobody has said anything for a while.
func (u *udpPort) answer(key flowKey, f *flow) {
	defer func() {
		f.Close()
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.flows, key)
	}()
	for {
		f.SetReadDeadline(time.Now().Add(flowIdle))
		err := readable(f.UDPConn)
		switch {
		case err == nil:
			u.answerOne(key.client, f)
		case errors.Is(err, os.ErrDeadlineExceeded):
			if time.Since(time.Unix(0, f.last.Load())) >= flowIdle {
				return
			}
		default:
			return
		}
	}
}

func (u *udpPort) answerOne(client netip.AddrPort, f *flow) {
	packet := buffers.Get().(*[maxPacket]byte)
	defer buffers.Put(packet)
	n, err := f.Read(packet[:])
	if err != nil {
		return // the container refused a packet; it may take the next one
	}
	u.WriteMsgUDPAddrPort(packet[:n], f.oob, client)
}

var buffers = sync.Pool{New: func() any { return new([maxPacket]byte) }}

// Close stops listening and forgets all clients.
func (u *udpPort) Close() error {
	err := u.UDPConn.Close()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for _, f := range u.flows {
		f.Close()
	}
	return err
}

// destination reads the address that a packet came to out of its control messages.
func destination(oob []byte) netip.Addr {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(m.Data[8:12])) // the header's destination
		case m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(m.Data[:16])).Unmap()
		}
	}
	return netip.Addr{}
}

// source makes the control message that lets an answer come from host.
func source(host netip.Addr) []byte {
	switch {
	case !host.IsValid() || host.IsMulticast() || host == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return nil
	case host.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: host.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: host.As16()})
}
