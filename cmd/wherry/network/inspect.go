package network

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/network"
)

// doc is a network as `network inspect` prints it: Docker's fields, and Podman's beside them.
type doc struct {
	Name       string
	ID         string `json:"Id"`
	Created    time.Time
	Scope      string
	Driver     string
	EnableIPv6 bool
	IPAM       ipam
	Internal   bool
	Attachable bool
	Ingress    bool
	Containers map[string]member
	Options    map[string]string
	Labels     map[string]string

	NetworkInterface  string           `json:"network_interface,omitempty"`
	Subnets           []network.Subnet `json:"subnets"`
	DNSEnabled        bool             `json:"dns_enabled"`
	NetworkDNSServers []string         `json:"network_dns_servers,omitempty"`
	Plugins           []string         `json:"plugins"`
}

type ipam struct {
	Driver  string
	Options map[string]string
	Config  []ipamConfig
}

type ipamConfig struct {
	Subnet  string
	Gateway string `json:",omitempty"`
	IPRange string `json:",omitempty"`
}

type member struct {
	Name        string
	Interface   string
	MacAddress  string
	IPv4Address string
	IPv6Address string
}

func newDoc(n *network.Network) *doc {
	d := &doc{Name: n.Name, ID: n.ID, Created: n.Created, Scope: "local", Driver: n.Driver, EnableIPv6: n.IPv6, Internal: n.Internal,
		IPAM: ipam{Driver: "default", Options: map[string]string{}, Config: []ipamConfig{}}, Containers: map[string]member{},
		Options: n.Options, Labels: n.Labels, NetworkInterface: n.Interface, Subnets: n.Subnets, DNSEnabled: n.DNSEnabled, Plugins: n.Plugins}
	if d.Options == nil {
		d.Options = map[string]string{}
	}
	if d.Labels == nil {
		d.Labels = map[string]string{}
	}
	for _, s := range n.Subnets {
		c := ipamConfig{Subnet: s.Subnet.String()}
		if s.Gateway.IsValid() {
			c.Gateway = s.Gateway.String()
		}
		if s.RangeStart.IsValid() {
			c.IPRange = s.RangeStart.String() + "-" + s.RangeEnd.String()
		}
		d.IPAM.Config = append(d.IPAM.Config, c)
		d.EnableIPv6 = d.EnableIPv6 || s.Subnet.Addr().Is6()
	}
	for _, server := range n.DNSServers {
		d.NetworkDNSServers = append(d.NetworkDNSServers, server.String())
	}
	for id, c := range n.Containers {
		m := member{Name: c.Name, Interface: c.Interface, MacAddress: c.MAC}
		for _, ip := range c.IPs {
			if ip.Addr().Is4() {
				m.IPv4Address = ip.String()
			} else {
				m.IPv6Address = ip.String()
			}
		}
		d.Containers[id] = m
	}
	return d
}

// Inspect is `wherry network inspect`.
func Inspect(env *cmdkit.Env) *cli.Command {
	var format string
	return &cli.Command{
		Name: "inspect", Usage: "Show everything about networks", ArgsUsage: "NETWORK...",
		Flags:  append([]cli.Flag{cmdkit.String(&format, "format f", "Print as `json|TEMPLATE`")}, cmdkit.Later("scope verbose,v")...),
		Action: func(c *cli.Context) error { return inspect(c.Context, env, format, c.Args().Slice()) },
	}
}

func inspect(ctx context.Context, env *cmdkit.Env, format string, names []string) error {
	e := engine(env)
	return cmdkit.Inspect(env, names, format, func(name string) (*doc, error) {
		n, err := e.NetworkInspect(ctx, name)
		if err != nil {
			return nil, err
		}
		return newDoc(n), nil
	})
}

// Remove is `wherry network rm`.
func Remove(env *cmdkit.Env) *cli.Command {
	var opts libpod.NetworkRemoveOptions
	return &cli.Command{
		Name: "rm", Usage: "Remove networks", ArgsUsage: "NETWORK...",
		Flags: []cli.Flag{
			cmdkit.Bool(&opts.Force, "force f", "Remove the containers that use it too; an unknown network is no error"),
			cmdkit.OptInt(&opts.Timeout, "time t", "With --force, `SECONDS` from the stop signal to the kill of a container that runs"),
		},
		Action: func(c *cli.Context) error {
			e := engine(env)
			return cmdkit.Each(env, c.Args().Slice(), func(name string) (string, error) {
				return name, e.NetworkRemove(c.Context, name, opts)
			})
		},
	}
}
