package api

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/network"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/values"
)

const defaultNetwork = "bridge"

func (c *creation) network(ctx context.Context) error {
	n := &c.cfg.Network
	if err := c.names(); err != nil {
		return err
	}
	if err := c.ports(); err != nil {
		return err
	}
	mode := string(c.host.NetworkMode)
	if mode == "" || mode == network.NetworkDefault {
		mode = defaultNetwork
		if c.body.NetworkDisabled {
			mode = network.NetworkNone
		}
	}
	endpoints := map[string]*network.EndpointSettings{}
	if c.body.NetworkingConfig != nil {
		endpoints = c.body.NetworkingConfig.EndpointsConfig
	}
	parsed, err := values.Network(mode)
	if err != nil {
		return invalid("invalid NetworkMode %q: %v", mode, err)
	}
	n.Mode, n.Options = parsed.Mode, parsed.Options
	if n.Mode != defaultNetwork {
		return c.notOnNetworks(endpoints)
	}
	return c.ends(ctx, mode, endpoints)
}

// notOnNetworks refuses what needs a network of bridges. Clients send an empty endpoint for the modes host and none.
func (c *creation) notOnNetworks(endpoints map[string]*network.EndpointSettings) error {
	mode := c.cfg.Network.Mode
	for name, e := range endpoints {
		if e == nil || name == mode && e.IPAMConfig == nil && len(e.Links) == 0 && len(e.MacAddress) == 0 {
			continue
		}
		return invalid("conflicting options: network %s cannot be joined with NetworkMode %s", name, mode)
	}
	switch shared := strings.HasPrefix(mode, "container:"); {
	case shared && len(c.cfg.Network.Ports) > 0:
		return invalid("conflicting options: port publishing and the container type network mode")
	case shared && (len(c.cfg.Network.DNS) > 0 || len(c.cfg.Network.Hosts) > 0):
		return invalid("conflicting options: dns or custom host-to-IP mapping and the network mode")
	case shared && c.cfg.Hostname != "":
		return invalid("conflicting options: hostname and the network mode")
	case len(c.cfg.Network.Links) > 0:
		return invalid("conflicting options: links and the network mode")
	}
	c.cfg.Network.Ports = nil // with host and none they mean nothing, as in Docker
	return nil
}

// ends puts the networks in order: the one with the highest priority is the way out, else the one that the mode names.
func (c *creation) ends(ctx context.Context, mode string, endpoints map[string]*network.EndpointSettings) error {
	names := slices.Sorted(maps.Keys(endpoints))
	if endpoints[mode] == nil && !slices.Contains(names, mode) {
		if _, byID := c.sameNetwork(ctx, mode, names); !byID {
			names = append(names, mode)
		}
	}
	priority := func(name string) int {
		if e := endpoints[name]; e != nil {
			return e.GwPriority
		}
		return 0
	}
	first, _ := c.sameNetwork(ctx, mode, names)
	slices.SortStableFunc(names, func(a, b string) int {
		if d := priority(b) - priority(a); d != 0 {
			return d
		}
		switch first {
		case a:
			return -1
		case b:
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		end, err := c.end(ctx, name, endpoints[name])
		if err != nil {
			return err
		}
		c.cfg.Network.Ends = append(c.cfg.Network.Ends, end)
	}
	return c.oldMAC()
}

// sameNetwork finds mode among names, which may say the same network by id.
func (c *creation) sameNetwork(ctx context.Context, mode string, names []string) (string, bool) {
	if slices.Contains(names, mode) {
		return mode, true
	}
	want := c.networkName(ctx, mode)
	for _, name := range names {
		if c.networkName(ctx, name) == want {
			return name, true
		}
	}
	return mode, false
}

// networkName is what a network is called that a client may name by its id.
func (c *creation) networkName(ctx context.Context, ref string) string {
	return c.server.networkName(ctx, ref)
}

// end is one endpoint of the body.
func (c *creation) end(ctx context.Context, name string, e *network.EndpointSettings) (record.NetworkEnd, error) {
	name = c.networkName(ctx, name)
	if e == nil {
		return record.NetworkEnd{Network: name}, nil
	}
	for _, link := range e.Links {
		if err := c.link(link); err != nil {
			return record.NetworkEnd{}, err
		}
	}
	plain := e.Copy()
	plain.Links, plain.GwPriority = nil, 0
	wish, err := endpointWish(name, plain)
	if err != nil {
		return record.NetworkEnd{}, err
	}
	slices.Sort(wish.Aliases)
	wish.Aliases = slices.Compact(wish.Aliases)
	for _, alias := range wish.Aliases {
		if err := values.Hostname(alias); err != nil {
			return record.NetworkEnd{}, invalid("invalid alias %q: %v", alias, err)
		}
	}
	if name == defaultNetwork && len(wish.Aliases) > 0 {
		return record.NetworkEnd{}, invalid("network-scoped alias is supported only for containers in user defined networks")
	}
	if wish.MAC != "" {
		if err := values.MAC(wish.MAC); err != nil {
			return record.NetworkEnd{}, invalid("invalid MacAddress: %v", err)
		}
	}
	return record.NetworkEnd(wish), nil
}

// oldMAC is the address of the container that clients before 1.44 send.
func (c *creation) oldMAC() error {
	if c.body.MacAddress == "" || len(c.cfg.Network.Ends) == 0 {
		return nil
	}
	if err := values.MAC(c.body.MacAddress); err != nil {
		return invalid("invalid MacAddress: %v", err)
	}
	if first := &c.cfg.Network.Ends[0]; first.MAC == "" {
		first.MAC = c.body.MacAddress
	}
	return nil
}

func (c *creation) link(text string) error {
	l, err := values.Link(strings.TrimPrefix(text, "/"))
	if err != nil {
		return invalid("invalid Links: %q: %v", text, err)
	}
	c.cfg.Network.Links = append(c.cfg.Network.Links, l)
	return nil
}

// names is what /etc/hosts and /etc/resolv.conf say.
func (c *creation) names() error {
	n := &c.cfg.Network
	for _, addr := range c.host.DNS {
		n.DNS = append(n.DNS, addr.String())
	}
	n.DNSOpts, n.Search = c.host.DNSOptions, c.host.DNSSearch
	for _, host := range c.host.ExtraHosts {
		line, err := values.AddHost(host)
		if err != nil {
			return invalid("invalid ExtraHosts %q: %v", host, err)
		}
		n.Hosts = append(n.Hosts, line)
	}
	for _, link := range c.host.Links {
		if err := c.link(link); err != nil {
			return err
		}
	}
	return nil
}

func (c *creation) ports() error {
	n := &c.cfg.Network
	n.PublishAll = c.host.PublishAllPorts
	for port := range c.body.ExposedPorts {
		n.Expose = append(n.Expose, port.String())
	}
	slices.Sort(n.Expose)
	for port, bindings := range c.host.PortBindings {
		if len(bindings) == 0 { // any free port
			bindings = []network.PortBinding{{}}
		}
		for _, b := range bindings {
			text := port.String()
			if b.HostPort != "" && b.HostPort != "0" {
				text = b.HostPort + ":" + text
			} else {
				text = ":" + text
			}
			switch {
			case b.HostIP.Is6():
				text = "[" + b.HostIP.String() + "]:" + text
			case b.HostIP.IsValid():
				text = b.HostIP.String() + ":" + text
			}
			published, err := values.Publish(text)
			if err != nil {
				return invalid("invalid port specification: %q: %v", text, err)
			}
			n.Ports = append(n.Ports, published...)
		}
	}
	slices.SortStableFunc(n.Ports, func(a, b record.Port) int { return int(a.ContainerPort) - int(b.ContainerPort) })
	return nil
}
