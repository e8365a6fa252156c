package bridge

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"golang.org/x/sys/unix"
)

// ensureBridge makes the bridge with its addresses, or completes one that was begun.
func ensureBridge(c *Conf) error {
	sum := sha256.Sum256([]byte(c.Bridge))
	mac := append(net.HardwareAddr{0x02}, sum[:5]...) // its own, else it would be that of the lowest port, and change
	vlan := c.VLAN > 0
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: c.Bridge, HardwareAddr: mac, MTU: c.MTU, TxQLen: -1}}
	if c.MTU == 0 {
		br.MTU = outwardMTU()
	}
	if vlan {
		br.VlanFiltering = &vlan
	}
	if err := netlink.LinkAdd(br); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make bridge %s: %w", c.Bridge, err)
	}
	link, err := netlink.LinkByName(c.Bridge)
	if err != nil {
		return err
	}
	if link.Type() != "bridge" {
		return errdefs.New(errdefs.ErrState, "interface %s of network %q is no bridge but a %s", c.Bridge, c.Name, link.Type())
	}
	for _, s := range c.Subnets {
		if !s.Gateway.IsValid() {
			continue
		}
		if s.Gateway.Is6() {
			writeSysctl("net/ipv6/conf/"+c.Bridge+"/accept_dad", "0")
		}
		err := netlink.AddrAdd(link, address(netip.PrefixFrom(s.Gateway, s.Subnet.Bits())))
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("give %s to bridge %s: %w", s.Gateway, c.Bridge, err)
		}
	}
	return netlink.LinkSetUp(link)
}

// outwardMTU is that of the interface with the default route: uplinks have large ones, and are slow without; 0: the
// kernel's choice.
func outwardMTU() int {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return 0
	}
	for _, r := range routes {
		if r.Dst != nil && r.Dst.IP != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
			return link.Attrs().MTU
		}
	}
	return 0
}

func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// forwarding lets the kernel pass packets between interfaces of the current namespace.
func forwarding(c *Conf) error {
	if err := writeSysctl("net/ipv4/ip_forward", "1"); err != nil {
		return fmt.Errorf("let packets pass between interfaces: %w", err)
	}
	for _, s := range c.Subnets {
		if s.Subnet.Addr().Is6() {
			return writeSysctl("net/ipv6/conf/all/forwarding", "1")
		}
	}
	return nil
}

// writeSysctl writes only what is not so already: /proc/sys may be read-only.
func writeSysctl(name, value string) error {
	path := "/proc/sys/" + name
	if now, err := os.ReadFile(path); err == nil && string(now) == value+"\n" {
		return nil
	}
	return os.WriteFile(path, []byte(value), 0)
}

// endpoint is one container's end, to be made.
type endpoint struct {
	host, inside string // interface names
	mac          net.HardwareAddr
	addrs        []netip.Prefix
	gateways     []netip.Addr
	routes       []Route
}

// plug makes a veth pair between the bridge and the container's namespace and configures both ends.
func plug(c *Conf, to port, ns netns.NsHandle, e endpoint) error {
	err := to.say(pair(c, to, ns, e))
	if errors.Is(err, unix.EEXIST) {
		return errdefs.New(errdefs.ErrState, "the container has an interface %s already", e.inside)
	} else if err != nil {
		return err
	}
	if c.VLAN > 0 {
		if err := tagPort(e.host, c.VLAN); err != nil {
			return err
		}
	}
	if c.PortIsolation {
		if err := isolatePort(e.host); err != nil {
			return err
		}
	}
	return configure(ns, e)
}

// port is the bridge that interfaces are to be plugged into.
type port struct {
	conversation
	index, mtu int
}

// portOf finds the bridge. The caller closes the port.
func portOf(bridge string) (port, error) {
	c, err := converse(netns.None())
	if err != nil {
		return port{}, err
	}
	p := port{conversation: c}
	if p.index, err = c.index(bridge); err == nil {
		p.mtu, err = c.mtu(bridge)
	}
	if err != nil {
		c.Close()
	}
	return p, err
}

// pair is the request for both ends, in their places. With one queue each: with the kernel's default of one a
// processor it makes all, takes all but one back and waits until nobody can use them.
func pair(c *Conf, to port, ns netns.NsHandle, e endpoint) batch {
	mtu := c.MTU
	if mtu == 0 {
		mtu = to.mtu
	}
	end := func(add func(kind int, data []byte), name string) {
		add(unix.IFLA_IFNAME, nl.ZeroTerminated(name))
		for _, queues := range []int{unix.IFLA_NUM_TX_QUEUES, unix.IFLA_NUM_RX_QUEUES} {
			add(queues, nl.Uint32Attr(1))
		}
		if mtu > 0 {
			add(unix.IFLA_MTU, nl.Uint32Attr(uint32(mtu)))
		}
	}
	var parts []nl.NetlinkRequestData
	parts = append(parts, upMessage(0))
	end(func(kind int, data []byte) { parts = append(parts, nl.NewRtAttr(kind, data)) }, e.host)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	nl.NewIfInfomsgChild(peer, unix.AF_UNSPEC) // it cannot be up yet: it has no other end
	end(func(kind int, data []byte) { peer.AddRtAttr(kind, data) }, e.inside)
	peer.AddRtAttr(unix.IFLA_ADDRESS, e.mac)
	peer.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(ns)))
	parts = append(parts, nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(to.index))), info)
	var b batch
	b.add(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "make interface "+e.inside, nil, parts...)
	return b
}

// upMessage is the head of a request for an interface that is to be up.
func upMessage(index int) *nl.IfInfomsg {
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index, m.Flags, m.Change = int32(index), unix.IFF_UP, unix.IFF_UP
	return m
}

// isolatePort lets the port talk to the bridge only, not to other such ports.
func isolatePort(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetIsolated(link, true)
}

func tagPort(name string, vlan int) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.BridgeVlanAdd(link, uint16(vlan), true, true, false, true); err != nil {
		return fmt.Errorf("put %s into VLAN %d: %w", name, vlan, err)
	}
	return nil
}

// loopback is the index of lo in every namespace.
const loopback = 1

// configure gives the container's end its addresses and routes.
func configure(ns netns.NsHandle, e endpoint) error {
	inside, err := converse(ns)
	if err != nil {
		return err
	}
	defer inside.Close()
	index, err := inside.index(e.inside)
	if err != nil {
		return err
	}
	var b batch
	b.add(unix.RTM_NEWLINK, 0, "bring lo up", nil, upMessage(loopback))
	b.add(unix.RTM_NEWLINK, 0, "bring "+e.inside+" up", nil, upMessage(index))
	for _, a := range e.addrs {
		b.add(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, fmt.Sprintf("give address %s", a), nil, addressParts(index, a)...)
	}
	for _, gw := range e.gateways { // the default route belongs to the first network that has one
		b.add(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, fmt.Sprintf("default route over %s", gw), unix.EEXIST,
			routeParts(index, Route{Dst: netip.PrefixFrom(unspecified(gw), 0), GW: gw})...)
	}
	for _, r := range e.routes {
		b.add(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, fmt.Sprintf("route to %s", r.Dst), unix.EEXIST, routeParts(index, r)...)
	}
	return inside.say(b)
}

func addressParts(index int, p netip.Prefix) []nl.NetlinkRequestData {
	head := nl.NewIfAddrmsg(family(p.Addr()))
	head.Index, head.Prefixlen = uint32(index), uint8(p.Bits())
	parts := []nl.NetlinkRequestData{head, nl.NewRtAttr(unix.IFA_LOCAL, p.Addr().AsSlice()), nl.NewRtAttr(unix.IFA_ADDRESS, p.Addr().AsSlice())}
	switch {
	case p.Addr().Is6():
		head.Flags = unix.IFA_F_NODAD
	case p.Bits() < 31:
		parts = append(parts, nl.NewRtAttr(unix.IFA_BROADCAST, lastAddr(p).AsSlice()))
	}
	return parts
}

func routeParts(index int, r Route) []nl.NetlinkRequestData {
	head := nl.NewRtMsg()
	head.Family, head.Dst_len = uint8(family(r.Dst.Addr())), uint8(r.Dst.Bits())
	parts := []nl.NetlinkRequestData{head}
	if r.Dst.Bits() > 0 {
		parts = append(parts, nl.NewRtAttr(unix.RTA_DST, r.Dst.Addr().AsSlice()))
	}
	if r.GW.IsValid() {
		parts = append(parts, nl.NewRtAttr(unix.RTA_GATEWAY, r.GW.AsSlice()))
	}
	parts = append(parts, nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))))
	if r.Metric > 0 {
		parts = append(parts, nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(uint32(r.Metric))))
	}
	return parts
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// linkPresent tells whether the current namespace has an interface of this name.
func linkPresent(name string) bool {
	_, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	return !errors.As(err, &missing)
}

// dropLink removes an interface; that it is not there is as good.
func dropLink(name string) {
	if link, err := netlink.LinkByName(name); err == nil && link.Type() == "veth" {
		netlink.LinkDel(link)
	}
}

// hostName is a new name for the bridge's end of a pair.
func hostName() string {
	var b [5]byte
	rand.Read(b[:])
	return "veth" + hex.EncodeToString(b[:])
}

// macOf derives the address from the IP: neighbours that knew the last holder of the IP need not be told.
func macOf(addr netip.Addr) net.HardwareAddr {
	if addr.Is4() {
		b := addr.As4()
		return net.HardwareAddr{0x02, 0x57, b[0], b[1], b[2], b[3]}
	}
	sum := sha256.Sum256(addr.AsSlice())
	return append(net.HardwareAddr{0x02}, sum[:5]...)
}
