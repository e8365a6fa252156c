package libpod

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/network"
	"github.com/wherry-containers/wherry/network/resolvconf"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// files writes the container's /etc/hosts, /etc/hostname and /etc/resolv.conf into its run directory. One that shares the
// network of another container shares that one's.
func (s *startup) files(in *spec.Input) (spec.Files, error) {
	if id, ok := strings.CutPrefix(s.c.Network.Mode, "container:"); ok {
		return s.sharedFiles(id)
	}
	n := &s.c.Network
	var files spec.Files
	content := map[string]string{}
	if !n.KeepResolv {
		resolv, err := s.resolvConf()
		if err != nil {
			return files, err
		}
		files.ResolvConf = filepath.Join(s.runDir, resolvFile)
		content[files.ResolvConf] = resolv
	}
	if !n.NoHosts {
		hosts, err := s.hosts()
		if err != nil {
			return files, err
		}
		files.Hosts = filepath.Join(s.runDir, hostsFile)
		content[files.Hosts] = hosts
	}
	if !n.NoHostname {
		files.Hostname = filepath.Join(s.runDir, hostnameFile)
		content[files.Hostname] = s.hostname(in) + "\n"
	}
	for path, text := range content {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return files, fmt.Errorf("write %s: %w", filepath.Base(path), err)
		}
	}
	var err error
	files.Localtime, err = s.localtime()
	return files, err
}

// hostname is the container's, or that of whom it shares the host name with.
func (s *startup) hostname(in *spec.Input) string {
	if name := firstOf(in.Joined.Hostname, s.c.Hostname); name != "" {
		return name
	}
	name, _ := os.Hostname()
	return name
}

// sharedFiles are those of the container whose network is shared; what it has not, the image's stay.
func (s *startup) sharedFiles(id string) (spec.Files, error) {
	there := func(name string) string {
		path := filepath.Join(s.e.dirs.ContainerRun(id), name)
		if _, err := os.Stat(path); err != nil {
			return ""
		}
		return path
	}
	files := spec.Files{ResolvConf: there(resolvFile), Hosts: there(hostsFile), Hostname: there(hostnameFile)}
	var err error
	files.Localtime, err = s.localtime()
	return files, err
}

// hosts is the content of /etc/hosts: the host's own with its network, else Docker's.
func (s *startup) hosts() (string, error) {
	var b strings.Builder
	n := &s.c.Network
	if n.Mode == "host" {
		own, err := os.ReadFile("/etc/hosts")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		b.Write(own)
	} else {
		b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n" +
			"ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")
	}
	for _, host := range n.Hosts {
		name, ip, _ := strings.Cut(host, ":")
		if ip == "host-gateway" {
			var err error
			if ip, err = s.hostGateway(); err != nil {
				return "", err
			}
		}
		fmt.Fprintf(&b, "%s\t%s\n", ip, name)
	}
	if err := s.linkHosts(&b); err != nil {
		return "", err
	}
	s.ownHosts(&b)
	return b.String(), nil
}

// ownHosts are the lines for the container's own name.
func (s *startup) ownHosts(b *strings.Builder) {
	name := s.c.Hostname
	switch mode := s.c.Network.Mode; {
	case name == "":
	case ownUplink(mode):
		fmt.Fprintf(b, "127.0.1.1\t%s\n", name)
	case mode == "none":
		fmt.Fprintf(b, "127.0.0.1\t%s\n", name)
	case s.net != nil:
		for _, end := range s.net.att.Networks() {
			for _, ip := range end.IPs {
				fmt.Fprintf(b, "%s\t%s\n", ip.Addr(), name)
			}
		}
	}
}

// linkHosts are the lines of --link.
func (s *startup) linkHosts(b *strings.Builder) error {
	for _, link := range s.c.Network.Links {
		target, err := s.e.lookSettled(link.ID)
		if err != nil {
			return fmt.Errorf("--link %s: %w", link.Name, err)
		}
		att := s.e.attachment(target)
		if att == nil {
			return errdefs.New(errdefs.ErrState, "--link %s: it is not running on a network (wherry start %s starts it)", link.Name, link.Name)
		}
		end := commonEnd(s.net.att.Networks(), att)
		if end == nil {
			return errdefs.New(errdefs.ErrInvalid, "--link %s: the two containers share no network", link.Name)
		}
		names := []string{link.Alias}
		for _, other := range []string{shortID(target.ID), target.name()} {
			if other != link.Alias {
				names = append(names, other)
			}
		}
		fmt.Fprintf(b, "%s\t%s\n", end.IPs[0].Addr(), strings.Join(names, " "))
	}
	return nil
}

// commonEnd is the other's end of the first network that both are on.
func commonEnd(ours []state.Endpoint, other *state.Attachment) *state.Endpoint {
	for _, end := range ours {
		if theirs := other.On(end.Network); theirs != nil && len(theirs.IPs) > 0 {
			return theirs
		}
	}
	return nil
}

// hostGateway is an address of the host that the container reaches: of the bridge as root, else the host's own on the
// way out.
func (s *startup) hostGateway() (string, error) {
	if s.net != nil && !s.e.host().rootless {
		for _, end := range s.net.att.Networks() {
			for _, gw := range end.Gateways {
				return gw.String(), nil
			}
		}
	}
	if s.c.Network.Mode == "host" {
		return "127.0.0.1", nil
	}
	conn, err := net.Dial("udp4", "192.0.2.1:9") // sends nothing: it asks the kernel for the way
	if err != nil {
		return "", errdefs.New(errdefs.ErrState, "--add-host with host-gateway: the host has no address that leads out (give an address)")
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String(), nil
}

// resolvConf is the content of /etc/resolv.conf: the host's with the wished changes. On networks with names it is
// wherry-net that is asked, which knows the rest from the host. Elsewhere a resolver on the host's loopback is out of
// reach; the uplink forwards to it from an address of its own.
func (s *startup) resolvConf() (string, error) {
	conf, err := resolvconf.ReadHost()
	if err != nil {
		return "", err
	}
	n := &s.c.Network
	servers, search := s.networkNames()
	conf = conf.With(n.DNS, n.Search, n.DNSOpts)
	switch {
	case len(servers) > 0:
		conf.Servers = servers
		if len(n.Search) == 0 {
			conf.Search = append(search, conf.Search...)
		}
		if len(n.DNSOpts) == 0 {
			conf.Options = append(conf.Options, "ndots:0")
		}
	case len(n.DNS) == 0 && (ownUplink(n.Mode) || s.net != nil && s.e.host().rootless):
		conf = conf.ReplaceLoopback(uplinkDNS)
	}
	return conf.String(), nil
}

// networkNames are the servers and domains that the container's networks name.
func (s *startup) networkNames() (servers, search []string) {
	if s.net == nil {
		return nil, nil
	}
	for _, end := range s.net.att.Networks() {
		servers, search = append(servers, end.DNSServers...), append(search, end.DNSSearch...)
	}
	return servers, search
}

// defaultEnd is the network of containers that ask for none.
func defaultEnd() record.NetworkEnd { return record.NetworkEnd{Network: network.Default} }
