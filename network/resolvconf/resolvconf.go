// Package resolvconf reads the host's resolv.conf and makes a container's from it (resolv.conf(5)).
package resolvconf

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
)

const (
	hostFile     = "/etc/resolv.conf"
	systemdFile  = "/run/systemd/resolve/resolv.conf" // the real servers where the host file names systemd's stub
	systemdStub  = "127.0.0.53"
	maxSize      = 64 << 10
	maxNameLines = 256
)

// Conf is the content of one resolv.conf.
type Conf struct {
	Servers []string // addresses, a link-local one with its zone
	Search  []string
	Options []string
}

// ReadHost reads the host's file; behind systemd-resolved the one with the real servers, for its stub listens on the
// host's loopback only. No file at all is an empty configuration.
func ReadHost() (Conf, error) {
	conf, err := read(hostFile)
	if err != nil {
		return conf, err
	}
	if slices.Equal(conf.Servers, []string{systemdStub}) {
		if real, err := read(systemdFile); err == nil && len(real.Servers) > 0 {
			return real, nil
		}
	}
	return conf, nil
}

func read(path string) (Conf, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Conf{}, nil
	} else if err != nil {
		return Conf{}, err
	}
	return Parse(string(data[:min(len(data), maxSize)])), nil
}

// Parse reads the lines it knows and leaves out the rest, as the C library does.
func Parse(text string) Conf {
	var c Conf
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.ContainsAny(fields[0][:1], "#;") {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if _, err := netip.ParseAddr(fields[1]); err == nil && len(c.Servers) < maxNameLines {
				c.Servers = append(c.Servers, fields[1])
			}
		case "search", "domain":
			c.Search = fields[1:]
		case "options":
			c.Options = append(c.Options, fields[1:]...)
		}
	}
	return c
}

// With returns c with each list that is given in place of c's own. A search of "." means none.
func (c Conf) With(servers, search, options []string) Conf {
	if len(servers) > 0 {
		c.Servers = servers
	}
	if len(search) > 0 {
		c.Search = search
	}
	if slices.Equal(search, []string{"."}) {
		c.Search = nil
	}
	if len(options) > 0 {
		c.Options = options
	}
	return c
}

// ReplaceLoopback returns c with servers on the loopback, which another network namespace does not reach, replaced by
// the address forward.
func (c Conf) ReplaceLoopback(forward string) Conf {
	var servers []string
	for _, s := range c.Servers {
		if addr, err := netip.ParseAddr(s); err == nil && addr.IsLoopback() {
			s = forward
		}
		if !slices.Contains(servers, s) {
			servers = append(servers, s)
		}
	}
	c.Servers = servers
	return c
}

// String is the file's content.
func (c Conf) String() string {
	var b strings.Builder
	for _, s := range c.Servers {
		b.WriteString("nameserver " + s + "\n")
	}
	if len(c.Search) > 0 {
		b.WriteString("search " + strings.Join(c.Search, " ") + "\n")
	}
	if len(c.Options) > 0 {
		b.WriteString("options " + strings.Join(c.Options, " ") + "\n")
	}
	return b.String()
}
