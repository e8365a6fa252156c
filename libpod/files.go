package libpod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/network/resolvconf"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/layout"
)

const (
	hostsFile    = "hosts"
	hostnameFile = "hostname"
	resolvFile   = "resolv.conf"
)

// files writes the container's /etc/hosts, /etc/hostname and /etc/resolv.conf into its run directory.
func (s *startup) files() (spec.Files, error) {
	files := spec.Files{
		Hosts:      filepath.Join(s.runDir, hostsFile),
		Hostname:   filepath.Join(s.runDir, hostnameFile),
		ResolvConf: filepath.Join(s.runDir, resolvFile),
	}
	resolv, err := s.resolvConf()
	if err != nil {
		return files, err
	}
	hosts, err := s.hosts()
	if err != nil {
		return files, err
	}
	hostname := s.c.Hostname
	if hostname == "" {
		hostname, _ = os.Hostname() // the host's, with its network
	}
	for path, content := range map[string]string{files.Hosts: hosts, files.Hostname: hostname + "\n", files.ResolvConf: resolv} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return files, fmt.Errorf("write %s: %w", filepath.Base(path), err)
		}
	}
	return files, nil
}

// hosts is the content of /etc/hosts: the host's own with its network, else Docker's.
func (s *startup) hosts() (string, error) {
	var b strings.Builder
	if s.c.Network.Mode == "host" {
		own, err := os.ReadFile("/etc/hosts")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		b.Write(own)
	} else {
		b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n" +
			"ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")
		if s.c.Network.Mode == "none" {
			fmt.Fprintf(&b, "127.0.0.1\t%s\n", s.c.Hostname)
		}
	}
	for _, host := range s.c.Network.Hosts {
		name, ip, _ := strings.Cut(host, ":")
		if ip == "host-gateway" {
			return "", errdefs.New(errdefs.ErrUnsupported, "--add-host %s: host-gateway is not there yet (give an address)", host)
		}
		fmt.Fprintf(&b, "%s\t%s\n", ip, name)
	}
	if s.c.Network.Mode == "private" {
		fmt.Fprintf(&b, "127.0.1.1\t%s\n", s.c.Hostname)
	}
	return b.String(), nil
}

// resolvConf is the content of /etc/resolv.conf: the host's with the wished changes. In a private network a resolver
// on the host's loopback is out of reach; the uplink forwards to it from an address of its own.
func (s *startup) resolvConf() (string, error) {
	conf, err := resolvconf.ReadHost()
	if err != nil {
		return "", err
	}
	n := s.c.Network
	conf = conf.With(n.DNS, n.Search, n.DNSOpts)
	if n.Mode == "private" && len(n.DNS) == 0 {
		conf = conf.ReplaceLoopback(uplinkDNS)
	}
	return conf.String(), nil
}

// findInit returns the init process for --init: one that is installed.
func findInit(d layout.Dirs) (string, error) {
	own := filepath.Join(d.Libexec, "wherry-init")
	for _, path := range []string{own, "/usr/bin/catatonit", "/usr/libexec/podman/catatonit", "/usr/libexec/catatonit/catatonit", "/usr/bin/tini-static", "/usr/bin/docker-init", "/usr/libexec/docker/docker-init"} {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", errdefs.New(errdefs.ErrUnsupported, "--init needs an init process on the host (sudo apt install catatonit)")
}
