package dns

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/wherry-containers/wherry/network/roster"
)

// ttl is how many seconds an asker may keep an answer: next to none, for a container's address may be another's at
// once after its end.
const ttl = 1

// turn rotates the addresses of a name that several containers have.
var turn atomic.Uint32

// asker is who asks: the networks whose names it may know, the one it asked through first.
type asker struct {
	view     *roster.View
	networks []*roster.Network
	servers  []netip.Addr // that the container was started with, to be asked in place of all others
}

func askerOf(view *roster.View, asked *roster.Network, client netip.Addr) asker {
	a := asker{view: view, networks: []*roster.Network{asked}}
	member, ok := asked.At(client)
	if !ok {
		return a
	}
	for _, text := range member.Attachment.DNS {
		if addr, err := netip.ParseAddr(text); err == nil {
			a.servers = append(a.servers, addr.Unmap())
		}
	}
	for _, end := range member.Attachment.Networks {
		if n := view.Network(end.Network); n != nil && n != asked {
			a.networks = append(a.networks, n)
		}
	}
	return a
}

// answer is the answer of our own to the query, nil for a name that is not ours to answer.
func (a asker) answer(query *dns.Msg) *dns.Msg {
	q := query.Question[0]
	if q.Qclass != dns.ClassINET && q.Qclass != dns.ClassANY {
		return failure(query, dns.RcodeRefused)
	}
	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	if addr, ok := reverse(name); ok {
		return a.pointer(query, addr)
	}
	members := a.named(name)
	if len(members) == 0 {
		return nil
	}
	reply := ours(query)
	for _, addr := range addresses(members) {
		header := dns.RR_Header{Name: q.Name, Class: dns.ClassINET, Ttl: ttl}
		switch {
		case addr.Is4() && (q.Qtype == dns.TypeA || q.Qtype == dns.TypeANY):
			header.Rrtype = dns.TypeA
			reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: addr.AsSlice()})
		case addr.Is6() && (q.Qtype == dns.TypeAAAA || q.Qtype == dns.TypeANY):
			header.Rrtype = dns.TypeAAAA
			reply.Answer = append(reply.Answer, &dns.AAAA{Hdr: header, AAAA: addr.AsSlice()})
		}
	}
	return reply // without records too: the name is there, but has none of that type
}

// named finds the members of a name in the first of the asker's networks that has it. "web.front" is web on front.
func (a asker) named(name string) []roster.Member {
	for _, n := range a.networks {
		if members := n.Named(name); len(members) > 0 {
			return members
		}
	}
	for _, n := range a.networks {
		if short, ok := strings.CutSuffix(name, "."+strings.ToLower(n.Name)); ok {
			if members := n.Named(short); len(members) > 0 {
				return members
			}
		}
	}
	return nil
}

// addresses are those of the members, each time beginning with the next one.
func addresses(members []roster.Member) []netip.Addr {
	var addrs []netip.Addr
	shift := 0
	if len(members) > 1 {
		shift = int(turn.Add(1)) % len(members)
	}
	for i := range members {
		for _, ip := range members[(i+shift)%len(members)].IPs {
			addrs = append(addrs, ip.Addr().Unmap())
		}
	}
	return addrs
}

// pointer answers for an address. Those of our networks are nobody else's business, known or not.
func (a asker) pointer(query *dns.Msg, addr netip.Addr) *dns.Msg {
	for _, n := range a.networks {
		member, ok := n.At(addr)
		if !ok {
			continue
		}
		reply := ours(query)
		if q := query.Question[0]; q.Qtype == dns.TypePTR || q.Qtype == dns.TypeANY {
			reply.Answer = []dns.RR{&dns.PTR{Ptr: dns.Fqdn(member.Attachment.Name),
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: ttl}}}
		}
		return reply
	}
	if a.view.Covers(addr) {
		return failure(query, dns.RcodeNameError)
	}
	return nil
}

// upstream returns the resolvers that the asker's other questions go to, none for the host's. Without a network that
// has a way out it may not ask at all: a name is a way to carry data.
func (a asker) upstream() (servers []netip.Addr, ok bool) {
	for _, n := range a.networks {
		if !n.Internal {
			ok = true
			servers = append(servers, n.DNSServers...)
		}
	}
	if len(a.servers) > 0 {
		servers = a.servers
	}
	return servers, ok
}

// ours is an empty answer to query on our own authority.
func ours(query *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.Authoritative, reply.RecursionAvailable = true, true
	if query.IsEdns0() != nil {
		reply.SetEdns0(maxPacket, false)
	}
	return reply
}

func failure(query *dns.Msg, code int) *dns.Msg {
	reply := ours(query)
	reply.Authoritative, reply.Rcode = false, code
	return reply
}

// reverse takes the address out of a lower-case name below in-addr.arpa or ip6.arpa (RFC 1035 3.5, RFC 3596 2.5).
func reverse(name string) (netip.Addr, bool) {
	if labels, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(labels, ".")
		if len(parts) != 4 {
			return netip.Addr{}, false
		}
		slices.Reverse(parts)
		addr, err := netip.ParseAddr(strings.Join(parts, "."))
		return addr, err == nil && addr.Is4()
	}
	labels, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(labels) != 63 {
		return netip.Addr{}, false
	}
	var bytes [16]byte
	for i := range 32 {
		digit := strings.IndexByte("0123456789abcdef", labels[62-2*i])
		if digit < 0 || (i > 0 && labels[63-2*i] != '.') {
			return netip.Addr{}, false
		}
		bytes[i/2] |= byte(digit) << (4 * (1 - i%2))
	}
	return netip.AddrFrom16(bytes), true
}
