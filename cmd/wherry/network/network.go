// Package network holds the commands about networks.
package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/values"
	"github.com/wherry-containers/wherry/network"
	"github.com/wherry-containers/wherry/network/bridge"
)

func engine(env *cmdkit.Env) *libpod.Engine {
	return libpod.New(env.Dirs, libpod.EngineOptions{Warn: env.Warn, EventsBackend: env.EventsBackend, Runtime: env.Runtime})
}

// Create is `wherry network create`.
func Create(env *cmdkit.Env) *cli.Command {
	opts := network.CreateOptions{Driver: "bridge"}
	driver := cmdkit.String(&opts.Driver, "driver d", "`bridge|macvlan|ipvlan`")
	driver.Default = opts.Driver
	return &cli.Command{
		Name: "create", Usage: "Make a network", ArgsUsage: "[NETWORK]",
		Flags: append(append([]cli.Flag{
			driver,
			cmdkit.Bool(&opts.DisableDNS, "disable-dns", "Containers do not find each other by name"),
			cmdkit.Func("dns", "Name server `IP` that the network's names are forwarded to", func(s string) error {
				addr, err := netip.ParseAddr(s)
				opts.DNS = append(opts.DNS, addr)
				return plain(err, "it is not an IP address")
			}),
			cmdkit.Bool(&opts.Ignore, "ignore", "A network of this name that is there already is no error"),
			cmdkit.Bool(&opts.Internal, "internal", "No way out of the network"),
			cmdkit.KeyValues(&opts.Labels, "label", "Label `KEY=VALUE`"),
			cmdkit.KeyValues(&opts.Options, "opt o", "Option `KEY=VALUE` of the driver: mtu, vlan, isolate, parent, mode, com.docker.network.*"),
		}, addressFlags(&opts)...), cmdkit.Later("attachable config-from config-only ingress scope aux-address ipam-opt ipv4")...),
		Action: func(c *cli.Context) error {
			return create(c.Context, env, opts, c.Args().First())
		},
	}
}

// addressFlags are those about addresses and interfaces.
func addressFlags(opts *network.CreateOptions) []cli.Flag {
	return []cli.Flag{
		cmdkit.Func("gateway", "`ADDRESS` of the bridge, one a subnet", func(s string) error {
			addr, err := netip.ParseAddr(s)
			opts.Gateways = append(opts.Gateways, addr)
			return plain(err, "it is not an IP address")
		}),
		cmdkit.String(&opts.Interface, "interface-name", "`NAME` of the bridge; of macvlan and ipvlan their parent"),
		cmdkit.Func("ip-range", "Give containers addresses from `RANGE` only, as 10.1.2.0/28", func(s string) error {
			p, err := netip.ParsePrefix(s)
			opts.Ranges = append(opts.Ranges, p)
			return plain(err, "it is not a range like 10.1.2.0/28")
		}),
		cmdkit.Func("ipam-driver", "Addresses by `host-local|dhcp|none`, the last two of macvlan and ipvlan", func(s string) error {
			opts.IPAM = s
			if s == "default" {
				opts.IPAM = ""
				return nil
			}
			return values.OneOf(s, "host-local", "dhcp", "none")
		}),
		cmdkit.Bool(&opts.IPv6, "ipv6", "IPv6 addresses too"),
		cmdkit.Func("route", "Another route in the containers: `DESTINATION,GATEWAY[,METRIC]`", func(s string) error {
			r, err := parseRoute(s)
			opts.Routes = append(opts.Routes, r)
			return err
		}),
		cmdkit.Func("subnet", "`SUBNET` like 10.1.2.0/24; a free one if not given", func(s string) error {
			p, err := netip.ParsePrefix(s)
			opts.Subnets = append(opts.Subnets, p)
			return plain(err, "it is not a subnet like 10.1.2.0/24")
		}),
	}
}

func plain(err error, text string) error {
	if err != nil {
		return fmt.Errorf("%s", text)
	}
	return nil
}

func parseRoute(s string) (r bridge.Route, err error) {
	parts := strings.Split(s, ",")
	if len(parts) < 2 || len(parts) > 3 {
		return r, fmt.Errorf("it looks like 10.1.0.0/16,10.2.0.1[,METRIC]")
	}
	if r.Dst, err = netip.ParsePrefix(parts[0]); err != nil {
		return r, fmt.Errorf("%q is not a subnet", parts[0])
	}
	if r.GW, err = netip.ParseAddr(parts[1]); err != nil {
		return r, fmt.Errorf("%q is not an IP address", parts[1])
	}
	r.Dst = r.Dst.Masked()
	if len(parts) == 3 {
		r.Metric, err = values.Count(parts[2])
	}
	return r, err
}

func create(ctx context.Context, env *cmdkit.Env, opts network.CreateOptions, name string) error {
	opts.Name = name
	if name == "" {
		return cmdkit.Usagef("which name shall the network have?")
	}
	if err := values.Name(name); err != nil {
		return cmdkit.Usagef("%s", err)
	}
	n, err := engine(env).NetworkCreate(ctx, opts)
	if err != nil {
		return err
	}
	shown := n.Name
	if env.Program == "docker" {
		shown = n.ID
	}
	_, err = fmt.Fprintln(env.Out, shown)
	return err
}

// row is one network as `network ls` prints it; the fields are Docker's.
type row struct {
	ID        string
	Name      string
	Driver    string
	Scope     string
	IPv6      bool
	Internal  bool
	Labels    string
	CreatedAt string

	labels map[string]string
}

// Headings are Docker's.
func (row) Headings() map[string]string { return map[string]string{"ID": "NETWORK ID"} }

// Label is the value of one label, for templates.
func (r row) Label(name string) string { return r.labels[name] }

// List is `wherry network ls`.
func List(env *cmdkit.Env) *cli.Command {
	var filters map[string][]string
	var listing cmdkit.Listing
	var quiet, noTrunc bool
	return &cli.Command{
		Name: "ls", Usage: "List networks",
		Flags: []cli.Flag{
			cmdkit.Filters(&filters, "filter f", "Only networks for which `KEY=VALUE` holds: name, id, driver, label, type, dangling, until"),
			cmdkit.String(&listing.Format, "format", "Print as `table|json|TEMPLATE`"),
			cmdkit.Bool(&noTrunc, "no-trunc", "Whole ids"),
			cmdkit.Bool(&listing.NoHeading, "noheading n", "Print no heading"),
			cmdkit.Bool(&quiet, "quiet q", "Print only names, as docker only ids"),
		},
		Action: func(c *cli.Context) error {
			listing.Table = `{{.ID}}\t{{.Name}}\t{{.Driver}}`
			if env.Program == "docker" {
				listing.Table += `\t{{.Scope}}`
			}
			if quiet && listing.Format == "" {
				listing.Format = "{{.Name}}"
				if env.Program == "docker" {
					listing.Format = "{{.ID}}"
				}
			}
			return list(c.Context, env, filters, listing, noTrunc)
		},
	}
}

func list(ctx context.Context, env *cmdkit.Env, filters map[string][]string, listing cmdkit.Listing, noTrunc bool) error {
	networks, err := engine(env).NetworkList(ctx, filters)
	if err != nil {
		return err
	}
	rows := make([]row, len(networks))
	for i, n := range networks {
		rows[i] = row{ID: n.ID, Name: n.Name, Driver: n.Driver, Scope: "local", IPv6: n.IPv6, Internal: n.Internal, Labels: labelText(n.Labels),
			CreatedAt: n.Created.Local().Format("2006-01-02 15:04:05 -0700 MST"), labels: n.Labels}
		if !noTrunc && len(n.ID) > 12 {
			rows[i].ID = n.ID[:12]
		}
	}
	return env.PrintListing(rows, listing)
}

func labelText(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for name, value := range labels {
		pairs = append(pairs, name+"="+value)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

// Exists is `wherry network exists`: its exit status is the answer.
func Exists(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "exists", Usage: "Exit with 0 if a network exists, with 1 if not", ArgsUsage: "NETWORK",
		Action: func(c *cli.Context) error {
			found, err := engine(env).NetworkExists(c.Context, c.Args().First())
			if err == nil && !found {
				return cmdkit.Exit(1)
			}
			return err
		},
	}
}
