// Package nettest gives tests network namespaces of their own, without root: a host with an outside client, and a
// namespace with bridges and containers as an ordinary user's networks have them.
package nettest

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/network/nssocket"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/procs"
)

const inside = "WHERRY_NETTEST_INSIDE"

// Addresses of the host and of the client outside, on the link between them.
var (
	Host    = netip.MustParseAddr("192.0.2.1")
	Client  = netip.MustParseAddr("192.0.2.2")
	Host6   = netip.MustParseAddr("2001:db8::1")
	Client6 = netip.MustParseAddr("2001:db8::2")
)

// Run runs the tests in a user and a network namespace of their own and returns their exit status. args are the test
// program's, out its standard output.
func Run(m *testing.M, args []string, out *os.File) int {
	if os.Getenv(inside) != "" {
		return m.Run()
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := exec.Command(self, args[1:]...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "skipped: this machine gives no user namespaces:", err)
		return 0
	}
	if err := cmd.Wait(); err != nil {
		return 1
	}
	return 0
}

// World is the namespaces of one test.
type World struct {
	t       testing.TB
	Dir     state.Dir
	File    *os.File            // the namespace of the networks
	Inside  *nssocket.Namespace // the same
	Outside *nssocket.Namespace // the client's
}

// New makes a world without networks. The host is the process's own namespace, so only one world is there at a time.
func New(t testing.TB) *World {
	t.Helper()
	w := &World{t: t, Dir: state.Dir(t.TempDir() + "/net")}
	w.File, w.Inside = w.namespace()
	var client *os.File
	client, w.Outside = w.namespace()
	w.must(quick())
	w.must(up("lo"))
	w.link("uplink", client, "eth0")
	w.must(address("uplink", netip.PrefixFrom(Host, 24), netip.PrefixFrom(Host6, 64)))
	w.must(up("uplink"))
	w.must(w.Outside.Do(func() error {
		if err := address("eth0", netip.PrefixFrom(Client, 24), netip.PrefixFrom(Client6, 64)); err != nil {
			return err
		}
		return up("eth0")
	}))
	t.Cleanup(func() {
		if link, err := netlink.LinkByName("uplink"); err == nil {
			netlink.LinkDel(link)
		}
	})
	return w
}

func (w *World) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// namespace makes a network namespace with its loopback up; its end is the test's.
func (w *World) namespace() (*os.File, *nssocket.Namespace) {
	w.t.Helper()
	made := make(chan error)
	var file *os.File
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			file, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
	}()
	w.must(<-made)
	ns, err := nssocket.Enter(file)
	w.must(err)
	w.must(ns.Do(quick))
	w.must(ns.Do(func() error { return up("lo") }))
	w.t.Cleanup(func() {
		ns.Close()
		file.Close()
	})
	return file, ns
}

// quick keeps IPv6 addresses from waiting for a second or two whether somebody has them already.
func quick() error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no IPv6
	}
	return err
}

// link makes a pair of interfaces, name here and peer in the other namespace.
func (w *World) link(name string, other *os.File, peer string) {
	w.t.Helper()
	w.must(veth(name, other, peer))
}

func veth(name string, other *os.File, peer string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer, PeerNamespace: netlink.NsFd(int(other.Fd()))})
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

func address(name string, prefixes ...netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, p := range prefixes {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return err
		}
	}
	return nil
}

// Network makes a network with a bridge whose addresses are the gateways, and says so in the state.
func (w *World) Network(n state.Network, gateways ...string) *state.Network {
	w.t.Helper()
	n.Bridge, n.DNSEnabled = "br-"+n.Name, true
	for _, text := range gateways {
		p := netip.MustParsePrefix(text)
		n.Gateways = append(n.Gateways, p.Addr())
		n.Subnets = append(n.Subnets, p.Masked())
	}
	w.must(w.Inside.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = n.Bridge
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return err
		}
		for _, text := range gateways {
			if err := address(n.Bridge, netip.MustParsePrefix(text)); err != nil {
				return err
			}
		}
		return up(n.Bridge)
	}))
	w.must(w.Dir.WriteNetwork(&n))
	return &n
}

// Container is a namespace on networks, and a process that stands for its monitor.
type Container struct {
	*nssocket.Namespace
	Attachment *state.Attachment
	monitor    *exec.Cmd
}

// Container makes a container with one address list per network, "NETWORK PREFIX...", and says so in the state. Its
// default route is by the first network.
func (w *World) Container(a state.Attachment, ends ...[]string) *Container {
	w.t.Helper()
	file, ns := w.namespace()
	c := &Container{Namespace: ns, Attachment: &a, monitor: exec.Command("sleep", "60")}
	w.must(c.monitor.Start())
	w.t.Cleanup(c.Kill)
	start, err := procs.StartTime(c.monitor.Process.Pid)
	w.must(err)
	boot, err := procs.BootID()
	w.must(err)
	a.Monitor = state.Process{Pid: c.monitor.Process.Pid, Start: start, BootID: boot}
	for i, end := range ends {
		n, err := w.Dir.Network(end[0])
		w.must(err)
		inner := fmt.Sprintf("eth%d", i)
		outer := fmt.Sprintf("v%d%s", i, a.ID[:min(10, len(a.ID))])
		w.must(w.Inside.Do(func() error { return plug(n.Bridge, outer, file, inner) }))
		e := state.Endpoint{Network: n.Name, Interface: inner}
		for _, text := range end[1:] {
			e.IPs = append(e.IPs, netip.MustParsePrefix(text))
		}
		w.must(ns.Do(func() error { return configure(inner, e.IPs, n.Gateways, i == 0) }))
		if i < len(a.Networks) {
			e.Aliases = a.Networks[i].Aliases
			a.Networks[i] = e
		} else {
			a.Networks = append(a.Networks, e)
		}
	}
	w.must(w.Dir.WriteAttachment(&a))
	return c
}

func plug(bridge, outer string, other *os.File, inner string) error {
	if err := veth(outer, other, inner); err != nil {
		return err
	}
	link, err := netlink.LinkByName(outer)
	if err != nil {
		return err
	}
	master, err := netlink.LinkByName(bridge)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMaster(link, master); err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

func configure(name string, ips []netip.Prefix, gateways []netip.Addr, route bool) error {
	if err := address(name, ips...); err != nil {
		return err
	}
	if err := up(name); err != nil || !route {
		return err
	}
	for _, gateway := range gateways {
		if !slices.ContainsFunc(ips, func(ip netip.Prefix) bool { return ip.Addr().Is4() == gateway.Is4() }) {
			continue
		}
		if err := netlink.RouteAdd(&netlink.Route{Gw: gateway.AsSlice()}); err != nil {
			return err
		}
	}
	return nil
}

// Kill ends the process that stands for the monitor.
func (c *Container) Kill() {
	if c.monitor.ProcessState == nil {
		c.monitor.Process.Kill()
		c.monitor.Wait()
	}
}
