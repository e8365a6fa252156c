// Package transparent lets a program connect to containers with the address of somebody else, its own client, and get
// the answers: they are routed to that address, which is not here.
//
// A connection is marked when it begins (SO_MARK), the mark is kept with the connection, and what comes back on a
// connection so marked is delivered here. Table, mark and rule are of our own; nothing else matches them.
package transparent

import (
	"errors"
	"fmt"
	"net"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Mark is what sockets set that connect with their client's address. Answers carry answer: were they the same, the
// connection's own packets would be delivered here, too.
const (
	Mark   = 0x57485258
	answer = 0x57485259
)

// Table is the nftables table; routes is the routing table, and rules come at priority, between those for the
// machine's own addresses and all others.
const (
	Table    = "wherry-ports"
	routes   = 22344
	priority = 22344
)

// Set makes rules and routes in the calling thread's network namespace, again where they are.
func Set() error {
	if err := setMarks(); err != nil {
		return err
	}
	v4, v6 := setRoutes(netlink.FAMILY_V4), setRoutes(netlink.FAMILY_V6)
	if v4 != nil {
		return v4
	}
	if v6 != nil && !errors.Is(v6, unix.EAFNOSUPPORT) && !errors.Is(v6, unix.EOPNOTSUPP) && !errors.Is(v6, unix.EACCES) {
		return v6 // else there is no IPv6 here
	}
	return nil
}

// Clear removes what Set made; done when there is nothing.
func Clear() error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Name: Table, Family: nftables.TableFamilyINet}
	conn.AddTable(table) // so that the removal finds one
	conn.DelTable(table)
	failed := conn.Flush()
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		if err := netlink.RuleDel(rule(family)); err != nil && !gone(err) {
			failed = errors.Join(failed, err)
		}
		if err := netlink.RouteDel(route(family)); err != nil && !gone(err) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.ENODEV)
}

func setMarks() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	table := &nftables.Table{Name: Table, Family: nftables.TableFamilyINet}
	conn.AddTable(table)
	conn.DelTable(table)
	conn.AddTable(table)
	out := chain(conn, table, "output", nftables.ChainHookOutput)
	in := chain(conn, table, "prerouting", nftables.ChainHookPrerouting)
	conn.AddRule(&nftables.Rule{Table: table, Chain: out, Exprs: append(equal(&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, Mark),
		value(answer), &expr.Ct{Key: expr.CtKeyMARK, Register: 1, SourceRegister: true})})
	conn.AddRule(&nftables.Rule{Table: table, Chain: in, Exprs: append(equal(&expr.Ct{Key: expr.CtKeyMARK, Register: 1}, answer),
		value(answer), &expr.Meta{Key: expr.MetaKeyMARK, Register: 1, SourceRegister: true})})
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("write nftables table %s: %w", Table, err)
	}
	return nil
}

func chain(conn *nftables.Conn, table *nftables.Table, name string, hook *nftables.ChainHook) *nftables.Chain {
	return conn.AddChain(&nftables.Chain{Name: name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityMangle})
}

func equal(load expr.Any, mark uint32) []expr.Any {
	return []expr.Any{load, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(mark)}}
}

func value(mark uint32) expr.Any {
	return &expr.Immediate{Register: 1, Data: binaryutil.NativeEndian.PutUint32(mark)}
}

func setRoutes(family int) error {
	if err := netlink.RouteReplace(route(family)); err != nil {
		return fmt.Errorf("route answers: %w", err)
	}
	if err := netlink.RuleAdd(rule(family)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("route answers: %w", err)
	}
	return nil
}

func rule(family int) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Mark, r.Table, r.Priority = family, answer, routes, priority
	return r
}

// route delivers whatever is asked for it here.
func route(family int) *netlink.Route {
	zero := make(net.IP, net.IPv4len)
	if family == netlink.FAMILY_V6 {
		zero = make(net.IP, net.IPv6len)
	}
	const loopback = 1 // the index of lo, in every namespace
	return &netlink.Route{Family: family, Table: routes, Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST, LinkIndex: loopback,
		Dst: &net.IPNet{IP: zero, Mask: net.CIDRMask(0, 8*len(zero))}}
}
