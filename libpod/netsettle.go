package libpod

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/network"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/store"
)

// settleNetwork resolves what a record keeps by id, and takes in the ports that the image exposes.
func (e *Engine) settleNetwork(cfg *record.Config, img *store.Image) error {
	n := &cfg.Network
	if n.Mode == "" {
		n.Mode = onNetworks
	}
	if n.Mode == onNetworks && len(n.Ends) == 0 {
		n.Ends = []record.NetworkEnd{defaultEnd()}
	}
	if ref, ok := strings.CutPrefix(n.Mode, "container:"); ok {
		id, err := e.resolve(ref)
		if err != nil {
			return fmt.Errorf("--network container:%s: %w", ref, err)
		}
		n.Mode = "container:" + id
	}
	for i := range n.Ends {
		end := &n.Ends[i]
		end.Network = network.Canonical(end.Network)
		if end.Network == network.Default {
			continue // made when it is first wanted
		}
		if there, err := e.networks().Exists(end.Network); err != nil {
			return err
		} else if !there {
			return errdefs.New(errdefs.ErrNotFound, "there is no network %q (wherry network ls shows them, wherry network create makes one)", end.Network)
		}
	}
	for i := range n.Links {
		id, err := e.resolve(n.Links[i].Name)
		if err != nil {
			return fmt.Errorf("--link %s: %w", n.Links[i].Name, err)
		}
		n.Links[i].ID = id
	}
	exposePorts(n, img)
	return lowPorts(n, e.host().rootless)
}

// exposePorts merges the image's ports in; with --publish-all each of them that has no port of the host gets one.
func exposePorts(n *record.Network, img *store.Image) {
	for port := range img.Config.Config.ExposedPorts {
		if !strings.Contains(port, "/") {
			port += "/tcp"
		}
		n.Expose = append(n.Expose, port)
	}
	for _, p := range n.Ports {
		n.Expose = append(n.Expose, fmt.Sprintf("%d/%s", p.ContainerPort, p.Protocol))
	}
	slices.Sort(n.Expose)
	n.Expose = slices.Compact(n.Expose)
	if !n.PublishAll || n.Mode != onNetworks {
		return
	}
	for _, exposed := range n.Expose {
		text, protocol, _ := strings.Cut(exposed, "/")
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || protocol == "sctp" || published(n.Ports, uint16(port), protocol) {
			continue
		}
		n.Ports = append(n.Ports, record.Port{ContainerPort: uint16(port), Protocol: protocol})
	}
}

func published(ports []record.Port, port uint16, protocol string) bool {
	return slices.ContainsFunc(ports, func(p record.Port) bool { return p.ContainerPort == port && p.Protocol == protocol })
}

// lowPorts refuses what the kernel keeps for root, before anything is made.
func lowPorts(n *record.Network, rootless bool) error {
	if !rootless || n.Mode != onNetworks {
		return nil
	}
	first := -1
	for _, p := range n.Ports {
		if p.HostPort == 0 || p.HostPort >= 1024 {
			continue
		}
		if first < 0 {
			first = unprivilegedPort()
		}
		if int(p.HostPort) < first {
			return errdefs.New(errdefs.ErrInvalid, "port %d is kept for root (publish a port from %d on, or sudo sysctl net.ipv4.ip_unprivileged_port_start=%d)",
				p.HostPort, first, p.HostPort)
		}
	}
	return nil
}

// unprivilegedPort is the first port that any user may listen on.
func unprivilegedPort() int {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if n, aerr := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && aerr == nil {
		return n
	}
	return 1024
}
