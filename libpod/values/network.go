package values

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
)

// Network parses one --network: a mode with its options, or the name of a network with ip=, ip6=, mac=, alias= and
// interface_name=, each alias and address as often as wished.
func Network(s string) (record.Network, error) {
	mode, options, has := strings.Cut(s, ":")
	n := record.Network{Mode: mode}
	switch mode {
	case "none", "host":
		if has {
			return n, fmt.Errorf("%s has no options", mode)
		}
		return n, nil
	case "container", "ns":
		if options == "" {
			return n, fmt.Errorf("it looks like container:NAME or ns:PATH")
		}
		if mode == "ns" && !strings.HasPrefix(options, "/") {
			return n, fmt.Errorf("ns: takes an absolute path, as ns:/proc/PID/ns/net")
		}
		n.Mode = s
		return n, nil
	case "private":
		if has {
			return n, fmt.Errorf("private has no options (pasta and slirp4netns have)")
		}
		return n, nil
	case "pasta":
		n.Options = fields(options)
		return n, pastaOptions(n.Options)
	case "slirp4netns":
		var err error
		n.Options, err = slirpOptions(fields(options))
		return n, err
	}
	name := mode
	if strings.Contains(mode, "=") { // --network name=web,alias=db, Docker's long form
		name, options = longForm(s)
	}
	if name == "default" || s == "" {
		name = "bridge"
	}
	if err := Name(name); err != nil {
		return n, err
	}
	end, err := networkEnd(name, fields(options))
	return record.Network{Mode: "bridge", Ends: []record.NetworkEnd{end}}, err
}

func fields(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// longForm takes name=NAME out of a list of options.
func longForm(s string) (name, rest string) {
	var others []string
	for _, field := range fields(s) {
		if v, ok := strings.CutPrefix(field, "name="); ok {
			name = v
		} else {
			others = append(others, field)
		}
	}
	return name, strings.Join(others, ",")
}

func networkEnd(name string, options []string) (record.NetworkEnd, error) {
	end := record.NetworkEnd{Network: name}
	for _, option := range options {
		key, value, ok := strings.Cut(option, "=")
		if !ok || value == "" {
			return end, fmt.Errorf("%q is not KEY=VALUE (ip, ip6, mac, alias and interface_name are the keys)", option)
		}
		switch key {
		case "ip", "ip6":
			if err := Addr(value); err != nil {
				return end, fmt.Errorf("%s=%s: it is not an IP address", key, value)
			}
			end.IPs = append(end.IPs, value)
		case "mac", "mac-address":
			if err := MAC(value); err != nil {
				return end, err
			}
			end.MAC = value
		case "alias":
			if err := Hostname(value); err != nil {
				return end, fmt.Errorf("alias=%s: %w", value, err)
			}
			end.Aliases = append(end.Aliases, value)
		case "interface_name":
			if err := InterfaceName(value); err != nil {
				return end, err
			}
			end.Interface = value
		default:
			return end, fmt.Errorf("a network has no option %q (ip, ip6, mac, alias and interface_name are)", key)
		}
	}
	return end, nil
}

// MAC checks an Ethernet address that one host can have.
func MAC(s string) error {
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != 6 {
		return fmt.Errorf("%q is not a MAC address as 02:00:00:00:00:01", s)
	}
	if mac[0]&1 != 0 {
		return fmt.Errorf("MAC address %s is that of a group (the first byte must be even)", s)
	}
	return nil
}

// InterfaceName checks the name of a network interface.
func InterfaceName(s string) error {
	if s == "" || len(s) > 15 || strings.ContainsAny(s, "/: \t\n") || s == "." || s == ".." || s == "lo" {
		return fmt.Errorf("%q cannot be the name of an interface (1 to 15 characters without / and :)", s)
	}
	return nil
}

// pastaOptions refuses the arguments that wherry sets itself.
func pastaOptions(args []string) error {
	for _, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if slices.Contains([]string{"--netns", "--userns", "--pid", "-P", "--runas", "-f", "--foreground", "--netns-only", "-d", "--trace"}, name) {
			return fmt.Errorf("wherry sets %s itself", name)
		}
		if arg == "" {
			return fmt.Errorf("there is an empty option")
		}
	}
	return nil
}

// slirpOptions turns Podman's options into slirp4netns's arguments.
func slirpOptions(options []string) ([]string, error) {
	var args []string
	for _, option := range options {
		key, value, _ := strings.Cut(option, "=")
		yes, boolErr := strconv.ParseBool(value)
		switch key {
		case "allow_host_loopback", "enable_ipv6":
			if boolErr != nil {
				return nil, fmt.Errorf("%s is true or false", key)
			}
			if yes {
				args = append(args, map[string]string{"allow_host_loopback": "--allow-host-loopback", "enable_ipv6": "--enable-ipv6"}[key])
			}
		case "mtu":
			if n, err := strconv.Atoi(value); err != nil || n < 68 || n > 65521 {
				return nil, fmt.Errorf("mtu is a number from 68 to 65521")
			}
			args = append(args, "--mtu="+value)
		case "cidr":
			if p, err := netip.ParsePrefix(value); err != nil || !p.Addr().Is4() || p.Bits() > 25 {
				return nil, fmt.Errorf("cidr is an IPv4 subnet of 25 bits at most")
			}
			args = append(args, "--cidr="+value)
		case "outbound_addr":
			args = append(args, "--outbound-addr="+value)
		case "outbound_addr6":
			args = append(args, "--outbound-addr6="+value)
		case "port_handler":
			return nil, fmt.Errorf("port_handler is not there: published ports need a network of bridges (leave --network out)")
		default:
			return nil, fmt.Errorf("slirp4netns has no option %q (allow_host_loopback, mtu, cidr, enable_ipv6, outbound_addr and outbound_addr6 are)", key)
		}
	}
	return args, nil
}

// Link parses --link CONTAINER[:ALIAS].
func Link(s string) (record.Link, error) {
	name, alias, has := strings.Cut(s, ":")
	if !has {
		alias = name
	}
	if err := Name(name); err != nil {
		return record.Link{}, err
	}
	return record.Link{Name: name, Alias: alias}, Hostname(alias)
}
