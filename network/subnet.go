package network

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/wherry-containers/wherry/network/bridge"
	"github.com/wherry-containers/wherry/network/cni"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func isNotFound(err error) bool { return errors.Is(err, errdefs.ErrNotFound) }

func mustJSON(v any) []byte {
	data, _ := json.Marshal(v) // plain structs
	return data
}

// subnets are the wished ones, completed and checked, else free ones.
func (m *Manager) subnets(o CreateOptions, others []*cni.Network) ([]bridge.Subnet, error) {
	var taken []use
	for _, n := range others {
		if n.Own != nil {
			for _, s := range n.Own.Subnets {
				taken = append(taken, use{s.Subnet, "network \"" + n.Name + "\""})
			}
		}
	}
	wished := slices.Clone(o.Subnets)
	for i, s := range wished {
		if s != s.Masked() {
			return nil, errdefs.New(errdefs.ErrInvalid, "--subnet %s has host bits set (use %s)", s, s.Masked())
		}
		if s.Addr().Is4() && s.Bits() > 30 || s.Bits() > 126 || s.Bits() < 4 {
			return nil, errdefs.New(errdefs.ErrInvalid, "--subnet %s has no room for a gateway and a container", s)
		}
		for _, other := range wished[:i] {
			if other.Overlaps(s) {
				return nil, errdefs.New(errdefs.ErrInvalid, "--subnet %s overlaps --subnet %s", s, other)
			}
		}
		if err := overlap(s, taken); err != nil {
			return nil, err
		}
	}
	wished, err := complete(o, wished, taken)
	if err != nil {
		return nil, err
	}
	return withGateways(o, wished)
}

// use is a range of addresses and what has it.
type use struct {
	prefix netip.Prefix
	by     string
}

func overlap(s netip.Prefix, taken []use) error {
	for _, t := range taken {
		if t.prefix.Overlaps(s) {
			return errdefs.New(errdefs.ErrInUse, "--subnet %s overlaps %s of %s", s, t.prefix, t.by)
		}
	}
	return nil
}

// complete adds free subnets of the families that are wanted and were not given.
func complete(o CreateOptions, wished []netip.Prefix, taken []use) ([]netip.Prefix, error) {
	has4 := slices.ContainsFunc(wished, func(p netip.Prefix) bool { return p.Addr().Is4() })
	has6 := slices.ContainsFunc(wished, func(p netip.Prefix) bool { return p.Addr().Is6() })
	if !has4 && !has6 {
		first, bits := "10.89.0.0", 24
		if o.Name == Default {
			first, bits = "10.88.0.0", 16
		}
		p, ok := free(netip.PrefixFrom(netip.MustParseAddr(first), bits), netip.MustParsePrefix("10.0.0.0/8"), append(taken, hostRoutes()...))
		if !ok {
			return nil, errdefs.New(errdefs.ErrState, "no free subnet is left in 10.0.0.0/8 (give one with --subnet)")
		}
		wished = append([]netip.Prefix{p}, wished...)
	}
	if o.IPv6 && !has6 {
		id := netip.MustParseAddr("fd57:4852:5259::").As16()
		p, ok := free(netip.PrefixFrom(netip.AddrFrom16(id), 64), netip.MustParsePrefix("fd57:4852:5259::/48"), append(taken, hostRoutes()...))
		if !ok {
			return nil, errdefs.New(errdefs.ErrState, "no free IPv6 subnet is left (give one with --subnet)")
		}
		wished = append(wished, p)
	}
	return wished, nil
}

// free is the first prefix from start on, within all, that overlaps nothing that is taken.
func free(start, all netip.Prefix, taken []use) (netip.Prefix, bool) {
	for p := start; all.Contains(p.Addr()); {
		if overlap(p, taken) == nil {
			return p, true
		}
		next, ok := after(p)
		if !ok {
			break
		}
		p = next
	}
	return netip.Prefix{}, false
}

// after is the next prefix of the same length.
func after(p netip.Prefix) (netip.Prefix, bool) {
	b := p.Addr().AsSlice()
	for i := (p.Bits() - 1) / 8; i >= 0; i-- {
		step := 1
		if i == (p.Bits()-1)/8 {
			step = 1 << ((8 - p.Bits()%8) % 8)
		}
		sum := int(b[i]) + step
		b[i] = byte(sum)
		if sum < 256 {
			addr, _ := netip.AddrFromSlice(b)
			return netip.PrefixFrom(addr, p.Bits()), true
		}
	}
	return p, false
}

// hostRoutes are the networks that the host can reach other than by its default route.
func hostRoutes() []use {
	var all []use
	routes, _ := netlink.RouteList(nil, netlink.FAMILY_ALL)
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		addr, ok := netip.AddrFromSlice(r.Dst.IP)
		bits, _ := r.Dst.Mask.Size()
		if ok && bits > 0 {
			all = append(all, use{netip.PrefixFrom(addr.Unmap(), bits), "a route of the host"})
		}
	}
	return append(all, use{netip.MustParsePrefix("10.0.2.0/24"), "the uplink"})
}

// withGateways puts each gateway and range to its subnet; without one the gateway is the first address.
func withGateways(o CreateOptions, wished []netip.Prefix) ([]bridge.Subnet, error) {
	subnets := make([]bridge.Subnet, len(wished))
	for i, p := range wished {
		subnets[i] = bridge.Subnet{Subnet: p, Gateway: p.Addr().Next()}
	}
	place := func(flag string, addr netip.Addr) (*bridge.Subnet, error) {
		for i := range subnets {
			if subnets[i].Subnet.Contains(addr) {
				return &subnets[i], nil
			}
		}
		return nil, errdefs.New(errdefs.ErrInvalid, "%s %s is in none of the network's subnets", flag, addr)
	}
	for _, gw := range o.Gateways {
		s, err := place("--gateway", gw)
		if err != nil {
			return nil, err
		}
		s.Gateway = gw
	}
	for _, r := range o.Ranges {
		s, err := place("--ip-range", r.Masked().Addr())
		if err != nil {
			return nil, err
		}
		if r.Bits() < s.Subnet.Bits() {
			return nil, errdefs.New(errdefs.ErrInvalid, "--ip-range %s is larger than its subnet %s", r, s.Subnet)
		}
		s.RangeStart, s.RangeEnd = bridge.Bounds(r, s.Subnet)
	}
	return subnets, nil
}
