package bridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

// Plugin carries out CNI's commands in the network namespace of the calling thread.
type Plugin struct {
	Dir   state.Dir
	Owner state.Process // proves the leases until the attachment is written; zero: they hold until DEL or GC
}

// Versions are the versions of the specification that the plugin speaks.
func Versions() version.PluginInfo {
	return version.PluginSupports("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
}

// Add connects the container's namespace to the network.
func (p *Plugin) Add(_ context.Context, args *skel.CmdArgs) (types.Result, *Conf, error) {
	c, err := ParseConf(args.StdinData)
	if err != nil {
		return nil, nil, err
	}
	ns, err := netns.GetFromPath(args.Netns)
	if err != nil {
		return nil, c, fmt.Errorf("network namespace %s: %w", args.Netns, err)
	}
	defer ns.Close()
	to, err := p.bridge(c)
	if err != nil {
		return nil, c, err
	}
	defer to.Close()
	faultpoint.Hit("network.bridge")
	e := endpoint{host: hostName(), inside: args.IfName, routes: c.Routes}
	l := lease{ID: args.ContainerID, Interface: args.IfName, Host: e.host, Owner: p.Owner}
	if err := p.lease(c, &e, l); err != nil {
		return nil, c, err
	}
	if e.mac, err = wantedMAC(c, e.addrs); err == nil {
		err = plug(c, to, ns, e)
	}
	if err != nil {
		dropLink(e.host)
		p.forget(c, e.addrs)
		return nil, c, err
	}
	faultpoint.Hit("network.plugged")
	return result(c, e, args), c, nil
}

func wantedMAC(c *Conf, addrs []netip.Prefix) (net.HardwareAddr, error) {
	if c.RuntimeConfig.MAC != "" {
		return net.ParseMAC(c.RuntimeConfig.MAC)
	}
	return macOf(addrs[0].Addr()), nil
}

// bridge returns the network's bridge. Its state is written last: with it, and with the link, all is in place.
func (p *Plugin) bridge(c *Conf) (port, error) {
	if to, ok := p.complete(c); ok {
		return to, nil
	}
	err := locked(p.Dir, func() error {
		if to, ok := p.complete(c); ok {
			to.Close() // another start was quicker
			return nil
		}
		return p.makeBridge(c)
	})
	if err != nil {
		return port{}, err
	}
	return portOf(c.Bridge)
}

// complete returns the bridge if nothing is left to do to it.
func (p *Plugin) complete(c *Conf) (port, bool) {
	to, err := portOf(c.Bridge)
	if err != nil {
		return to, false
	}
	if n, err := p.Dir.Network(c.Name); err != nil || n.Bridge != c.Bridge {
		to.Close()
		return to, false
	}
	return to, true
}

func (p *Plugin) makeBridge(c *Conf) error {
	if err := ensureBridge(c); err != nil {
		return err
	}
	if err := forwarding(c); err != nil {
		return err
	}
	all := []*state.Network{c.network()}
	for _, other := range p.Dir.ListNetworks() {
		if other.Name != c.Name {
			all = append(all, other)
		}
	}
	if err := writeRules(all); err != nil {
		return err
	}
	faultpoint.Hit("network.rules")
	return p.Dir.WriteNetwork(all[0])
}

// network is what others are told of the network.
func (c *Conf) network() *state.Network {
	n := &state.Network{Name: c.Name, ID: c.ID, Bridge: c.Bridge, Internal: c.Internal, DNSEnabled: c.DNSEnabled, DNSServers: c.DNSServers,
		Open: c.Isolate == "false", NoMasquerade: c.NoMasquerade}
	for _, s := range c.Subnets {
		n.Subnets = append(n.Subnets, s.Subnet)
		if s.Gateway.IsValid() {
			n.Gateways = append(n.Gateways, s.Gateway)
		}
	}
	return n
}

// lease takes an address of each subnet, the asked ones where some were asked for.
func (p *Plugin) lease(c *Conf, e *endpoint, l lease) (err error) {
	defer func() {
		if err != nil {
			p.forget(c, e.addrs)
		}
	}()
	wanted, err := wantedIPs(c)
	if err != nil {
		return err
	}
	pool := p.pool(c)
	for i, s := range c.Subnets {
		addr, err := pool.take(s, wanted[i], l)
		if err != nil {
			return err
		}
		e.addrs = append(e.addrs, netip.PrefixFrom(addr, s.Subnet.Bits()))
		if s.Gateway.IsValid() && !c.Internal {
			e.gateways = append(e.gateways, s.Gateway)
		}
	}
	return nil
}

// wantedIPs puts each asked address at the place of its subnet.
func wantedIPs(c *Conf) ([]netip.Addr, error) {
	wanted := make([]netip.Addr, len(c.Subnets))
next:
	for _, text := range c.RuntimeConfig.IPs {
		addr, err := netip.ParseAddr(text)
		if prefix, perr := netip.ParsePrefix(text); err != nil && perr == nil {
			addr, err = prefix.Addr(), nil
		}
		if err != nil {
			return nil, errdefs.New(errdefs.ErrInvalid, "%q is not an IP address", text)
		}
		for i, s := range c.Subnets {
			if s.Subnet.Contains(addr) {
				wanted[i] = addr
				continue next
			}
		}
		return nil, errdefs.New(errdefs.ErrInvalid, "address %s is outside network %q (%s)", addr, c.Name, subnetList(c))
	}
	return wanted, nil
}

func subnetList(c *Conf) string {
	text := ""
	for i, s := range c.Subnets {
		if i > 0 {
			text += ", "
		}
		text += s.Subnet.String()
	}
	return text
}

func (p *Plugin) forget(c *Conf, addrs []netip.Prefix) {
	for _, a := range addrs {
		os.Remove(p.pool(c).path(a.Addr()))
	}
}

func result(c *Conf, e endpoint, args *skel.CmdArgs) *types100.Result {
	inside := 1
	r := &types100.Result{CNIVersion: types100.ImplementedSpecVersion, Interfaces: []*types100.Interface{
		{Name: e.host}, {Name: e.inside, Mac: e.mac.String(), Sandbox: args.Netns}}}
	for i, a := range e.addrs {
		ip := &types100.IPConfig{Interface: &inside, Address: *ipNet(a)}
		if gw := c.Subnets[i].Gateway; gw.IsValid() {
			ip.Gateway = gw.AsSlice()
		}
		r.IPs = append(r.IPs, ip)
	}
	for _, gw := range e.gateways {
		r.Routes = append(r.Routes, &types.Route{Dst: *ipNet(netip.PrefixFrom(unspecified(gw), 0)), GW: gw.AsSlice()})
	}
	for _, route := range e.routes {
		r.Routes = append(r.Routes, &types.Route{Dst: *ipNet(route.Dst), GW: route.GW.AsSlice()})
	}
	if c.DNSEnabled {
		for _, s := range c.Subnets {
			if s.Gateway.IsValid() {
				r.DNS.Nameservers = append(r.DNS.Nameservers, s.Gateway.String())
			}
		}
	}
	return r
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// Del takes the container's interface away and ends its leases. What is not there any more is as good as removed.
func (p *Plugin) Del(_ context.Context, args *skel.CmdArgs) error {
	c, err := ParseConf(args.StdinData)
	if err != nil {
		return err
	}
	p.pool(c).drop(func(l lease) bool { return l.ID == args.ContainerID && l.Interface == args.IfName })
	return nil
}

// GC ends what belongs to none of the attachments that are said to be valid.
func (p *Plugin) GC(_ context.Context, args *skel.CmdArgs) error {
	c, err := ParseConf(args.StdinData)
	if err != nil {
		return err
	}
	valid := map[types.GCAttachment]bool{}
	for _, a := range c.ValidAttachments {
		valid[a] = true
	}
	p.pool(c).drop(func(l lease) bool { return !valid[types.GCAttachment{ContainerID: l.ID, IfName: l.Interface}] })
	return nil
}

// Status tells whether Add could work.
func (p *Plugin) Status(_ context.Context, args *skel.CmdArgs) error {
	c, err := ParseConf(args.StdinData)
	if err != nil {
		return err
	}
	if link, err := netlink.LinkByName(c.Bridge); err == nil && link.Type() != "bridge" {
		return types.NewError(50, fmt.Sprintf("interface %s is no bridge but a %s", c.Bridge, link.Type()), "")
	}
	return nil
}

// Check compares what Add has made with what is there.
func (p *Plugin) Check(_ context.Context, args *skel.CmdArgs) error {
	c, err := ParseConf(args.StdinData)
	if err != nil {
		return err
	}
	if c.PrevResult == nil {
		return errdefs.New(errdefs.ErrInvalid, "CHECK needs prevResult")
	}
	prev := types.PluginConf{CNIVersion: c.CNIVersion, RawPrevResult: c.PrevResult}
	if err := version.ParsePrevResult(&prev); err != nil {
		return err
	}
	want, err := types100.NewResultFromResult(prev.PrevResult)
	if err != nil {
		return err
	}
	return p.compare(c, args, want)
}

func (p *Plugin) compare(c *Conf, args *skel.CmdArgs, want *types100.Result) error {
	if !linkPresent(c.Bridge) {
		return fmt.Errorf("bridge %s of network %q is gone", c.Bridge, c.Name)
	}
	ns, err := netns.GetFromPath(args.Netns)
	if err != nil {
		return err
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(args.IfName)
	if err != nil {
		return fmt.Errorf("interface %s: %w", args.IfName, err)
	}
	have, err := h.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, ip := range want.IPs {
		found := false
		for _, a := range have {
			found = found || a.IPNet.String() == ip.Address.String()
		}
		if !found {
			return fmt.Errorf("interface %s has not the address %s", args.IfName, ip.Address.String())
		}
	}
	return nil
}

// RemoveBridge takes a network's bridge and rules away.
func RemoveBridge(dir state.Dir, name string) error {
	return locked(dir, func() error {
		n, err := dir.Network(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		if link, err := netlink.LinkByName(n.Bridge); err == nil && link.Type() == "bridge" {
			if err := netlink.LinkDel(link); err != nil {
				return fmt.Errorf("remove bridge %s: %w", n.Bridge, err)
			}
		}
		if err := dir.RemoveNetwork(name); err != nil {
			return err
		}
		os.RemoveAll(LeaseDir(dir, name))
		return writeRules(dir.ListNetworks())
	})
}
