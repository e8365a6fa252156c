package libpod

import (
	"fmt"
	"strconv"

	"github.com/wherry-containers/wherry/network/state"
)

// inspectNetwork is how the container is connected, in Docker's words.
func (e *Engine) inspectNetwork(c *container) InspectNetworkSettings {
	doc := InspectNetworkSettings{Ports: map[string][]InspectPort{}, Networks: map[string]InspectNetwork{}}
	for _, exposed := range c.Network.Expose {
		doc.Ports[exposed] = nil
	}
	if c.Network.Mode != onNetworks {
		doc.Networks[c.Network.Mode] = InspectNetwork{}
	}
	for _, end := range c.ends() {
		doc.Networks[end.Network] = InspectNetwork{Aliases: end.Aliases}
	}
	if c.alive() {
		doc.SandboxKey = "/proc/" + strconv.Itoa(c.live.Pid) + "/ns/net"
	}
	att := e.attachment(c)
	if att == nil {
		return doc
	}
	for _, p := range att.Ports {
		key := fmt.Sprintf("%d/%s", p.ContainerPort, p.Protocol)
		host := p.HostIP
		if host == "" {
			host = "0.0.0.0"
		}
		doc.Ports[key] = append(doc.Ports[key], InspectPort{HostIp: host, HostPort: strconv.Itoa(int(p.HostPort))})
	}
	for i := range att.Networks {
		n := e.inspectEnd(&att.Networks[i])
		doc.Networks[att.Networks[i].Network] = n
		if i == 0 {
			doc.IPAddress, doc.Gateway, doc.MacAddress, doc.IPPrefixLen = n.IPAddress, n.Gateway, n.MacAddress, n.IPPrefixLen
			doc.GlobalIPv6Address, doc.IPv6Gateway = n.GlobalIPv6Address, n.IPv6Gateway
		}
	}
	return doc
}

func (e *Engine) inspectEnd(end *state.Endpoint) InspectNetwork {
	n := InspectNetwork{MacAddress: end.MAC, Aliases: end.Aliases}
	if known, err := e.networks().Inspect(end.Network); err == nil {
		n.NetworkID = known.ID
	}
	for _, ip := range end.IPs {
		if ip.Addr().Is4() && n.IPAddress == "" {
			n.IPAddress, n.IPPrefixLen = ip.Addr().String(), ip.Bits()
		} else if ip.Addr().Is6() && n.GlobalIPv6Address == "" {
			n.GlobalIPv6Address, n.GlobalIPv6PrefixLen = ip.Addr().String(), ip.Bits()
		}
	}
	for _, gw := range end.Gateways {
		if gw.Is4() && n.Gateway == "" {
			n.Gateway = gw.String()
		} else if gw.Is6() && n.IPv6Gateway == "" {
			n.IPv6Gateway = gw.String()
		}
	}
	return n
}

// portBindings are the ports as they were wished.
func (c *container) portBindings() map[string][]InspectPort {
	all := map[string][]InspectPort{}
	for _, p := range c.Network.Ports {
		key, host := fmt.Sprintf("%d/%s", p.ContainerPort, p.Protocol), ""
		if p.HostPort > 0 {
			host = strconv.Itoa(int(p.HostPort))
		}
		if p.HostPortEnd > p.HostPort {
			host += "-" + strconv.Itoa(int(p.HostPortEnd))
		}
		all[key] = append(all[key], InspectPort{HostIp: p.HostIP, HostPort: host})
	}
	return all
}

// networkMode is HostConfig.NetworkMode: Docker names the first network.
func (c *container) networkMode() string {
	if ends := c.ends(); c.Network.Mode == onNetworks && len(ends) > 0 {
		return ends[0].Network
	}
	return c.Network.Mode
}
