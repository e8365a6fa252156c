package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/wherry-containers/wherry/network/bridge"
	"github.com/wherry-containers/wherry/network/cni"
	"github.com/wherry-containers/wherry/network/control"
	"github.com/wherry-containers/wherry/network/rootless"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/procs"
	"golang.org/x/sys/unix"
)

// Wish is one network that a container is to be on.
type Wish struct {
	Network   string
	IPs       []string `json:",omitempty"`
	MAC       string   `json:",omitempty"`
	Aliases   []string `json:",omitempty"`
	Interface string   `json:",omitempty"` // in the container; empty: the next of eth0, eth1...
}

// Request is what a container that starts needs.
type Request struct {
	ID, Name, Hostname string
	RunDir             string
	Networks           []Wish
	DNS                []string // servers that the container's queries go to instead of the network's
	Ports              []control.Want
	NetNS              *Namespace // made ahead; nil: it is made now
}

// Attaching is a container's networks before its monitor is known. Until Commit or Undo the namespace stays.
type Attaching struct {
	m     *Manager
	att   state.Attachment
	ports []control.Want
	NetNS *os.File // the container's
	held  *rootless.Held
}

// Networks are the container's ends.
func (a *Attaching) Networks() []state.Endpoint { return a.att.Networks }

// Attach makes a network namespace for a container and connects it. On error nothing is left.
func (m *Manager) Attach(ctx context.Context, req Request) (_ *Attaching, err error) {
	ns := req.NetNS
	if ns == nil {
		ns = NewNamespace()
	}
	defer func() {
		if err != nil {
			ns.Drop()
		}
	}()
	networks, err := m.find(req.Networks)
	if err != nil {
		return nil, err
	}
	held, err := m.hold(ctx, m.opts.Host && (len(req.Ports) > 0 || serveNames(networks)))
	made, nsErr := ns.take()
	if err == nil {
		err = nsErr
	}
	a := &Attaching{m: m, ports: req.Ports, held: held, NetNS: made,
		att: state.Attachment{ID: req.ID, Name: req.Name, Hostname: req.Hostname, RunDir: req.RunDir, DNS: req.DNS}}
	if err != nil {
		a.close()
		return nil, err
	}
	m.sweep(req.ID)
	err = inside(held.NS, func() error { return a.connectAll(ctx, networks, req.Networks) })
	if err != nil {
		a.close()
		return nil, err
	}
	faultpoint.Hit("network.attached")
	return a, nil
}

func (m *Manager) hold(ctx context.Context, helper bool) (*rootless.Held, error) {
	o := m.holdOptions(helper)
	if o.Group != nil {
		defer o.Group.Close()
	}
	return rootless.Hold(ctx, o)
}

func serveNames(networks []*cni.Network) bool {
	for _, n := range networks {
		if n.Own != nil && n.Own.DNSEnabled {
			return true
		}
	}
	return false
}

// find loads the networks of the wishes.
func (m *Manager) find(wishes []Wish) ([]*cni.Network, error) {
	var all []*cni.Network
	for _, w := range wishes {
		n, err := m.load(w.Network)
		if err != nil {
			return nil, err
		}
		for _, other := range all {
			if other.Name == n.Name {
				return nil, errdefs.New(errdefs.ErrInvalid, "network %q is named twice", n.Name)
			}
		}
		all = append(all, n)
	}
	return all, nil
}

// connectAll connects to one network after the other, on a thread in the networks' namespace.
func (a *Attaching) connectAll(ctx context.Context, networks []*cni.Network, wishes []Wish) error {
	run := a.m.runner()
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), a.NetNS.Fd())
	for i, n := range networks {
		w := wishes[i]
		if w.Interface == "" {
			w.Interface = interfaceName(n, wishes, a.att.Networks)
		}
		end, left, err := a.m.connect(ctx, run, n, a.att.ID, a.att.Name, path, w)
		a.att.Leftovers = append(a.att.Leftovers, left...)
		if err != nil {
			a.disconnectAll(ctx, run)
			return err
		}
		a.att.Networks = append(a.att.Networks, *end)
	}
	return nil
}

// serveNew tells wherry-net of bridges that came up, so that it answers on them before anybody can ask.
func (m *Manager) serveNew(ctx context.Context, n *cni.Network, before bool) error {
	if before || n.Own == nil || !n.Own.DNSEnabled {
		return nil
	}
	_, err := control.Call(ctx, m.dir, control.Request{Op: control.Reload})
	return err
}

// hasBridge tells whether a network's bridge is there already.
func (m *Manager) hasBridge(n *cni.Network) bool {
	_, err := m.dir.Network(n.Name)
	return err == nil
}

// interfaceName is the network's own choice, else the first of eth0, eth1... that nobody has or has asked for.
func interfaceName(n *cni.Network, wishes []Wish, taken []state.Endpoint) string {
	used := map[string]bool{}
	for _, w := range wishes {
		used[w.Interface] = true
	}
	for _, e := range taken {
		used[e.Interface] = true
	}
	if name := n.Note.Interface; name != "" && !used[name] {
		return name
	}
	for i := 0; ; i++ {
		if name := fmt.Sprintf("eth%d", i); !used[name] {
			return name
		}
	}
}

// connect makes one end. It runs on a thread in the networks' namespace.
func (m *Manager) connect(ctx context.Context, run *cni.Runner, n *cni.Network, id, name, netns string, w Wish) (*state.Endpoint, []string, error) {
	call := cni.Call{ID: id, NetNS: netns, Interface: w.Interface, IPs: w.IPs, MAC: w.MAC, Name: name}
	left := []string{run.CacheFile(n.Name, call)}
	before := m.hasBridge(n)
	res, err := run.Add(ctx, n, call)
	if err == nil {
		err = m.serveNew(ctx, n, before)
	}
	if err != nil {
		if n.Foreign() {
			err = errors.Join(err, run.Del(ctx, n, call)) // plugins that had worked already
		}
		return nil, nil, err
	}
	end, err := endpointOf(n, res, w)
	if err != nil {
		return nil, left, err
	}
	if n.Foreign() {
		left = nil // the sweep needs them
		end.Foreign = true
	} else {
		for _, ip := range end.IPs {
			left = append(left, m.leaseFile(n.Name, ip.Addr()))
		}
	}
	return end, left, nil
}

// endpointOf reads a plugin's result.
func endpointOf(n *cni.Network, res *types100.Result, w Wish) (*state.Endpoint, error) {
	end := &state.Endpoint{Network: n.Name, Interface: w.Interface, Aliases: w.Aliases, DNSServers: res.DNS.Nameservers, DNSSearch: res.DNS.Search}
	for _, i := range res.Interfaces {
		switch {
		case i.Sandbox != "" && i.Name == w.Interface:
			end.MAC = i.Mac
		case i.Sandbox == "" && strings.HasPrefix(i.Name, "veth"):
			end.Host = i.Name
		}
	}
	for _, ip := range res.IPs {
		addr, ok := netip.AddrFromSlice(ip.Address.IP)
		if !ok {
			return nil, fmt.Errorf("network %q: a plugin answered with the address %v", n.Name, ip.Address)
		}
		bits, _ := ip.Address.Mask.Size()
		end.IPs = append(end.IPs, netip.PrefixFrom(addr.Unmap(), bits))
		if gw, ok := netip.AddrFromSlice(ip.Gateway); ok {
			end.Gateways = append(end.Gateways, gw.Unmap())
		}
	}
	return end, nil
}

// disconnectAll takes the ends back.
func (a *Attaching) disconnectAll(ctx context.Context, run *cni.Runner) error {
	var errs []error
	for _, end := range a.att.Networks {
		errs = append(errs, a.m.disconnect(context.WithoutCancel(ctx), run, a.att.ID, "", end))
	}
	a.att.Networks = nil
	return errors.Join(errs...)
}

// disconnect takes one end away. It runs on a thread in the networks' namespace; netns is empty when the container's is
// gone.
func (m *Manager) disconnect(ctx context.Context, run *cni.Runner, id, netns string, end state.Endpoint) error {
	n, err := m.load(end.Network)
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	return run.Del(ctx, n, cni.Call{ID: id, NetNS: netns, Interface: end.Interface})
}

// Commit writes down what proves the attachment, and publishes the ports. On error the caller calls Undo.
func (a *Attaching) Commit(ctx context.Context, monitor int) error {
	start, err := procs.StartTime(monitor)
	if err != nil {
		return fmt.Errorf("monitor %d: %w", monitor, err)
	}
	boot, _ := procs.BootID()
	a.att.Monitor = state.Process{Pid: monitor, Start: start, BootID: boot}
	if a.att.Foreign() {
		a.att.AtEnd = sweepCommand()
		if err := os.MkdirAll(a.m.dir.Ended(), 0o700); err != nil {
			return err
		}
	}
	if err := a.m.dir.WriteAttachment(&a.att); err != nil {
		return err
	}
	faultpoint.Hit("network.written")
	if len(a.ports) > 0 {
		reply, err := control.Call(ctx, a.m.dir, control.Request{Op: control.Expose, ID: a.att.ID, Ports: a.ports})
		if err != nil {
			return err
		}
		a.att.Ports = reply.Ports
		if err := a.m.dir.WriteAttachment(&a.att); err != nil {
			return err
		}
		faultpoint.Hit("network.exposed")
	}
	a.close()
	return nil
}

// Undo takes an attachment back, committed or not.
func (a *Attaching) Undo() {
	a.close()
	if _, err := a.m.dir.Attachment(a.att.ID); err != nil {
		if a.att.Foreign() {
			a.m.tellForeign(&a.att)
		}
		a.m.release(&a.att)
		return
	}
	a.m.Detach(a.att.ID)
}

// release ends what is kept in files for an attachment.
func (m *Manager) release(att *state.Attachment) {
	for _, path := range att.Leftovers {
		if filepath.Dir(filepath.Dir(path)) == filepath.Join(string(m.dir), "leases") {
			bridge.Release(path, att.ID) // it may be another's by now
		} else {
			os.Remove(path)
		}
	}
}

// close lets the namespaces go; the container's is kept by whoever mounted it.
func (a *Attaching) close() {
	a.held.Release()
	if a.NetNS != nil {
		a.NetNS.Close()
	}
	a.held, a.NetNS = nil, nil
}

// Detach ends what a container leaves: names, ports, leases. Its interfaces went with its namespace; foreign plugins are
// told. It is done when there is nothing.
func (m *Manager) Detach(id string) error {
	if _, err := os.Lstat(m.dir.AttachmentFile(id)); errors.Is(err, fs.ErrNotExist) {
		m.dropUnwritten(id)
		return nil
	}
	return m.detachWritten(id)
}

// detachWritten is Detach of what is written of; else it is done.
func (m *Manager) detachWritten(id string) error {
	att, err := m.dir.Attachment(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return errors.Join(err, m.dir.RemoveAttachment(id))
	}
	m.release(att)
	faultpoint.Hit("network.released")
	err = m.dir.EndAttachment(att)
	if len(att.Ports) > 0 {
		// Clean-up must outlive whoever asked for it; and wherry-net finds out by itself too.
		control.Call(context.Background(), m.dir, control.Request{Op: control.Unexpose, ID: id})
	}
	if att.Foreign() {
		m.sweepForeign()
	}
	return err
}

// dropUnwritten removes the leases and cached results of a start that was killed before it wrote of them.
func (m *Manager) dropUnwritten(id string) {
	m.dir.RemoveAttachment(id)
	leases := filepath.Join(string(m.dir), "leases")
	networks, _ := os.ReadDir(leases)
	for _, network := range networks {
		bridge.ReleaseAll(filepath.Join(leases, network.Name()), id)
	}
	results := filepath.Join(string(m.dir), "cni", "results")
	cached, _ := os.ReadDir(results)
	for _, entry := range cached {
		if strings.Contains(entry.Name(), "-"+id+"-") {
			os.Remove(filepath.Join(results, entry.Name()))
		}
	}
}

// tellForeign calls DEL of networks with foreign plugins: only they know what they keep for a container.
func (m *Manager) tellForeign(att *state.Attachment) error {
	ns := rootless.Peek(m.dir)
	if ns == nil && !m.opts.Host {
		var err error
		if ns, err = rootless.NewNamespace(true); err != nil { // what they keep in files is still there
			return err
		}
	}
	if ns != nil {
		defer ns.Close()
	}
	return inside(ns, func() error {
		var errs []error
		run := m.runner()
		for _, end := range att.Networks {
			if end.Foreign {
				errs = append(errs, m.disconnect(context.Background(), run, att.ID, "", end)) // must outlive a cancel
			}
		}
		return errors.Join(errs...)
	})
}

// sweepCommand is a command line that ends in sweepForeign.
func sweepCommand() []string {
	self, err := os.Executable()
	if err != nil || filepath.Base(self) != "wherry" {
		self = "wherry"
	}
	return []string{self, "network", "ls", "-q"}
}

// sweep ends what is left of an earlier start of the container own, and of others on foreign networks.
func (m *Manager) sweep(own string) {
	if err := m.detachWritten(own); err != nil {
		m.opts.Warn(err.Error())
	}
	m.sweepForeign()
}

// sweepForeign tells foreign plugins of the ends of attachments. Only these need it: own leases are proved otherwise. One
// sweep at a time, so that none tells of an end after the next beginning.
func (m *Manager) sweepForeign() {
	lock, err := os.Open(m.dir.Ended())
	if err != nil {
		return // no foreign plugin has taken part
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX) != nil {
		return
	}
	for _, att := range m.dir.ListAttachments() {
		if att.Foreign() && !att.Alive() {
			m.release(att)
			m.dir.EndAttachment(att)
		}
	}
	for _, att := range m.dir.ListEnded() {
		if err := m.tellForeign(att); err != nil {
			m.opts.Warn(fmt.Sprintf("networks of container %s: %v", att.Name, err))
			continue
		}
		m.dir.RemoveEnded(att.ID)
	}
}
