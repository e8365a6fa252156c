package dns

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/wherry-containers/wherry/network/roster"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/procs"
)

// shut is a handler of a network without a way out: it answers everything by itself.
func shut(f *testing.F) *handler {
	dir := state.Dir(filepath.Join(f.TempDir(), "net"))
	start, err := procs.StartTime(os.Getpid())
	if err != nil {
		f.Fatal(err)
	}
	boot, err := procs.BootID()
	if err != nil {
		f.Fatal(err)
	}
	subnet := netip.MustParsePrefix("10.89.0.0/24")
	gateway := netip.MustParseAddr("10.89.0.1")
	if err := dir.WriteNetwork(&state.Network{Name: "n", Internal: true, Gateways: []netip.Addr{gateway}, Subnets: []netip.Prefix{subnet}}); err != nil {
		f.Fatal(err)
	}
	for i := range 40 { // "all" has more addresses than a packet holds
		a := state.Attachment{ID: id("a")[:62] + strconv.Itoa(10+i), Name: "c" + strconv.Itoa(i), Monitor: state.Process{Pid: os.Getpid(), Start: start, BootID: boot},
			Networks: []state.Endpoint{{Network: "n", Aliases: []string{"all"}, IPs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 89, 0, byte(i + 2)}), 24)}}}}
		if err := dir.WriteAttachment(&a); err != nil {
			f.Fatal(err)
		}
	}
	people, err := roster.New(dir)
	if err != nil {
		f.Fatal(err)
	}
	return &handler{Server: New(Config{Roster: people}), network: "n", gateway: gateway}
}

// FuzzQuestion feeds what a container may send: an answer that can be sent must come of it.
func FuzzQuestion(f *testing.F) {
	for _, name := range []string{"c1.", "all.", "2.0.89.10.in-addr.arpa.", `a\.b\000c.n.`, ".", strings.Repeat("a.", 120)} {
		for _, kind := range []uint16{dns.TypeA, dns.TypeANY, dns.TypePTR, dns.TypeAXFR, dns.TypeOPT} {
			query := new(dns.Msg)
			query.SetQuestion(name, kind)
			if packed, err := query.Pack(); err == nil {
				f.Add(packed)
			}
			query.SetEdns0(4096, true)
			if packed, err := query.Pack(); err == nil {
				f.Add(packed)
			}
		}
	}
	h := shut(f)
	client := netip.MustParseAddr("10.89.0.2")
	f.Fuzz(func(t *testing.T, packet []byte) {
		query := new(dns.Msg)
		if query.Unpack(packet) != nil {
			return // the library answers that, or nobody
		}
		reply := h.reply(h.Roster.View(), query, client, false)
		reply.Compress = true
		reply.Truncate(answerSize(query))
		packed, err := reply.Pack()
		if err != nil {
			t.Fatalf("%v\n%v", err, query)
		}
		if len(packed) > max(answerSize(query), dns.MinMsgSize) {
			t.Errorf("%d bytes for an asker of %d", len(packed), answerSize(query))
		}
	})
}
