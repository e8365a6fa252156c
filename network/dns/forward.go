package dns

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/wherry-containers/wherry/network/resolvconf"
)

// An asker's own patience is 5 seconds a try: it should hear of a failure before that.
const (
	maxServers = 3
	perTry     = 1500 * time.Millisecond
	inAll      = 4500 * time.Millisecond
)

// dialer connects to a resolver.
type dialer func(server netip.AddrPort, tcp bool, deadline time.Time) (net.Conn, error)

// forwarder passes questions on to the resolvers of the host's resolv.conf as it is at that moment: a laptop changes it.
type forwarder struct {
	conf string

	mu      sync.Mutex
	info    os.FileInfo
	read    time.Time
	servers []netip.Addr
	first   netip.Addr // answered last after another did not
}

func newForwarder(conf string) *forwarder { return &forwarder{conf: conf} }

// ask returns the first useful answer of the servers, of the host's if there are none, and SERVFAIL if nobody answers.
// An answer that did not fit stays so: the asker comes again over TCP, and so do we.
func (f *forwarder) ask(ctx context.Context, query *dns.Msg, servers []netip.Addr, tcp bool, dial dialer) *dns.Msg {
	named := len(servers) > 0
	if !named {
		servers = f.host()
	}
	deadline := time.Now().Add(inAll)
	reply := failure(query, dns.RcodeServerFailure)
	for try := 0; try < 2*len(servers) && time.Now().Before(deadline); try++ {
		i := try % len(servers)
		end := time.Now().Add(perTry)
		if end.After(deadline) {
			end = deadline
		}
		got, err := exchange(ctx, query, netip.AddrPortFrom(servers[i], 53), tcp, end, dial)
		if err != nil {
			continue
		}
		reply = got
		if got.Rcode == dns.RcodeSuccess || got.Rcode == dns.RcodeNameError {
			if i > 0 && !named {
				f.prefer(servers[i])
			}
			break
		}
		if try >= len(servers) {
			break // it refused twice
		}
	}
	reply.Id = query.Id
	return reply
}

func exchange(ctx context.Context, query *dns.Msg, server netip.AddrPort, tcp bool, deadline time.Time, dial dialer) (*dns.Msg, error) {
	conn, err := dial(server, tcp, deadline)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	asked := query.Copy()
	asked.Id = dns.Id() // the asker's own is known to who guesses
	if opt := asked.IsEdns0(); opt != nil && opt.UDPSize() > maxPacket {
		opt.SetUDPSize(maxPacket)
	}
	client := dns.Client{Timeout: time.Until(deadline)}
	got, _, err := client.ExchangeWithConnContext(ctx, asked, &dns.Conn{Conn: conn})
	if err != nil {
		return nil, err
	}
	if !got.Response || len(got.Question) != 1 || got.Question[0] != asked.Question[0] {
		return nil, dns.ErrId
	}
	return got, nil
}

// host returns the host's resolvers. The file may be replaced at any time, by a rename mostly.
func (f *forwarder) host() []netip.Addr {
	info, err := os.Stat(f.conf)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && !f.current(info) {
		if data, err := os.ReadFile(f.conf); err == nil {
			f.info, f.read, f.first = info, time.Now(), netip.Addr{}
			f.servers = parseServers(data)
		}
	}
	if len(f.servers) == 0 {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})} // resolv.conf(5)
	}
	if !f.first.IsValid() {
		return f.servers
	}
	order := []netip.Addr{f.first}
	for _, s := range f.servers {
		if s != f.first {
			order = append(order, s)
		}
	}
	return order
}

// current tells whether info is of what was read. A file that was younger than a tick of the clock when it was read
// may have been written again within the tick.
func (f *forwarder) current(info os.FileInfo) bool {
	return f.info != nil && os.SameFile(f.info, info) && f.info.ModTime().Equal(info.ModTime()) && f.info.Size() == info.Size() &&
		f.read.Sub(info.ModTime()) > 40*time.Millisecond
}

// prefer asks server first until the host's file changes.
func (f *forwarder) prefer(server netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first = server
}

func parseServers(data []byte) []netip.Addr {
	var servers []netip.Addr
	for _, text := range resolvconf.Parse(string(data)).Servers {
		if addr, err := netip.ParseAddr(text); err == nil && len(servers) < maxServers {
			servers = append(servers, addr.Unmap())
		}
	}
	return servers
}
