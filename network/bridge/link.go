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
	"github.com/vishvananda/netns"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"golang.org/x/sys/unix"
)

// ensureBridge makes the bridge with its addresses, or completes one that was begun.
func ensureBridge(c *Conf) (netlink.Link, error) {
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
		return nil, fmt.Errorf("make bridge %s: %w", c.Bridge, err)
	}
	link, err := netlink.LinkByName(c.Bridge)
	if err != nil {
		return nil, err
	}
	if link.Type() != "bridge" {
		return nil, errdefs.New(errdefs.ErrState, "interface %s of network %q is no bridge but a %s", c.Bridge, c.Name, link.Type())
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
			return nil, fmt.Errorf("give %s to bridge %s: %w", s.Gateway, c.Bridge, err)
		}
	}
	return link, netlink.LinkSetUp(link)
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
func plug(c *Conf, bridge netlink.Link, ns netns.NsHandle, e endpoint) error {
	mtu := c.MTU
	if mtu == 0 {
		mtu = bridge.Attrs().MTU
	}
	veth := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: e.host, MTU: mtu, MasterIndex: bridge.Attrs().Index, TxQLen: -1, Flags: net.FlagUp},
		PeerName:         e.inside,
		PeerHardwareAddr: e.mac,
		PeerNamespace:    netlink.NsFd(ns),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		if errors.Is(err, unix.EEXIST) {
			return errdefs.New(errdefs.ErrState, "the container has an interface %s already", e.inside)
		}
		return fmt.Errorf("make interface %s: %w", e.inside, err)
	}
	if c.VLAN > 0 {
		if err := tagPort(veth, c.VLAN); err != nil {
			return err
		}
	}
	if c.PortIsolation {
		if err := isolatePort(veth); err != nil {
			return err
		}
	}
	return configure(ns, e)
}

// isolatePort lets the port talk to the bridge only, not to other such ports.
func isolatePort(veth netlink.Link) error {
	link, err := netlink.LinkByName(veth.Attrs().Name)
	if err != nil {
		return err
	}
	return netlink.LinkSetIsolated(link, true)
}

func tagPort(veth netlink.Link, vlan int) error {
	link, err := netlink.LinkByName(veth.Attrs().Name)
	if err != nil {
		return err
	}
	if err := netlink.BridgeVlanAdd(link, uint16(vlan), true, true, false, true); err != nil {
		return fmt.Errorf("put %s into VLAN %d: %w", veth.Attrs().Name, vlan, err)
	}
	return nil
}

// configure gives the container's end its addresses and routes.
func configure(ns netns.NsHandle, e endpoint) error {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(e.inside)
	if err != nil {
		return err
	}
	for _, a := range e.addrs {
		if err := h.AddrAdd(link, address(a)); err != nil {
			return fmt.Errorf("give address %s: %w", a, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return err
	}
	if lo, err := h.LinkByIndex(1); err == nil {
		if err := h.LinkSetUp(lo); err != nil {
			return err
		}
	}
	return addRoutes(h, link, e)
}

// addRoutes adds the network's routes. The default route belongs to the first network that has one.
func addRoutes(h *netlink.Handle, link netlink.Link, e endpoint) error {
	index := link.Attrs().Index
	for _, gw := range e.gateways {
		err := h.RouteAdd(&netlink.Route{LinkIndex: index, Gw: gw.AsSlice()})
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("default route over %s: %w", gw, err)
		}
	}
	for _, r := range e.routes {
		route := &netlink.Route{LinkIndex: index, Dst: ipNet(r.Dst), Priority: r.Metric}
		if r.GW.IsValid() {
			route.Gw = r.GW.AsSlice()
		}
		if err := h.RouteAdd(route); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("route to %s: %w", r.Dst, err)
		}
	}
	return nil
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
