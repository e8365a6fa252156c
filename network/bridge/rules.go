package bridge

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/wherry-containers/wherry/network/state"
	"golang.org/x/sys/unix"
)

// Table is the one nftables table that holds all our rules; nothing outside it is touched.
const Table = "wherry"

// Reload makes the table anew from the networks that have a bridge, in one transaction: what was flushed by others is
// there again, what is no longer wanted is gone, and no packet meets half of it.
func Reload(dir state.Dir) error {
	return locked(dir, func() error { return writeRules(dir.ListNetworks()) })
}

// locked runs fn while nobody else makes or removes bridges and rules.
func locked(dir state.Dir, fn func() error) error {
	path := filepath.Join(string(dir), "bridges.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if os.IsNotExist(err) {
		if err := os.MkdirAll(string(dir), 0o700); err != nil {
			return err
		}
		f, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	return fn()
}

func writeRules(networks []*state.Network) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	t := &nftables.Table{Name: Table, Family: nftables.TableFamilyINet}
	conn.AddTable(t) // so that the removal finds one
	conn.DelTable(t)
	if len(networks) > 0 { // else nothing of ours stays with root's own
		conn.AddTable(t)
		b := &ruleset{conn: conn, table: t}
		if err := b.build(networks); err != nil {
			return err
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("write nftables table %s: %w (is the kernel module nf_tables there?)", Table, err)
	}
	return nil
}

type ruleset struct {
	conn  *nftables.Conn
	table *nftables.Table
}

func (b *ruleset) build(networks []*state.Network) error {
	out := b.chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource)
	pass := b.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, *nftables.ChainPriorityFilter)
	in := b.chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, *nftables.ChainPriorityFilter)
	all, err := b.bridges("bridges", networks, func(*state.Network) bool { return true })
	if err != nil {
		return err
	}
	apart, err := b.bridges("isolated", networks, func(n *state.Network) bool { return !n.Open })
	if err != nil {
		return err
	}
	for _, n := range networks {
		b.add(pass, iif(n.Bridge), oif(n.Bridge), verdict(expr.VerdictAccept)) // one network's own, over whatever path
		if n.Internal {
			b.add(pass, iif(n.Bridge), verdict(expr.VerdictDrop))
			b.add(pass, oif(n.Bridge), verdict(expr.VerdictDrop))
		}
		if !n.Internal && !n.NoMasquerade {
			for _, s := range n.Subnets {
				b.add(out, source(s), notOif(n.Bridge), notLocal(s), []expr.Any{&expr.Masq{}})
			}
		}
		for _, gw := range n.Gateways {
			for _, proto := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} { // names of a network are its own
				b.add(in, lookup(expr.MetaKeyIIFNAME, all), notIif(n.Bridge), destination(gw), port53(proto), verdict(expr.VerdictDrop))
			}
		}
	}
	b.add(pass, lookup(expr.MetaKeyIIFNAME, apart), lookup(expr.MetaKeyOIFNAME, all), verdict(expr.VerdictDrop))
	b.add(pass, lookup(expr.MetaKeyIIFNAME, all), lookup(expr.MetaKeyOIFNAME, apart), verdict(expr.VerdictDrop))
	return nil
}

func (b *ruleset) chain(name string, kind nftables.ChainType, hook *nftables.ChainHook, prio nftables.ChainPriority) *nftables.Chain {
	return b.conn.AddChain(&nftables.Chain{Name: name, Table: b.table, Type: kind, Hooknum: hook, Priority: &prio})
}

func (b *ruleset) bridges(name string, networks []*state.Network, wanted func(*state.Network) bool) (*nftables.Set, error) {
	set := &nftables.Set{Name: name, Table: b.table, KeyType: nftables.TypeIFName}
	var elements []nftables.SetElement
	for _, n := range networks {
		if wanted(n) {
			elements = append(elements, nftables.SetElement{Key: ifName(n.Bridge)})
		}
	}
	return set, b.conn.AddSet(set, elements)
}

func (b *ruleset) add(chain *nftables.Chain, parts ...[]expr.Any) {
	var exprs []expr.Any
	for _, part := range parts {
		exprs = append(exprs, part...)
	}
	b.conn.AddRule(&nftables.Rule{Table: b.table, Chain: chain, Exprs: exprs})
}

func ifName(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func meta(key expr.MetaKey, op expr.CmpOp, data []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: data}}
}

func iif(name string) []expr.Any    { return meta(expr.MetaKeyIIFNAME, expr.CmpOpEq, ifName(name)) }
func notIif(name string) []expr.Any { return meta(expr.MetaKeyIIFNAME, expr.CmpOpNeq, ifName(name)) }
func oif(name string) []expr.Any    { return meta(expr.MetaKeyOIFNAME, expr.CmpOpEq, ifName(name)) }
func notOif(name string) []expr.Any { return meta(expr.MetaKeyOIFNAME, expr.CmpOpNeq, ifName(name)) }

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }

func lookup(key expr.MetaKey, set *nftables.Set) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID}}
}

// offsets of the addresses in the header of a family.
func offsets(addr netip.Addr) (family byte, source, destination, length uint32) {
	if addr.Is4() {
		return unix.NFPROTO_IPV4, 12, 16, 4
	}
	return unix.NFPROTO_IPV6, 8, 24, 16
}

// matchPrefix compares the address at offset with p; it says first which family it is about.
func matchPrefix(p netip.Prefix, offset uint32, op expr.CmpOp) []expr.Any {
	family, _, _, length := offsets(p.Addr())
	mask := ipNet(p).Mask
	return append(meta(expr.MetaKeyNFPROTO, expr.CmpOpEq, []byte{family}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: length, Mask: mask, Xor: make([]byte, length)},
		&expr.Cmp{Op: op, Register: 1, Data: p.Masked().Addr().AsSlice()})
}

func source(p netip.Prefix) []expr.Any {
	_, offset, _, _ := offsets(p.Addr())
	return matchPrefix(p, offset, expr.CmpOpEq)
}

// notLocal leaves out what stays in the network.
func notLocal(p netip.Prefix) []expr.Any {
	_, _, offset, _ := offsets(p.Addr())
	return matchPrefix(p, offset, expr.CmpOpNeq)
}

func destination(addr netip.Addr) []expr.Any {
	_, _, offset, _ := offsets(addr)
	return matchPrefix(netip.PrefixFrom(addr, addr.BitLen()), offset, expr.CmpOpEq)
}

func port53(proto byte) []expr.Any {
	return append(meta(expr.MetaKeyL4PROTO, expr.CmpOpEq, []byte{proto}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(53)})
}
