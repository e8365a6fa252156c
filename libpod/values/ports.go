package values

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
)

// Publish parses -p [[IP:][HOSTPORT]:]PORT[/PROTOCOL]; each port may be a range FIRST-LAST. A range of host ports for one
// port means any of them. Docker's long form is published=HOSTPORT,target=PORT,protocol=PROTOCOL, in any order.
func Publish(s string) ([]record.Port, error) {
	if strings.Contains(s, "=") {
		short, err := shortPort(s)
		if err != nil {
			return nil, err
		}
		s = short
	}
	rest, protocol, err := cutProtocol(s)
	if err != nil {
		return nil, err
	}
	ip, host, inside, err := cutPort(rest)
	if err != nil {
		return nil, err
	}
	if ip != "" {
		if ip, err = hostIP(ip); err != nil {
			return nil, err
		}
	}
	first, last, err := portRange(inside)
	if err != nil {
		return nil, err
	}
	p := record.Port{HostIP: ip, Protocol: protocol}
	if host == "" {
		return eachPort(p, 0, first, last), nil
	}
	hostFirst, hostLast, err := portRange(host)
	if err != nil {
		return nil, err
	}
	switch {
	case hostLast-hostFirst == last-first:
		return eachPort(p, hostFirst, first, last), nil
	case first == last:
		p.HostPort, p.HostPortEnd, p.ContainerPort = uint16(hostFirst), uint16(hostLast), uint16(first)
		return []record.Port{p}, nil
	}
	return nil, fmt.Errorf("the ranges %s and %s differ in length", host, inside)
}

// shortPort is the short form of a long one. Its mode matters to services only.
func shortPort(s string) (string, error) {
	given := map[string]string{}
	for _, field := range strings.Split(s, ",") {
		key, value, _ := strings.Cut(field, "=")
		switch {
		case key == "mode" && value != "ingress" && value != "host":
			return "", fmt.Errorf("mode %q: ingress and host are there", value)
		case key != "mode" && key != "target" && key != "published" && key != "protocol":
			return "", fmt.Errorf("unknown key %q: target, published, protocol and mode are there", key)
		case value == "" || given[key] != "":
			return "", fmt.Errorf("%s wants one value", key)
		}
		given[key] = value
	}
	short := given["target"]
	if short == "" {
		return "", fmt.Errorf("target=PORT, the port in the container, is missing")
	}
	if given["published"] != "" {
		short = given["published"] + ":" + short
	}
	if given["protocol"] != "" {
		short += "/" + given["protocol"]
	}
	return short, nil
}

// eachPort makes one port of each in first to last; host 0 leaves the choice of the host's.
func eachPort(p record.Port, host, first, last int) []record.Port {
	var all []record.Port
	for port := first; port <= last; port++ {
		p.ContainerPort = uint16(port)
		if host > 0 {
			p.HostPort = uint16(host + port - first)
		}
		all = append(all, p)
	}
	return all
}

// cutPort splits [[IP:]HOSTPORT:]PORT; an IPv6 address is in brackets.
func cutPort(s string) (ip, host, inside string, err error) {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		address, after, closed := strings.Cut(rest, "]:")
		if !closed {
			return "", "", "", fmt.Errorf("it looks like [::1]:8080:80")
		}
		ip, s = address, after
		if ip == "" {
			return "", "", "", fmt.Errorf("the address in brackets is missing")
		}
	}
	parts := strings.Split(s, ":")
	switch {
	case ip != "" && len(parts) == 1:
		return ip, "", parts[0], nil
	case len(parts) == 1:
		return "", "", parts[0], nil
	case len(parts) == 2 && ip == "" && strings.Contains(parts[0], "."):
		return parts[0], "", parts[1], nil
	case len(parts) == 2:
		return ip, parts[0], parts[1], nil
	case len(parts) == 3 && ip == "":
		return parts[0], parts[1], parts[2], nil
	}
	return "", "", "", fmt.Errorf("it looks like [[IP:]HOSTPORT:]PORT[/PROTOCOL], an IPv6 address in brackets")
}

func hostIP(s string) (string, error) {
	if s == "localhost" {
		return "127.0.0.1", nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return "", fmt.Errorf("%q is not an IP address", s)
	}
	return addr.String(), nil
}

func cutProtocol(s string) (rest, protocol string, err error) {
	rest, protocol, has := strings.Cut(s, "/")
	if !has {
		return rest, "tcp", nil
	}
	protocol = strings.ToLower(protocol)
	switch protocol {
	case "tcp", "udp":
		return rest, protocol, nil
	case "sctp":
		return "", "", fmt.Errorf("sctp cannot be published (tcp and udp can; containers reach each other by sctp on their network)")
	}
	return "", "", fmt.Errorf("protocol %q: tcp and udp are there", protocol)
}

// portRange parses PORT or FIRST-LAST.
func portRange(s string) (first, last int, err error) {
	a, b, isRange := strings.Cut(s, "-")
	if first, err = port(a); err != nil {
		return 0, 0, err
	}
	if !isRange {
		return first, first, nil
	}
	if last, err = port(b); err != nil {
		return 0, 0, err
	}
	if last < first {
		return 0, 0, fmt.Errorf("the range %s runs backwards", s)
	}
	return first, last, nil
}

func port(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '+' {
		return 0, fmt.Errorf("%q is not a port (1 to 65535)", s)
	}
	return int(n), nil
}

// Expose parses PORT[/PROTOCOL] or FIRST-LAST[/PROTOCOL] into PORT/PROTOCOL each.
func Expose(s string) ([]string, error) {
	rest, protocol, has := strings.Cut(s, "/")
	if !has {
		protocol = "tcp"
	}
	protocol = strings.ToLower(protocol)
	if err := OneOf(protocol, "tcp", "udp", "sctp"); err != nil {
		return nil, fmt.Errorf("protocol %q: %w", protocol, err)
	}
	first, last, err := portRange(rest)
	if err != nil {
		return nil, err
	}
	var all []string
	for p := first; p <= last; p++ {
		all = append(all, fmt.Sprintf("%d/%s", p, protocol))
	}
	return all, nil
}
