package container

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/values"
)

// networkWish is what the flags about networks say, before they are put together.
type networkWish struct {
	given   []record.Network // of each --network
	ip, ip6 string
	mac     string
	aliases []string
}

func (w *wish) networkFlags() []cli.Flag {
	n, nw := &w.Config.Network, &w.network
	network := cmdkit.Func("network net", "Network: `bridge|host|none|container:NAME|ns:PATH|pasta[:OPTIONS]|slirp4netns[:OPTIONS]|NETWORK[:OPTIONS]`, more than one of the last", func(s string) error {
		one, err := values.Network(s)
		nw.given = append(nw.given, one)
		return err
	})
	network.Default = "bridge"
	return append(w.nameFlags(), network,
		cmdkit.Func("expose", "Expose `PORT[-PORT][/PROTOCOL]` for --publish-all", func(s string) error {
			ports, err := values.Expose(s)
			n.Expose = append(n.Expose, ports...)
			return err
		}),
		checked(&nw.ip, "ip", "IPv4 `ADDRESS` on the network", values.Addr),
		checked(&nw.ip6, "ip6", "IPv6 `ADDRESS` on the network", values.Addr),
		cmdkit.Func("link", "Know the container `NAME[:ALIAS]` by name", func(s string) error {
			l, err := values.Link(s)
			n.Links = append(n.Links, l)
			return err
		}),
		checked(&nw.mac, "mac-address", "MAC `ADDRESS` on the network", values.MAC),
		cmdkit.Func("network-alias net-alias", "Another `NAME` on its networks", func(s string) error {
			nw.aliases = append(nw.aliases, s)
			return values.Hostname(s)
		}),
		cmdkit.Func("publish p", "Publish a port: `[[IP:][HOSTPORT]:]PORT[/PROTOCOL]`, ranges too", func(s string) error {
			ports, err := values.Publish(s)
			n.Ports = append(n.Ports, ports...)
			return err
		}),
		cmdkit.Bool(&n.PublishAll, "publish-all P", "Publish every exposed port at a free port of the host"),
	)
}

// nameFlags are those about names: /etc/hosts, /etc/hostname and /etc/resolv.conf.
func (w *wish) nameFlags() []cli.Flag {
	n := &w.Config.Network
	return []cli.Flag{
		cmdkit.Func("add-host", "Line `NAME:IP` in /etc/hosts; host-gateway is the host's address", func(s string) error {
			line, err := values.AddHost(s)
			n.Hosts = append(n.Hosts, line)
			return err
		}),
		cmdkit.Func("dns", "Name server `IP`; none leaves the image's resolv.conf", func(s string) error {
			if s == "none" {
				n.KeepResolv = true
				return nil
			}
			n.DNS = append(n.DNS, s)
			return values.Addr(s)
		}),
		cmdkit.Strings(&n.DNSOpts, "dns-option dns-opt", "`OPTION` of resolv.conf"),
		cmdkit.Strings(&n.Search, "dns-search", "Search `DOMAIN` of resolv.conf, . for none"),
		cmdkit.Bool(&n.NoHostname, "no-hostname", "Leave the image's /etc/hostname"),
		cmdkit.Bool(&n.NoHosts, "no-hosts", "Leave the image's /etc/hosts"),
	}
}

// finish puts the networks together: one mode, or any number of networks.
func (w *networkWish) finish(n *record.Network) error {
	if len(w.given) == 0 {
		w.given = []record.Network{defaultNetwork()}
	}
	for _, one := range w.given {
		if len(w.given) > 1 && one.Mode != "bridge" {
			return cmdkit.Usagef("--network %s does not go with another --network", one.Mode)
		}
		n.Mode, n.Options = one.Mode, one.Options
		n.Ends = append(n.Ends, one.Ends...)
	}
	if n.NoHosts && (len(n.Hosts) > 0 || len(n.Links) > 0) {
		return cmdkit.Usagef("--no-hosts does not go with --add-host and --link")
	}
	if n.KeepResolv && (len(n.DNS) > 0 || len(n.Search) > 0 || len(n.DNSOpts) > 0) {
		return cmdkit.Usagef("--dns none does not go with other name servers, --dns-search and --dns-option")
	}
	if n.Mode != "bridge" {
		return w.refuse(n)
	}
	return w.bind(n)
}

// refuse names the flag that needs a network of bridges.
func (w *networkWish) refuse(n *record.Network) error {
	shown, _, _ := strings.Cut(n.Mode, ":")
	for flag, given := range map[string]bool{"--publish": len(n.Ports) > 0 && n.Mode != "host" && n.Mode != "none", "--ip": w.ip != "", "--ip6": w.ip6 != "",
		"--mac-address": w.mac != "", "--network-alias": len(w.aliases) > 0, "--link": len(n.Links) > 0} {
		if given {
			return cmdkit.Usagef("%s does not go with --network %s (leave --network out, or name a network)", flag, shown)
		}
	}
	return nil
}

// bind gives the addresses to the first network and the aliases to all.
func (w *networkWish) bind(n *record.Network) error {
	first := &n.Ends[0]
	for flag, given := range map[string]bool{"--ip": w.ip != "", "--ip6": w.ip6 != "", "--mac-address": w.mac != ""} {
		if given && len(n.Ends) > 1 {
			return cmdkit.Usagef("%s with several networks: say it in --network NAME:ip=ADDRESS,mac=ADDRESS", flag)
		}
	}
	for _, ip := range []string{w.ip, w.ip6} {
		if ip != "" {
			first.IPs = append(first.IPs, ip)
		}
	}
	if w.mac != "" {
		if first.MAC != "" {
			return cmdkit.Usagef("--mac-address and mac= of --network are the same thing")
		}
		first.MAC = w.mac
	}
	seen := map[string]bool{}
	for i := range n.Ends {
		end := &n.Ends[i]
		if seen[end.Network] {
			return cmdkit.Usagef("network %q is named twice", end.Network)
		}
		seen[end.Network] = true
		end.Aliases = append(end.Aliases, w.aliases...)
		slices.Sort(end.Aliases)
		end.Aliases = slices.Compact(end.Aliases)
	}
	if len(w.aliases) > 0 && len(n.Ends) == 1 && first.Network == "bridge" {
		return fmt.Errorf("--network-alias: the default network has no names (wherry network create NET, then --network NET)")
	}
	return nil
}

// defaultNetwork is that of containers that ask for none.
func defaultNetwork() record.Network {
	return record.Network{Mode: "bridge", Ends: []record.NetworkEnd{{Network: "bridge"}}}
}
