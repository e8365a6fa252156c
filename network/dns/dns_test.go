package dns

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/wherry-containers/wherry/network/nettest"
	"github.com/wherry-containers/wherry/network/nssocket"
	"github.com/wherry-containers/wherry/network/roster"
	"github.com/wherry-containers/wherry/network/state"
)

func TestMain(m *testing.M) { os.Exit(nettest.Run(m, os.Args, os.Stdout)) }

// scene is two networks: front with web and api, back with db; both is on both.
type scene struct {
	*nettest.World
	t                  *testing.T
	server             *Server
	conf               string
	web, api, db, both *nettest.Container
}

const (
	frontGateway = "10.89.0.1"
	backGateway  = "10.90.0.1"
)

func id(digit string) string { return strings.Repeat(digit, 64) }

func newScene(t *testing.T) *scene {
	w := nettest.New(t)
	w.Network(state.Network{Name: "front"}, "10.89.0.1/24", "fd00:89::1/64")
	w.Network(state.Network{Name: "back"}, "10.90.0.1/24")
	s := &scene{World: w, t: t, conf: filepath.Join(t.TempDir(), "resolv.conf")}
	s.web = w.Container(state.Attachment{ID: id("a"), Name: "web", Networks: []state.Endpoint{{Aliases: []string{"site", "Pool"}}}},
		[]string{"front", "10.89.0.2/24", "fd00:89::2/64"})
	s.api = w.Container(state.Attachment{ID: id("b"), Name: "API_1", Hostname: "api-host", Networks: []state.Endpoint{{Aliases: []string{"pool"}}}},
		[]string{"front", "10.89.0.3/24"})
	s.db = w.Container(state.Attachment{ID: id("c"), Name: "db"}, []string{"back", "10.90.0.2/24"})
	s.both = w.Container(state.Attachment{ID: id("d"), Name: "both"}, []string{"front", "10.89.0.9/24"}, []string{"back", "10.90.0.9/24"})
	people, err := roster.New(w.Dir)
	if err != nil {
		t.Fatal(err)
	}
	go people.Watch(t.Context())
	s.hostServers()
	s.server = New(Config{Roster: people, Namespace: w.Inside, HostConf: s.conf})
	t.Cleanup(s.server.Close)
	if err := s.server.Sync(context.Background(), people.View().Networks()); err != nil {
		t.Fatal(err)
	}
	return s
}

// hostServers replaces the host's resolv.conf.
func (s *scene) hostServers(servers ...string) {
	text := "# of the test\n"
	for _, server := range servers {
		text += "nameserver " + server + "\n"
	}
	if err := os.WriteFile(s.conf+".new", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(s.conf+".new", s.conf); err != nil {
		s.t.Fatal(err)
	}
}

// ask sends a question from a namespace and returns the answer.
func (s *scene) ask(from *nssocket.Namespace, server, name string, kind uint16, change ...func(*dns.Msg)) *dns.Msg {
	s.t.Helper()
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(name), kind)
	for _, do := range change {
		do(query)
	}
	conn, err := from.DialUDP(netip.AddrPortFrom(netip.MustParseAddr(server), 53), nssocket.Origin{})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.exchange(query, &dns.Conn{Conn: conn})
}

func (s *scene) askTCP(from *nssocket.Namespace, server, name string, kind uint16) *dns.Msg {
	s.t.Helper()
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(name), kind)
	conn, err := from.DialTCP(netip.AddrPortFrom(netip.MustParseAddr(server), 53), nssocket.Origin{}, time.Now().Add(5*time.Second))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.exchange(query, &dns.Conn{Conn: conn})
}

func (s *scene) exchange(query *dns.Msg, conn *dns.Conn) *dns.Msg {
	s.t.Helper()
	defer conn.Close()
	client := dns.Client{Timeout: 6 * time.Second}
	reply, _, err := client.ExchangeWithConn(query, conn)
	if err != nil {
		s.t.Fatalf("%s: %v", query.Question[0].Name, err)
	}
	return reply
}

// said is an answer in short: its code, or what the records hold.
func said(m *dns.Msg) string {
	if m.Rcode != dns.RcodeSuccess {
		return dns.RcodeToString[m.Rcode]
	}
	var all []string
	for _, rr := range m.Answer {
		all = append(all, dns.Field(rr, 1))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestNamesOfANetwork(t *testing.T) {
	s := newScene(t)
	for _, test := range []struct {
		from   *nettest.Container
		server string
		name   string
		kind   uint16
		want   string
	}{
		{s.api, frontGateway, "web", dns.TypeA, "10.89.0.2"},
		{s.api, frontGateway, "WEB", dns.TypeA, "10.89.0.2"},
		{s.api, frontGateway, "web", dns.TypeAAAA, "fd00:89::2"},
		{s.web, "fd00:89::1", "web", dns.TypeA, "10.89.0.2"},
		{s.api, frontGateway, "site", dns.TypeA, "10.89.0.2"},
		{s.api, frontGateway, "aaaaaaaaaaaa", dns.TypeA, "10.89.0.2"},
		{s.web, frontGateway, "api_1", dns.TypeA, "10.89.0.3"},
		{s.web, frontGateway, "api-host", dns.TypeA, "10.89.0.3"},
		{s.web, frontGateway, "api_1", dns.TypeAAAA, ""}, // it is there, without such an address
		{s.web, frontGateway, "web", dns.TypeMX, ""},
		{s.web, frontGateway, "web.front", dns.TypeA, "10.89.0.2"},
		{s.web, frontGateway, "pool", dns.TypeA, "10.89.0.2 10.89.0.3"},
		{s.web, frontGateway, "pool", dns.TypeANY, "10.89.0.2 10.89.0.3 fd00:89::2"},
		{s.web, frontGateway, "3.0.89.10.in-addr.arpa", dns.TypePTR, "API_1."},
		{s.api, frontGateway, reverseName("fd00:89::2"), dns.TypePTR, "web."},
		{s.api, frontGateway, "77.0.89.10.in-addr.arpa", dns.TypePTR, "NXDOMAIN"},
		// other networks
		{s.web, frontGateway, "2.0.90.10.in-addr.arpa", dns.TypePTR, "NXDOMAIN"},
		{s.db, backGateway, "2.0.90.10.in-addr.arpa", dns.TypePTR, "db."},
		{s.db, backGateway, "both", dns.TypeA, "10.90.0.9"},
		{s.web, frontGateway, "both", dns.TypeA, "10.89.0.9"},
		{s.both, frontGateway, "db", dns.TypeA, "10.90.0.2"}, // asked through the first network, known by the second
		{s.both, frontGateway, "db.back", dns.TypeA, "10.90.0.2"},
		{s.web, backGateway, "db", dns.TypeA, "REFUSED"},
	} {
		got := s.ask(test.from.Namespace, test.server, test.name, test.kind)
		if said(got) != test.want {
			t.Errorf("%s asks %s for %s %s: %q, want %q", test.from.Attachment.Name, test.server, test.name, dns.TypeToString[test.kind], said(got), test.want)
		}
		if got := s.askTCP(test.from.Namespace, test.server, test.name, test.kind); said(got) != test.want {
			t.Errorf("over TCP: %s: %q, want %q", test.name, said(got), test.want)
		}
	}
}

func reverseName(addr string) string {
	name, err := dns.ReverseAddr(addr)
	if err != nil {
		panic(err)
	}
	return name
}

func TestSharedNamesTakeTurns(t *testing.T) {
	s := newScene(t)
	first := map[string]int{}
	for range 10 {
		first[dns.Field(s.ask(s.db.Namespace, backGateway, "both", dns.TypeA).Answer[0], 1)]++
		first[dns.Field(s.ask(s.web.Namespace, frontGateway, "pool", dns.TypeA).Answer[0], 1)]++
	}
	if first["10.89.0.2"] != 5 || first["10.89.0.3"] != 5 {
		t.Errorf("first answers: %v", first)
	}
}

func TestNamesFollowTheFilesAtOnce(t *testing.T) {
	s := newScene(t)
	ask := func() string { return said(s.ask(s.web.Namespace, frontGateway, "late", dns.TypeA)) }
	s.hostServers("192.0.2.99") // nobody there
	upstream(t, nettest.Host, map[string]string{})
	s.hostServers(nettest.Host.String())
	if got := ask(); got != "NXDOMAIN" {
		t.Errorf("before: %q", got)
	}
	for i := range 20 {
		addr := fmt.Sprintf("10.89.0.%d", 100+i)
		a := *s.api.Attachment
		a.ID, a.Name = id("e"), "late"
		a.Networks = []state.Endpoint{{Network: "front", IPs: []netip.Prefix{netip.MustParsePrefix(addr + "/24")}}}
		if err := s.Dir.WriteAttachment(&a); err != nil {
			t.Fatal(err)
		}
		if got := ask(); got != addr {
			t.Fatalf("written, then asked: %q, want %q", got, addr)
		}
		if err := s.Dir.RemoveAttachment(a.ID); err != nil {
			t.Fatal(err)
		}
		if got := ask(); got != "NXDOMAIN" {
			t.Fatalf("removed, then asked: %q", got)
		}
	}
}

func TestTheDeadHaveNoName(t *testing.T) {
	s := newScene(t)
	if got := said(s.ask(s.web.Namespace, frontGateway, "pool", dns.TypeA)); got != "10.89.0.2 10.89.0.3" {
		t.Fatal(got)
	}
	s.api.Kill() // its file stays
	eventually(t, "the dead one's address is gone", func() bool {
		return said(s.ask(s.web.Namespace, frontGateway, "pool", dns.TypeA)) == "10.89.0.2"
	})
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

// upstream is a resolver on the host that knows some names; "big" has too many addresses for a packet.
func upstream(t *testing.T, at netip.Addr, known map[string]string) {
	t.Helper()
	upstreamIn(t, nil, at, known)
}

func upstreamIn(t *testing.T, host *nssocket.Namespace, at netip.Addr, known map[string]string) {
	t.Helper()
	answer := func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		name := strings.TrimSuffix(q.Question[0].Name, ".")
		switch {
		case name == "big":
			for i := range 200 {
				m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: []byte{198, 51, 100, byte(i)}})
			}
		case name == "broken":
			m.Rcode = dns.RcodeServerFailure
		case known[name] == "":
			m.Rcode = dns.RcodeNameError
		default:
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: netip.MustParseAddr(known[name]).AsSlice()}}
		}
		if w.LocalAddr().Network() == "udp" {
			m.Truncate(answerSize(q))
		}
		w.WriteMsg(m)
	}
	udp, err := host.ListenUDP(netip.AddrPortFrom(at, 53))
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := host.ListenTCP(netip.AddrPortFrom(at, 53))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close(); tcp.Close() })
	go (&dns.Server{PacketConn: udp, Handler: dns.HandlerFunc(answer)}).ActivateAndServe()
	go (&dns.Server{Listener: tcp, Handler: dns.HandlerFunc(answer)}).ActivateAndServe()
}

func TestOtherNamesAreTheHosts(t *testing.T) {
	s := newScene(t)
	loopback := netip.MustParseAddr("127.0.0.53") // systemd's stub: reached in the host's namespace only
	upstream(t, loopback, map[string]string{"example.org": "198.51.100.1"})
	upstream(t, nettest.Host, map[string]string{"example.org": "198.51.100.2", "web": "198.51.100.3"})
	ask := func(name string) string {
		return said(s.ask(s.web.Namespace, frontGateway, name, dns.TypeA))
	}
	s.hostServers("127.0.0.53")
	if got := ask("example.org"); got != "198.51.100.1" {
		t.Errorf("the host's stub: %q", got)
	}
	s.hostServers(nettest.Host.String()) // the laptop came into another network
	if got := ask("example.org"); got != "198.51.100.2" {
		t.Errorf("another resolv.conf: %q", got)
	}
	if got := ask("web"); got != "10.89.0.2" {
		t.Errorf("a container's name was asked for outside: %q", got)
	}
	for name, want := range map[string]string{"nobody.example": "NXDOMAIN", "broken": "SERVFAIL", "db": "NXDOMAIN"} {
		if got := ask(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	s.hostServers("127.0.0.77", "127.0.0.53") // the first one is dead
	if got := ask("example.org"); got != "198.51.100.1" {
		t.Errorf("second resolver: %q", got)
	}
	s.hostServers("127.0.0.77")
	if got := ask("example.org"); got != "SERVFAIL" {
		t.Errorf("no resolver: %q", got)
	}
}

func TestLongAnswersComeOverTCP(t *testing.T) {
	s := newScene(t)
	upstream(t, nettest.Host, nil)
	s.hostServers(nettest.Host.String())
	short := s.ask(s.web.Namespace, frontGateway, "big", dns.TypeA)
	short.Compress = true
	if !short.Truncated || short.Len() > dns.MinMsgSize {
		t.Errorf("over UDP: truncated %v, %d bytes", short.Truncated, short.Len())
	}
	whole := s.askTCP(s.web.Namespace, frontGateway, "big", dns.TypeA)
	if whole.Truncated || len(whole.Answer) != 200 {
		t.Errorf("over TCP: truncated %v, %d records", whole.Truncated, len(whole.Answer))
	}
	edns := s.ask(s.web.Namespace, frontGateway, "big", dns.TypeA, func(q *dns.Msg) { q.SetEdns0(4096, false) })
	if edns.Truncated || len(edns.Answer) != 200 {
		t.Errorf("with EDNS: truncated %v, %d records", edns.Truncated, len(edns.Answer))
	}
	bad := s.ask(s.web.Namespace, frontGateway, "web", dns.TypeA, func(q *dns.Msg) {
		q.SetEdns0(1232, false)
		q.IsEdns0().SetVersion(1)
	})
	if bad.Rcode != dns.RcodeBadVers {
		t.Errorf("EDNS version 1: %s", said(bad))
	}
}

func TestServersOfTheNetworkAndInternalOnes(t *testing.T) {
	s := newScene(t)
	s.Network(state.Network{Name: "own", DNSServers: []netip.Addr{nettest.Host}}, "10.91.0.1/24")
	s.Network(state.Network{Name: "shut", Internal: true}, "10.92.0.1/24")
	one := s.Container(state.Attachment{ID: id("1"), Name: "one"}, []string{"own", "10.91.0.2/24"})
	two := s.Container(state.Attachment{ID: id("2"), Name: "two"}, []string{"shut", "10.92.0.2/24"})
	three := s.Container(state.Attachment{ID: id("3"), Name: "three"}, []string{"shut", "10.92.0.3/24"}, []string{"own", "10.91.0.3/24"})
	if err := s.server.Sync(context.Background(), s.server.Roster.View().Networks()); err != nil {
		t.Fatal(err)
	}
	four := s.Container(state.Attachment{ID: id("4"), Name: "four", DNS: []string{"127.0.0.54"}}, []string{"own", "10.91.0.4/24"})
	five := s.Container(state.Attachment{ID: id("5"), Name: "five", DNS: []string{"10.91.0.2"}}, []string{"own", "10.91.0.5/24"})
	upstream(t, nettest.Host, map[string]string{"example.org": "198.51.100.2"})
	upstream(t, netip.MustParseAddr("127.0.0.54"), map[string]string{"example.org": "198.51.100.4"})
	upstreamIn(t, one.Namespace, netip.MustParseAddr("10.91.0.2"), map[string]string{"example.org": "198.51.100.5"}) // a resolver in a container
	s.hostServers("127.0.0.77")
	for _, test := range []struct {
		from         *nettest.Container
		server, want string
	}{
		{one, "10.91.0.1", "198.51.100.2"},
		{two, "10.92.0.1", "NXDOMAIN"},
		{three, "10.92.0.1", "198.51.100.2"},
		{four, "10.91.0.1", "198.51.100.4"},
		{five, "10.91.0.1", "198.51.100.5"},
	} {
		if got := said(s.ask(test.from.Namespace, test.server, "example.org", dns.TypeA)); got != test.want {
			t.Errorf("%s: %q, want %q", test.from.Attachment.Name, got, test.want)
		}
	}
	if got := said(s.ask(two.Namespace, "10.92.0.1", "three", dns.TypeA)); got != "10.92.0.3" {
		t.Errorf("a name on an internal network: %q", got)
	}
}

func TestListensOnlyOnWhatThereIs(t *testing.T) {
	s := newScene(t)
	if err := s.Dir.RemoveNetwork("back"); err != nil {
		t.Fatal(err)
	}
	networks := s.server.Roster.View().Networks()
	if err := s.server.Sync(context.Background(), networks); err != nil || len(s.server.listeners) != 2 {
		t.Errorf("%v, %v", s.server.listeners, err)
	}
	taken, err := s.Inside.ListenUDP(netip.MustParseAddrPort("10.90.0.1:53"))
	if err != nil {
		t.Fatalf("the gateway of a network that is gone is still listened on: %v", err)
	}
	defer taken.Close()
	if err := s.Dir.WriteNetwork(&state.Network{Name: "back", DNSEnabled: true, Gateways: []netip.Addr{netip.MustParseAddr(backGateway)}}); err != nil {
		t.Fatal(err)
	}
	err = s.server.Sync(context.Background(), s.server.Roster.View().Networks())
	if err == nil || !strings.Contains(err.Error(), `names of network "back": 10.90.0.1:53 is in use by another program`) {
		t.Error(err)
	}
	if got := said(s.ask(s.web.Namespace, frontGateway, "web", dns.TypeA)); got != "10.89.0.2" {
		t.Errorf("another network suffers: %q", got)
	}
}

func TestReverse(t *testing.T) {
	for name, want := range map[string]string{
		"4.3.2.1.in-addr.arpa": "1.2.3.4", "04.3.2.1.in-addr.arpa": "", "3.2.1.in-addr.arpa": "", "x.3.2.1.in-addr.arpa": "",
		"5.4.3.2.1.in-addr.arpa": "", "example.org": "", "in-addr.arpa": "", "ip6.arpa": "",
		strings.TrimSuffix(reverseName("2001:db8::567:89ab"), "."): "2001:db8::567:89ab",
		strings.Repeat("0.", 31) + "g.ip6.arpa":                    "",
		strings.Repeat("00", 31) + "0.ip6.arpa":                    "",
	} {
		addr, ok := reverse(name)
		if ok != (want != "") || ok && addr.String() != want {
			t.Errorf("%s: %v, %v, want %q", name, addr, ok, want)
		}
	}
}

func FuzzReverse(f *testing.F) {
	f.Add("4.3.2.1.in-addr.arpa")
	f.Add(strings.TrimSuffix(reverseName("2001:db8::567:89ab"), "."))
	f.Fuzz(func(t *testing.T, name string) {
		if addr, ok := reverse(name); ok {
			if back := strings.TrimSuffix(reverseName(addr.String()), "."); back != name && !addr.Is4In6() {
				t.Errorf("%q is %v, which is %q", name, addr, back)
			}
		}
	})
}
