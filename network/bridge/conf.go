// Package bridge is the CNI plugin wherry-bridge: a bridge with addresses, one veth pair a container, exclusive leases
// of addresses, masquerading and isolation in one nftables table of its own. All by netlink, in process: it starts no
// program. The engine calls it as a library through libcni; cmd/wherry-bridge is the same as an executable.
package bridge

import (
	"encoding/json"
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Type is the plugin's name in a configuration.
const Type = "wherry-bridge"

// Conf is the plugin's configuration.
type Conf struct {
	CNIVersion       string               `json:"cniVersion,omitempty"`
	Name             string               `json:"name,omitempty"`
	Type             string               `json:"type"`
	Capabilities     map[string]bool      `json:"capabilities,omitempty"`
	PrevResult       map[string]any       `json:"prevResult,omitempty"`
	ValidAttachments []types.GCAttachment `json:"cni.dev/valid-attachments,omitempty"`

	Bridge        string        `json:"bridge"`
	MTU           int           `json:"mtu,omitempty"`
	VLAN          int           `json:"vlan,omitempty"`
	Isolate       string        `json:"isolate,omitempty"`  // "" or true: no packets from and to other networks; false: those of other such networks
	Internal      bool          `json:"internal,omitempty"` // no way out
	NoMasquerade  bool          `json:"noMasquerade,omitempty"`
	PortIsolation bool          `json:"portIsolation,omitempty"` // containers of the network do not reach each other
	DNSEnabled    bool          `json:"dnsEnabled,omitempty"`
	DNSServers    []netip.Addr  `json:"dnsServers,omitempty"`
	InterfaceName string        `json:"interfaceName,omitempty"`
	Subnets       []Subnet      `json:"subnets"`
	Routes        []Route       `json:"routes,omitempty"`
	ID            string        `json:"networkID,omitempty"`
	StateDir      string        `json:"stateDir,omitempty"` // for callers other than wherry; /run/wherry/net if empty
	RuntimeConfig RuntimeConfig `json:"runtimeConfig,omitzero"`
}

// Subnet is one range of addresses.
type Subnet struct {
	Subnet     netip.Prefix `json:"subnet"`
	Gateway    netip.Addr   `json:"gateway"`
	RangeStart netip.Addr   `json:"rangeStart,omitzero"` // leases are taken from here on; the first free if not given
	RangeEnd   netip.Addr   `json:"rangeEnd,omitzero"`
}

// Route is a route that containers get beside the default route.
type Route struct {
	Dst    netip.Prefix `json:"dst"`
	GW     netip.Addr   `json:"gw,omitzero"`
	Metric int          `json:"metric,omitempty"`
}

// RuntimeConfig is what is asked for one container.
type RuntimeConfig struct {
	IPs []string `json:"ips,omitempty"`
	MAC string   `json:"mac,omitempty"`
}

// Capabilities are those of RuntimeConfig, as a network configuration has to declare them.
func Capabilities() map[string]bool { return map[string]bool{"ips": true, "mac": true} }

// ParseConf reads and checks a configuration.
func ParseConf(data []byte) (*Conf, error) {
	c := &Conf{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "configuration of %s: %v", Type, err)
	}
	return c, c.check()
}

func (c *Conf) check() error {
	invalid := func(field, format string, args ...any) error {
		return errdefs.New(errdefs.ErrInvalid, "network %q: field %s: "+format, append([]any{c.Name, field}, args...)...)
	}
	if c.Bridge == "" || len(c.Bridge) > 15 {
		return invalid("bridge", "an interface has a name of 1 to 15 characters")
	}
	if len(c.Subnets) == 0 {
		return invalid("subnets", "at least one is needed")
	}
	for _, s := range c.Subnets {
		switch {
		case !s.Subnet.IsValid():
			return invalid("subnets", "subnet is missing")
		case s.Subnet != s.Subnet.Masked():
			return invalid("subnets", "%s has host bits set (it would be %s)", s.Subnet, s.Subnet.Masked())
		case s.Gateway.IsValid() && !s.Subnet.Contains(s.Gateway):
			return invalid("subnets", "gateway %s is not in %s", s.Gateway, s.Subnet)
		case s.RangeStart.IsValid() && !s.Subnet.Contains(s.RangeStart), s.RangeEnd.IsValid() && !s.Subnet.Contains(s.RangeEnd):
			return invalid("subnets", "the range %s to %s is not in %s", s.RangeStart, s.RangeEnd, s.Subnet)
		}
	}
	if c.VLAN < 0 || c.VLAN > 4094 {
		return invalid("vlan", "it is 1 to 4094")
	}
	if c.MTU != 0 && (c.MTU < 68 || c.MTU > 65535) {
		return invalid("mtu", "it is 68 to 65535")
	}
	if mac := c.RuntimeConfig.MAC; mac != "" {
		if _, err := net.ParseMAC(mac); err != nil {
			return errdefs.New(errdefs.ErrInvalid, "MAC address %q is not six bytes as in 02:00:00:00:00:01", mac)
		}
	}
	return nil
}

// bounds are the first and last address that may be leased.
func (s Subnet) bounds() (first, last netip.Addr) {
	first, last = s.RangeStart, s.RangeEnd
	if !first.IsValid() {
		first = s.Subnet.Addr().Next()
	}
	if !last.IsValid() {
		last = lastAddr(s.Subnet)
		if s.Subnet.Addr().Is4() && s.Subnet.Bits() < 31 {
			last = last.Prev() // broadcast
		}
	}
	return first, last
}

// Bounds are the first and last address of the range r that containers of its subnet may have.
func Bounds(r, subnet netip.Prefix) (first, last netip.Addr) {
	first, last = r.Masked().Addr(), lastAddr(r)
	if first == subnet.Addr() {
		first = first.Next()
	}
	if last == lastAddr(subnet) && last.Is4() {
		last = last.Prev()
	}
	return first, last
}

// lastAddr is the highest address of p.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}
