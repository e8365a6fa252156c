package run

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/network"
	"github.com/wherry-containers/wherry/network/resolvconf"
	"github.com/wherry-containers/wherry/network/uplink"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/rootless"
)

// connection is the step's on the networks, made beside the rest.
type connection struct {
	done chan struct{}
	att  *network.Attaching
	err  error
}

// connect begins to connect the step to its networks. What is made there for all of the user's containers has to be in the
// mount namespace that his commands share, which this process has left.
func (st *step) connect(ctx context.Context) {
	if st.Network != pb.NetMode_UNSET {
		return
	}
	names := st.Networks
	if len(names) == 0 {
		names = []string{network.Default}
	}
	req := network.Request{ID: st.place.ID, Name: "build-" + st.place.ID[:12], RunDir: st.place.Private(), DNS: st.DNS.Servers}
	for _, name := range names {
		req.Networks = append(req.Networks, network.Wish{Network: name})
	}
	st.net = &connection{done: make(chan struct{})}
	go func() {
		defer close(st.net.done)
		st.net.err = inUsersMounts(func() (err error) {
			if st.net.att, err = st.r.networks().Attach(ctx, req); err == nil {
				return nil
			}
			return fmt.Errorf("network of the step: %w", err)
		})
	}()
}

// inUsersMounts runs fn on a thread in the mount namespace of the user's commands; where there is none it is our own.
func inUsersMounts(fn func() error) error {
	return onOwnThread(func() error {
		pid := rootless.PausePID()
		if pid <= 0 {
			return fn()
		}
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
		if err != nil {
			return fmt.Errorf("open the user's mount namespace: %w", err)
		}
		defer ns.Close()
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("enter the user's mount namespace: %w", err)
		}
		defer runtime.KeepAlive(ns)
		return fn()
	})
}

// awaitNetwork returns when the step is connected: the path of its network namespace, kept in the step's mount namespace.
// Where networks cannot be had at all the default is the host's.
func (st *step) awaitNetwork(cfg *record.Config) (string, error) {
	if st.net == nil {
		return "", nil
	}
	<-st.net.done
	if err := st.net.err; err != nil {
		if len(st.Networks) > 0 || !errors.Is(err, errdefs.ErrUnsupported) {
			return "", err
		}
		st.r.fellBack.Do(func() { st.r.opts.Warn("RUN uses the host's network: " + err.Error()) })
		st.net, st.Network, cfg.Network.Mode = nil, pb.NetMode_HOST, "host"
		return "", nil
	}
	file := filepath.Join(st.dir, "netns")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return "", err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", st.net.att.NetNS.Fd()), file, "", unix.MS_BIND, ""); err != nil {
		return "", fmt.Errorf("keep the step's network namespace: %w", err)
	}
	return file, nil
}

// proveNetwork writes down that the connection is alive as long as this process.
func (st *step) proveNetwork(ctx context.Context) error {
	if st.net == nil {
		return nil
	}
	return st.net.att.Commit(ctx, os.Getpid())
}

// disconnect takes back what connect has begun.
func (st *step) disconnect() {
	if st.net == nil {
		return
	}
	<-st.net.done
	if st.net.att != nil {
		st.net.att.Undo()
	}
}

// files writes /etc/hosts and /etc/resolv.conf where the step does not mount something there itself.
func (st *step) files(mounts []specs.Mount) ([]specs.Mount, error) {
	var out []specs.Mount
	for _, f := range []struct {
		target string
		text   func() (string, error)
	}{{"/etc/resolv.conf", st.resolvConf}, {"/etc/hosts", st.hosts}} {
		taken := false
		for _, m := range mounts {
			taken = taken || m.Destination == f.target
		}
		if taken {
			continue
		}
		text, err := f.text()
		if err != nil {
			return nil, err
		}
		name := filepath.Join(st.dir, filepath.Base(f.target))
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return nil, err
		}
		m := bind(name, true)
		m.Destination = f.target
		out = append(out, m)
	}
	return out, nil
}

// hosts is BuildKit's /etc/hosts, with the hosts that the user adds.
func (st *step) hosts() (string, error) {
	var b strings.Builder
	name := st.Meta.Hostname
	if name == "" {
		name = defaultHostname
	}
	fmt.Fprintf(&b, "127.0.0.1\tlocalhost %s\n::1\tlocalhost ip6-localhost ip6-loopback\n", name)
	for _, h := range st.Meta.ExtraHosts {
		ip := h.IP
		if ip == "host-gateway" {
			var err error
			if ip, err = st.hostGateway(); err != nil {
				return "", err
			}
		}
		if net.ParseIP(ip) == nil {
			return "", errdefs.New(errdefs.ErrInvalid, "--add-host %s: %q is not an IP address", h.Host, h.IP)
		}
		fmt.Fprintf(&b, "%s\t%s\n", ip, h.Host)
	}
	return b.String(), nil
}

// hostGateway is an address of the host that the step reaches: of the bridge as root, else the host's own on the way out.
func (st *step) hostGateway() (string, error) {
	if st.Network == pb.NetMode_HOST {
		return "127.0.0.1", nil
	}
	if st.net != nil && !st.h.rootless {
		for _, end := range st.net.att.Networks() {
			for _, gw := range end.Gateways {
				return gw.String(), nil
			}
		}
	}
	conn, err := net.Dial("udp4", "192.0.2.1:9") // sends nothing: it asks the kernel for the way
	if err != nil {
		return "", errdefs.New(errdefs.ErrState, "--add-host with host-gateway: the host has no address that leads out (give an address)")
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String(), nil
}

// resolvConf is the host's with the user's changes. On networks with names these are asked; elsewhere a resolver on the
// host's loopback is out of reach, and the uplink forwards to it.
func (st *step) resolvConf() (string, error) {
	conf, err := resolvconf.ReadHost()
	if err != nil {
		return "", err
	}
	var servers, search []string
	if st.net != nil {
		for _, end := range st.net.att.Networks() {
			servers, search = append(servers, end.DNSServers...), append(search, end.DNSSearch...)
		}
	}
	conf = conf.With(st.DNS.Servers, st.DNS.Search, st.DNS.Options)
	switch {
	case len(servers) > 0:
		conf.Servers = servers
		if len(st.DNS.Search) == 0 {
			conf.Search = append(search, conf.Search...)
		}
	case st.net != nil && len(st.DNS.Servers) == 0 && st.h.rootless:
		conf = conf.ReplaceLoopback(uplink.DNS)
	}
	return conf.String(), nil
}
