package network

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/wherry-containers/wherry/network/bridge"
	"github.com/wherry-containers/wherry/network/cni"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

// CreateOptions is what `network create` needs.
type CreateOptions struct {
	Name       string
	Driver     string // bridge (default), macvlan, ipvlan
	Subnets    []netip.Prefix
	Gateways   []netip.Addr   // each belongs to the subnet that holds it
	Ranges     []netip.Prefix // likewise
	IPv6       bool
	Internal   bool
	DisableDNS bool
	DNS        []netip.Addr
	Routes     []bridge.Route
	Labels     map[string]string
	Options    map[string]string
	Interface  string // name of the bridge, or the parent of macvlan and ipvlan
	Ignore     bool   // a network of this name is as good as made
	IPAM       string // "", host-local, dhcp (macvlan and ipvlan), none
}

// Create makes a network. Nothing but its configuration is made: a bridge comes with the first container.
func (m *Manager) Create(_ context.Context, o CreateOptions) (*Network, error) {
	if err := checkName(o.Name); err != nil {
		return nil, err
	}
	if reserved(o.Name) {
		return nil, errdefs.New(errdefs.ErrInvalid, "a network cannot be named %q: --network %s means something else", o.Name, o.Name)
	}
	var made *cni.Network
	err := m.store.WithLock(func() error {
		if _, err := m.store.Load(o.Name); err == nil {
			if o.Ignore {
				return nil
			}
			return errdefs.New(errdefs.ErrNameInUse, "there is a network %q already", o.Name)
		}
		var err error
		if made, err = m.plan(o); err != nil {
			return err
		}
		faultpoint.Hit("network.planned")
		return m.store.Save(made)
	})
	if err != nil {
		return nil, err
	}
	if made == nil {
		return m.Inspect(o.Name)
	}
	return m.view(made), nil
}

// checkName refuses what cannot be the name of a file.
func checkName(name string) error {
	valid := func(r rune) bool {
		return r == '_' || r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	if name == "" || strings.ContainsRune("_.-", rune(name[0])) || strings.ContainsFunc(name, func(r rune) bool { return !valid(r) }) || len(name) > 200 {
		return errdefs.New(errdefs.ErrInvalid, "invalid network name %q (letters, digits, and after the first also _ . -)", name)
	}
	return nil
}

// BuiltIn tells whether a network is there without anybody having made it, or no network but a namespace.
func BuiltIn(name string) bool { return name == Default || name == "host" || name == "none" }

// reserved are the words that --network takes in another sense.
func reserved(name string) bool {
	return slices.Contains([]string{"none", "host", "container", "ns", "private", "pasta", "slirp4netns", "default", alias}, name)
}

// load reads a network by name or by the beginning of its id; the default one is made when it is first wanted.
func (m *Manager) load(name string) (*cni.Network, error) {
	name = Canonical(name)
	n, err := m.store.Load(name)
	if err == nil || !isNotFound(err) {
		return n, err
	}
	if name == Default {
		return m.makeDefault()
	}
	return m.byID(name, err)
}

func (m *Manager) byID(prefix string, notFound error) (*cni.Network, error) {
	if len(prefix) < 4 || strings.Trim(prefix, "0123456789abcdef") != "" {
		return nil, notFound
	}
	var found *cni.Network
	for _, n := range m.store.List(func(error) {}) {
		if !strings.HasPrefix(n.Note.ID, prefix) {
			continue
		}
		if found != nil {
			return nil, errdefs.New(errdefs.ErrAmbiguous, "more than one network has an id that begins with %q", prefix)
		}
		found = n
	}
	if found == nil {
		return nil, notFound
	}
	return found, nil
}

func (m *Manager) makeDefault() (n *cni.Network, err error) {
	err = m.store.WithLock(func() error {
		if n, err = m.store.Load(Default); err == nil || !isNotFound(err) {
			return err // another command was quicker
		}
		if n, err = m.plan(CreateOptions{Name: Default, DisableDNS: true}); err != nil {
			return err
		}
		return m.store.Save(n)
	})
	return n, err
}

// plan makes the configuration. The caller holds the store's lock.
func (m *Manager) plan(o CreateOptions) (*cni.Network, error) {
	note := cni.Note{ID: newID(), Created: time.Now().UTC(), Driver: o.Driver, Labels: o.Labels, Options: o.Options, IPv6: o.IPv6}
	switch o.Driver {
	case "", "bridge":
		note.Driver = "bridge"
		return m.planBridge(o, note)
	case "macvlan", "ipvlan":
		return m.planVLAN(o, note)
	}
	return nil, errdefs.New(errdefs.ErrUnsupported, "there is no network driver %q (bridge, macvlan and ipvlan are)", o.Driver)
}

func newID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (m *Manager) planBridge(o CreateOptions, note cni.Note) (*cni.Network, error) {
	c := &bridge.Conf{Bridge: o.Interface, Internal: o.Internal, DNSEnabled: !o.DisableDNS, DNSServers: o.DNS, Routes: o.Routes, ID: note.ID}
	c.Name, c.CNIVersion, c.Type, c.Capabilities = o.Name, cni.OurVersion, bridge.Type, bridge.Capabilities()
	if err := bridgeOptions(c, &note, o.Options); err != nil {
		return nil, err
	}
	others := m.store.List(func(error) {})
	if c.Bridge == "" {
		c.Bridge = m.freeBridge(others)
	} else if who := bridgeOwner(others, c.Bridge); who != "" {
		return nil, errdefs.New(errdefs.ErrInUse, "bridge %s belongs to network %q", c.Bridge, who)
	}
	var err error
	if c.Subnets, err = m.subnets(o, others); err != nil {
		return nil, err
	}
	data := *c
	if _, err := bridge.ParseConf(mustJSON(data)); err != nil {
		return nil, err
	}
	return cni.New(cni.OurVersion, o.Name, note, c)
}

// bridgeOptions takes Podman's and Docker's options.
func bridgeOptions(c *bridge.Conf, note *cni.Note, options map[string]string) error {
	for key, value := range options {
		bad := func(want string) error {
			return errdefs.New(errdefs.ErrInvalid, "--opt %s=%s: it is %s", key, value, want)
		}
		var err error
		switch key {
		case "mtu", "com.docker.network.driver.mtu":
			if c.MTU, err = strconv.Atoi(value); err != nil || c.MTU < 68 || c.MTU > 65535 {
				return bad("a number from 68 to 65535")
			}
		case "vlan":
			if c.VLAN, err = strconv.Atoi(value); err != nil || c.VLAN < 1 || c.VLAN > 4094 {
				return bad("a number from 1 to 4094")
			}
		case "isolate":
			switch value {
			case "true", "strict":
			case "false":
				c.Isolate = "false"
			default:
				return bad("true, strict or false")
			}
		case "com.docker.network.bridge.name":
			c.Bridge = value
		case "com.docker.network.bridge.enable_ip_masquerade", "com.docker.network.bridge.enable_icc":
			on, err := strconv.ParseBool(value)
			if err != nil {
				return bad("true or false")
			}
			if strings.HasSuffix(key, "icc") {
				c.PortIsolation = !on
			} else {
				c.NoMasquerade = !on
			}
		case "com.docker.network.container_iface_prefix":
			return errdefs.New(errdefs.ErrUnsupported, "--opt %s is not supported (--interface-name names the containers' interface)", key)
		default:
			return errdefs.New(errdefs.ErrUnsupported, "--opt %s is not known to the driver bridge (mtu, vlan, isolate, com.docker.network.bridge.name, "+
				"com.docker.network.bridge.enable_icc, com.docker.network.bridge.enable_ip_masquerade, com.docker.network.driver.mtu are)", key)
		}
	}
	return nil
}

// freeBridge is a name that no network and no interface of the host has.
func (m *Manager) freeBridge(others []*cni.Network) string {
	for i := 0; ; i++ {
		name := fmt.Sprintf("wherry%d", i)
		if bridgeOwner(others, name) != "" {
			continue
		}
		if m.opts.Host {
			if _, err := netlink.LinkByName(name); err == nil {
				continue
			}
		}
		return name
	}
}

func bridgeOwner(networks []*cni.Network, name string) string {
	for _, n := range networks {
		if n.Own != nil && n.Own.Bridge == name {
			return n.Name
		}
	}
	return ""
}

// planVLAN is a list with a plugin of the CNI project, which makes interfaces on one of the host's.
func (m *Manager) planVLAN(o CreateOptions, note cni.Note) (*cni.Network, error) {
	if !m.opts.Host {
		return nil, errdefs.New(errdefs.ErrUnsupported, "driver %s needs root: its parent is an interface of the host (the driver bridge works without)", o.Driver)
	}
	conf := map[string]any{"type": o.Driver, "capabilities": map[string]bool{"ips": true, "mac": true}}
	parent := o.Interface
	for key, value := range o.Options {
		switch key {
		case "parent":
			parent = value
		case "mode", o.Driver + "_mode":
			conf["mode"] = value
		case "mtu", "com.docker.network.driver.mtu":
			mtu, err := strconv.Atoi(value)
			if err != nil {
				return nil, errdefs.New(errdefs.ErrInvalid, "--opt %s=%s: it is a number", key, value)
			}
			conf["mtu"] = mtu
		default:
			return nil, errdefs.New(errdefs.ErrUnsupported, "--opt %s is not known to the driver %s (parent, mode and mtu are)", key, o.Driver)
		}
	}
	if parent != "" {
		if _, err := netlink.LinkByName(parent); err != nil {
			return nil, errdefs.New(errdefs.ErrNotFound, "--opt parent=%s: the host has no such interface", parent)
		}
		conf["master"] = parent
	}
	ipam, err := m.vlanIPAM(o)
	if err != nil {
		return nil, err
	}
	conf["ipam"] = ipam
	return cni.New(cni.ForeignVersion, o.Name, note, conf)
}

func (m *Manager) vlanIPAM(o CreateOptions) (map[string]any, error) {
	switch {
	case o.IPAM == "none":
		return map[string]any{}, nil
	case o.IPAM == "dhcp" || o.IPAM == "" && len(o.Subnets) == 0:
		return map[string]any{"type": "dhcp"}, nil
	}
	subnets, err := m.subnets(o, m.store.List(func(error) {}))
	if err != nil {
		return nil, err
	}
	var ranges, routes []any
	for _, s := range subnets {
		r := map[string]any{"subnet": s.Subnet.String(), "gateway": s.Gateway.String()}
		if s.RangeStart.IsValid() {
			r["rangeStart"], r["rangeEnd"] = s.RangeStart.String(), s.RangeEnd.String()
		}
		ranges = append(ranges, []any{r})
		if !o.Internal {
			dst := "0.0.0.0/0"
			if s.Subnet.Addr().Is6() {
				dst = "::/0"
			}
			routes = append(routes, map[string]any{"dst": dst})
		}
	}
	return map[string]any{"type": "host-local", "ranges": ranges, "routes": routes}, nil
}
