package ports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/network/nettest"
	"github.com/wherry-containers/wherry/network/nssocket"
	"github.com/wherry-containers/wherry/network/roster"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/network/transparent"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func TestMain(m *testing.M) { os.Exit(nettest.Run(m, os.Args, os.Stdout)) }

// scene is a container web whose ports tell who asks, and another one.
type scene struct {
	*nettest.World
	t          *testing.T
	web, other *nettest.Container
	forwarder  *Forwarder
	mark       atomic.Int32 // what the forwarder is told
}

func id(digit string) string { return strings.Repeat(digit, 64) }

func newScene(t *testing.T) *scene {
	s := &scene{World: nettest.New(t), t: t}
	s.Network(state.Network{Name: "front"}, "10.89.0.1/24", "fd00:89::1/64")
	s.web = s.Container(state.Attachment{ID: id("a"), Name: "web"}, []string{"front", "10.89.0.2/24", "fd00:89::2/64"})
	s.other = s.Container(state.Attachment{ID: id("b"), Name: "other"}, []string{"front", "10.89.0.3/24"})
	people, err := roster.New(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Inside.Do(transparent.Set); err != nil {
		t.Logf("clients' addresses cannot be kept here: %v", err)
	} else {
		s.mark.Store(transparent.Mark)
	}
	s.forwarder = New(Config{Roster: people, Namespace: s.Inside, Transparent: func() int { return int(s.mark.Load()) }})
	people.OnGone(s.forwarder.Gone)
	people.View()
	go people.Watch(t.Context())
	t.Cleanup(func() { s.forwarder.Close(id("a")); s.forwarder.Close(id("b")) })
	for _, c := range []*nettest.Container{s.web, s.other} {
		s.serve(c, 80)
	}
	return s
}

// serve answers in the container on TCP and UDP, each connection and packet with the address of who speaks.
func (s *scene) serve(c *nettest.Container, port uint16) {
	for _, ip := range c.Attachment.Networks[0].IPs {
		at := netip.AddrPortFrom(ip.Addr(), port)
		tcp, err := c.ListenTCP(at)
		if err != nil {
			s.t.Fatal(err)
		}
		udp, err := c.ListenUDP(at)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { tcp.Close(); udp.Close() })
		go func() {
			for {
				conn, err := tcp.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					fmt.Fprintf(conn, "%s\n", conn.RemoteAddr())
					io.Copy(conn, conn)
				}()
			}
		}()
		go func() {
			packet := make([]byte, 100)
			for {
				_, from, err := udp.ReadFromUDPAddrPort(packet)
				if err != nil {
					return
				}
				udp.WriteToUDPAddrPort([]byte(from.String()), from)
			}
		}()
	}
}

func (s *scene) expose(container string, wants ...Want) []state.Port {
	s.t.Helper()
	got, err := s.forwarder.Expose(s.t.Context(), container, wants)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func tcp(host string, port uint16) Want {
	return Want{Port: state.Port{HostIP: host, HostPort: port, ContainerPort: 80, Protocol: "tcp"}}
}

func udp(host string, port uint16) Want {
	w := tcp(host, port)
	w.Protocol = "udp"
	return w
}

// talk sends body from a namespace and returns whom the container saw and what came back.
func talk(from *nssocket.Namespace, to netip.AddrPort, body []byte) (seen netip.Addr, echo []byte, err error) {
	conn, err := from.DialTCP(to, nssocket.Origin{}, time.Now().Add(3*time.Second))
	if err != nil {
		return seen, nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	go func() {
		conn.Write(body)
		conn.CloseWrite()
	}()
	all, err := io.ReadAll(conn)
	if err != nil {
		return seen, nil, err
	}
	line, echo, _ := bytes.Cut(all, []byte("\n"))
	return parsePeer(string(line)), echo, nil
}

func talkUDP(from *nssocket.Namespace, to netip.AddrPort) (netip.Addr, error) {
	conn, err := from.DialUDP(to, nssocket.Origin{})
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := conn.Write([]byte("hello")); err != nil {
		return netip.Addr{}, err
	}
	packet := make([]byte, 100)
	n, err := conn.Read(packet)
	return parsePeer(string(packet[:n])), err
}

func parsePeer(text string) netip.Addr {
	peer, _ := netip.ParseAddrPort(text)
	return peer.Addr().Unmap()
}

func TestContainersSeeTheirClients(t *testing.T) {
	s := newScene(t)
	if s.mark.Load() == 0 {
		t.Skip("no nftables here")
	}
	s.expose(id("a"), tcp("", 8080), udp("", 8080))
	own := (*nssocket.Namespace)(nil)
	loopback, loopback6 := netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()
	gateway, gateway6 := netip.MustParseAddr("10.89.0.1"), netip.MustParseAddr("fd00:89::1")
	body := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	for _, test := range []struct {
		from     *nssocket.Namespace
		to, want netip.Addr
	}{
		{s.Outside, nettest.Host, nettest.Client},
		{s.Outside, nettest.Host6, nettest.Client6},
		{own, nettest.Host, nettest.Host},
		{own, loopback, gateway},
		{own, loopback6, gateway6},
	} {
		to := netip.AddrPortFrom(test.to, 8080)
		seen, echo, err := talk(test.from, to, body)
		if err != nil || seen != test.want || !bytes.Equal(echo, body) {
			t.Errorf("tcp to %s: seen as %s, want %s; %d of %d bytes back; %v", to, seen, test.want, len(echo), len(body), err)
		}
		if seen, err := talkUDP(test.from, to); err != nil || seen != test.want {
			t.Errorf("udp to %s: seen as %s, want %s; %v", to, seen, test.want, err)
		}
	}
}

func TestWithoutRulesTheGatewayIsSeen(t *testing.T) {
	s := newScene(t)
	s.mark.Store(0)
	s.expose(id("a"), tcp("", 8080), udp("", 8080))
	to := netip.AddrPortFrom(nettest.Host, 8080)
	if seen, _, err := talk(s.Outside, to, nil); err != nil || seen.String() != "10.89.0.1" {
		t.Errorf("tcp: %s, %v", seen, err)
	}
	if seen, err := talkUDP(s.Outside, to); err != nil || seen.String() != "10.89.0.1" {
		t.Errorf("udp: %s, %v", seen, err)
	}
}

func TestAnOldContainerServesNewClients(t *testing.T) { // IPv6 clients of a container without IPv6
	s := newScene(t)
	s.expose(id("b"), tcp("", 8081))
	if seen, _, err := talk(s.Outside, netip.AddrPortFrom(nettest.Host6, 8081), nil); err != nil || seen.String() != "10.89.0.1" {
		t.Errorf("%s, %v", seen, err)
	}
}

func TestHostAddressesAreKeptTo(t *testing.T) {
	s := newScene(t)
	s.expose(id("a"), tcp("127.0.0.1", 8080), tcp("::1", 8080), tcp("192.0.2.1", 9090))
	for to, open := range map[string]bool{"127.0.0.1:8080": true, "[::1]:8080": true, "192.0.2.1:8080": false, "192.0.2.1:9090": true, "127.0.0.1:9090": false} {
		if _, _, err := talk(nil, netip.MustParseAddrPort(to), nil); (err == nil) != open {
			t.Errorf("%s: open %v, want %v: %v", to, err == nil, open, err)
		}
	}
}

func TestPortsInUse(t *testing.T) {
	s := newScene(t)
	s.expose(id("a"), tcp("", 8080), tcp("127.0.0.1", 8090))
	taken, err := net.Listen("tcp", "127.0.0.1:8888")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, test := range []struct {
		want Want
		text string
	}{
		{tcp("", 8080), `port 8080/tcp is in use by container "web" (stop it, or publish another port)`},
		{tcp("127.0.0.1", 8080), `port 8080/tcp is in use by container "web"`},
		{tcp("", 8090), `port 8090/tcp is in use by container "web"`},
		{tcp("0.0.0.0", 8888), `port 8888/tcp is in use by another program`},
		{tcp("198.51.100.1", 8081), `port 8081/tcp: 198.51.100.1 is not an address of this machine`},
		{tcp("nowhere", 8081), `"nowhere" is no IP address`},
		{Want{Port: state.Port{HostPort: 8081, ContainerPort: 80, Protocol: "sctp"}}, `port 80/sctp: SCTP cannot be published`},
		{Want{Port: state.Port{HostPort: 8081, ContainerPort: 80, Protocol: "icmp"}}, `unknown protocol "icmp"`},
	} {
		_, err := s.forwarder.Expose(t.Context(), id("b"), []Want{tcp("", 8070), test.want})
		if err == nil || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%v: %v, want %s", test.want, err, test.text)
		}
		if inUse(err) || strings.Contains(test.text, "in use") && !errors.Is(err, errdefs.ErrInUse) {
			t.Errorf("%v: kind of %v", test.want, err)
		}
		if l, err := net.Listen("tcp", ":8070"); err != nil {
			t.Errorf("after %q: the other port of the same request is left listening: %v", test.text, err)
		} else {
			l.Close()
		}
	}
	if _, err := s.forwarder.Expose(t.Context(), id("f"), []Want{tcp("", 8070)}); err == nil || !strings.Contains(err.Error(), "is not on any network") {
		t.Error(err)
	}
}

func TestFreePortsAreFound(t *testing.T) {
	s := newScene(t)
	taken, err := net.Listen("tcp", ":8000")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	seen := map[uint16]bool{}
	ranged := tcp("", 8000)
	ranged.End = 8002
	for range 2 {
		for _, p := range s.expose(id("a"), ranged, tcp("", 0), tcp("127.0.0.1", 0), udp("", 0)) {
			if p.HostPort == 0 {
				t.Errorf("%v", p)
			}
			seen[p.HostPort] = true
		}
	}
	if !seen[8001] || len(seen) != 4 { // asked twice, given once
		t.Errorf("got %v", seen)
	}
	other := s.expose(id("b"), ranged)
	if other[0].HostPort != 8002 {
		t.Errorf("the last of the range: %v", other)
	}
	s.forwarder.Close(id("a"))
	s.expose(id("a"), tcp("", 8001))
	_, err = s.forwarder.Expose(t.Context(), id("b"), []Want{ranged, ranged})
	if err == nil || !strings.HasPrefix(err.Error(), "ports 8000-8002/tcp are all in use; the last one: port 8002/tcp is in use by container") {
		t.Error(err)
	}
}

func TestNothingListensAfterTheContainer(t *testing.T) {
	s := newScene(t)
	s.expose(id("a"), tcp("", 8080), udp("", 8080))
	s.expose(id("b"), tcp("", 8081))
	conn, err := net.Dial("tcp", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s.web.Kill() // nobody says unexpose
	eventually(t, "the ports are free", func() bool {
		l, err := net.Listen("tcp", ":8080")
		if err != nil {
			return false
		}
		l.Close()
		u, err := net.ListenPacket("udp", ":8080")
		if err == nil {
			u.Close()
		}
		return err == nil
	})
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a connection outlives its container")
	}
	if _, _, err := talk(nil, netip.MustParseAddrPort("127.0.0.1:8081"), nil); err != nil {
		t.Errorf("another container's port: %v", err)
	}
	s.forwarder.Close(id("b"))
	if _, _, err := talk(nil, netip.MustParseAddrPort("127.0.0.1:8081"), nil); err == nil {
		t.Error("listens after unexpose")
	}
}

func TestClosedContainerPortsResetTheClient(t *testing.T) {
	s := newScene(t)
	s.expose(id("a"), Want{Port: state.Port{HostPort: 8082, ContainerPort: 81, Protocol: "tcp"}})
	_, _, err := talk(nil, netip.MustParseAddrPort("127.0.0.1:8082"), nil)
	if err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("nobody listens in the container, the client saw %v", err)
	}
}

func TestPortsFollowTheContainersAddress(t *testing.T) {
	s := newScene(t)
	s.expose(id("a"), tcp("", 8080))
	moved := *s.web.Attachment
	moved.Networks = s.other.Attachment.Networks
	if err := s.Dir.WriteAttachment(&moved); err != nil {
		t.Fatal(err)
	}
	if _, _, err := talk(nil, netip.MustParseAddrPort("127.0.0.1:8080"), nil); err != nil {
		t.Error(err)
	}
	view := s.forwarder.Roster.View()
	if addr, ok := reachable(view, view.Container(id("a")), true); !ok || addr.String() != "10.89.0.3" {
		t.Error(addr, ok)
	}
}

func TestSyncListensAgain(t *testing.T) {
	s := newScene(t)
	a := *s.web.Attachment
	a.Ports = []state.Port{tcp("", 8080).Port, tcp("", 8888).Port, tcp("", 0).Port}
	if err := s.Dir.WriteAttachment(&a); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", ":8888")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.forwarder.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), `container "web": port 8888/tcp is in use by another program`) {
		t.Error(err)
	}
	taken.Close()
	if err := s.forwarder.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	for _, port := range []uint16{8080, 8888} {
		if _, _, err := talk(nil, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), nil); err != nil {
			t.Error(port, err)
		}
	}
	if err := s.Dir.RemoveAttachment(a.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.forwarder.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	if len(s.forwarder.published) != 0 {
		t.Errorf("%v", s.forwarder.published)
	}
}

func TestHundredsOfPorts(t *testing.T) {
	s := newScene(t)
	var wants []Want
	for i := range uint16(400) {
		wants = append(wants, tcp("", 20000+i), udp("", 20000+i))
	}
	begin := time.Now()
	s.expose(id("a"), wants...)
	t.Logf("800 ports in %v", time.Since(begin))
	if _, err := talkUDP(nil, netip.MustParseAddrPort("127.0.0.1:20399")); err != nil {
		t.Error(err)
	}
}

func TestUDPAnswersComeFromTheAddressThatWasAsked(t *testing.T) {
	s := newScene(t)
	s.expose(id("a"), udp("", 8080))
	for _, to := range []string{"127.0.0.1:8080", "127.0.0.2:8080", "192.0.2.1:8080", "[::1]:8080", "[2001:db8::1]:8080"} {
		// The socket is connected: it hears only who was asked.
		if _, err := talkUDP(nil, netip.MustParseAddrPort(to)); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
}

func TestLowPortsNameTheSysctl(t *testing.T) {
	err := New(Config{}).explain(syscall.EACCES, tcp("", 80).Port)
	want := `port 80/tcp: ports below 1024 are for root (publish a higher one, or allow it: sudo sysctl net.ipv4.ip_unprivileged_port_start=80)`
	if err.Error() != want {
		t.Error(err)
	}
}

func TestOverlap(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"", "127.0.0.1", true}, {"", "::1", true}, {"0.0.0.0", "127.0.0.1", true}, {"0.0.0.0", "::1", false},
		{"::", "127.0.0.1", false}, {"127.0.0.1", "127.0.0.2", false}, {"x", "127.0.0.1", false}, {"::ffff:127.0.0.1", "127.0.0.1", true},
	} {
		if overlap(test.a, test.b) != test.want || overlap(test.b, test.a) != test.want {
			t.Errorf("%q and %q: want %v", test.a, test.b, test.want)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("not in time: %s", what)
}
