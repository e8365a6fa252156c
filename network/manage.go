package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/network/bridge"
	"github.com/wherry-containers/wherry/network/cni"
	"github.com/wherry-containers/wherry/network/control"
	"github.com/wherry-containers/wherry/network/rootless"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

func (m *Manager) leaseFile(network string, addr netip.Addr) string {
	return filepath.Join(bridge.LeaseDir(m.dir, network), addr.String())
}

// Exists tells whether there is a network of this name or id.
func (m *Manager) Exists(name string) (bool, error) {
	_, err := m.load(name)
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Inspect returns one network with its containers.
func (m *Manager) Inspect(name string) (*Network, error) {
	n, err := m.load(name)
	if err != nil {
		return nil, err
	}
	return m.view(n), nil
}

// List returns all networks in order of their names, the default one among them; bad is told of broken ones.
func (m *Manager) List(bad func(error)) ([]*Network, error) {
	if _, err := m.load(Default); err != nil && !errors.Is(err, errdefs.ErrBroken) {
		return nil, err
	}
	m.sweepForeign()
	var all []*Network
	for _, n := range m.store.List(bad) {
		all = append(all, m.view(n))
	}
	return all, nil
}

func (m *Manager) view(n *cni.Network) *Network {
	v := &Network{Name: n.Name, ID: n.Note.ID, Driver: n.Note.Driver, Created: n.Note.Created, IPv6: n.Note.IPv6,
		Labels: n.Note.Labels, Options: n.Note.Options, Plugins: n.Plugins(), Subnets: []Subnet{}, Containers: map[string]Member{}}
	if v.Driver == "" {
		v.Driver = v.Plugins[0]
	}
	if c := n.Own; c != nil {
		v.Interface, v.Internal, v.DNSEnabled, v.DNSServers, v.Routes = c.Bridge, c.Internal, c.DNSEnabled, c.DNSServers, c.Routes
		for _, s := range c.Subnets {
			v.Subnets = append(v.Subnets, Subnet(s))
		}
	}
	for _, a := range m.members(n.Name) {
		end := a.On(n.Name)
		v.Containers[a.ID] = Member{Name: a.Name, Interface: end.Interface, MAC: end.MAC, IPs: end.IPs}
	}
	return v
}

// members are the living attachments to a network.
func (m *Manager) members(name string) []*state.Attachment {
	return slices.DeleteFunc(m.dir.ListAttachments(), func(a *state.Attachment) bool { return a.On(name) == nil || !a.Alive() })
}

// Attachment returns how a container is connected now; nil if it is not.
func (m *Manager) Attachment(id string) *state.Attachment {
	a, err := m.dir.Attachment(id)
	if err != nil || !a.Alive() {
		return nil
	}
	return a
}

// Forget takes a network away whose configuration cannot be read.
func (m *Manager) Forget(name string) error {
	return m.store.WithLock(func() error {
		if err := m.dropBridge(name); err != nil {
			return err
		}
		return m.store.Remove(name)
	})
}

// Remove takes a network away. Containers on it are an error: the caller removes or disconnects them first.
func (m *Manager) Remove(_ context.Context, name string) error {
	n, err := m.load(name)
	if err != nil {
		return err
	}
	if n.Name == Default {
		return errdefs.New(errdefs.ErrInvalid, "network %q is the default one and stays", Default)
	}
	return m.store.WithLock(func() error {
		if on := m.members(n.Name); len(on) > 0 {
			return errdefs.New(errdefs.ErrInUse, "network %q is in use by %s (wherry network disconnect, or wherry network rm -f)", n.Name, names(on))
		}
		if err := m.dropBridge(n.Name); err != nil {
			return err
		}
		faultpoint.Hit("network.unbridged")
		return m.store.Remove(n.Name)
	})
}

func names(attachments []*state.Attachment) string {
	var all []string
	for _, a := range attachments {
		all = append(all, a.Name)
	}
	return strings.Join(all, ", ")
}

// dropBridge removes a bridge if the namespace is there.
func (m *Manager) dropBridge(name string) error {
	return m.present(func() error { return bridge.RemoveBridge(m.dir, name) })
}

// present runs fn in the networks' namespace if there is one.
func (m *Manager) present(fn func() error) error {
	ns := rootless.Peek(m.dir)
	if ns == nil && !m.opts.Host {
		return nil
	}
	if ns != nil {
		defer ns.Close()
	}
	return inside(ns, fn)
}

// Prune removes the networks that no container uses; used tells of containers that do not run now.
func (m *Manager) Prune(ctx context.Context, used func(name string) bool, matches func(*Network) bool) ([]string, error) {
	var removed []string
	var errs []error
	for _, n := range m.store.List(func(err error) { errs = append(errs, err) }) {
		if n.Name == Default || used(n.Name) || !matches(m.view(n)) {
			continue
		}
		err := m.Remove(ctx, n.Name)
		switch {
		case err == nil:
			removed = append(removed, n.Name)
		case !errors.Is(err, errdefs.ErrInUse):
			errs = append(errs, err)
		}
	}
	return removed, errors.Join(errs...)
}

// Reload makes bridges' rules anew, after somebody else has flushed them, and lets wherry-net read everything again.
func (m *Manager) Reload(ctx context.Context) error {
	err := m.present(func() error { return bridge.Reload(m.dir) })
	if err != nil {
		return err
	}
	if len(m.dir.ListAttachments()) == 0 {
		return nil
	}
	held, err := m.hold(ctx, false) // mends what was killed
	if err != nil {
		return err
	}
	defer held.Release()
	_, err = control.Call(ctx, m.dir, control.Request{Op: control.Reload})
	return err
}

// Connect puts a running container on one more network; that it is there is as good. netns is a path of its network namespace.
func (m *Manager) Connect(ctx context.Context, id, netns string, w Wish) error {
	n, err := m.load(w.Network)
	if err != nil {
		return err
	}
	held, err := m.hold(ctx, m.opts.Host && serveNames([]*cni.Network{n}))
	if err != nil {
		return err
	}
	defer held.Release()
	att, err := m.dir.Attachment(id)
	if err != nil {
		return err
	}
	if att.On(n.Name) != nil {
		return nil // a command that was killed has come so far
	}
	if w.Interface == "" {
		w.Interface = interfaceName(n, nil, att.Networks)
	}
	return inside(held.NS, func() error {
		run := m.runner()
		if n.Foreign() || bridge.Holds(bridge.LeaseDir(m.dir, n.Name), id) { // what a killed command has left
			if err := m.disconnect(ctx, run, id, netns, state.Endpoint{Network: n.Name, Interface: w.Interface}); err != nil {
				return err
			}
		}
		end, left, err := m.connect(ctx, run, n, id, att.Name, netns, w)
		if err != nil {
			return err
		}
		faultpoint.Hit("network.connected")
		att.Networks = append(att.Networks, *end)
		att.Leftovers = append(att.Leftovers, left...)
		return m.dir.WriteAttachment(att)
	})
}

// Disconnect takes a running container off a network.
func (m *Manager) Disconnect(ctx context.Context, id, netns, network string) error {
	att, err := m.dir.Attachment(id)
	if err != nil {
		return err
	}
	end := att.On(Canonical(network))
	if end == nil {
		return errdefs.New(errdefs.ErrState, "container %q is not on network %q", att.Name, network)
	}
	return m.present(func() error {
		if err := m.disconnect(ctx, m.runner(), id, netns, *end); err != nil {
			return fmt.Errorf("disconnect from network %q: %w", network, err)
		}
		faultpoint.Hit("network.disconnected")
		att.Networks = slices.DeleteFunc(att.Networks, func(e state.Endpoint) bool { return e.Network == end.Network })
		return m.dir.WriteAttachment(att)
	})
}
