// Package ports listens on the host for the containers' published ports and passes on what comes, TCP and UDP.
//
// Why not rootlesskit's port driver, which does the like: it starts nft, ip and sysctl for the client's address and
// takes routing table and mark 100 for it, which on a host of real root may be anybody's; it loses the address of UDP
// clients; it cannot say which free port it took; and one accept that fails for want of descriptors ends the port.
package ports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/wherry-containers/wherry/network/nssocket"
	"github.com/wherry-containers/wherry/network/roster"
	"github.com/wherry-containers/wherry/network/state"
)

// Want is a port to publish: with HostPort 0 on any free one, with an End on the first free one of HostPort to End.
type Want struct {
	state.Port
	End uint16
}

// Config is what a Forwarder needs.
type Config struct {
	Roster    *roster.Roster
	Namespace *nssocket.Namespace // where the containers' addresses are reached
	// Transparent prepares the namespace for connections that carry their client's address and returns the mark that
	// they need; 0: the containers see the gateway's. It is called once, before the first port listens. nil: 0.
	Transparent func() int
}

// Forwarder holds the listeners of all containers.
type Forwarder struct {
	Config
	prepare sync.Once
	mark    int

	mu        sync.Mutex
	published map[string][]*published // by container id
}

// published is one listener.
type published struct {
	port state.Port
	io.Closer
}

// New makes a forwarder that listens nowhere yet.
func New(c Config) *Forwarder {
	return &Forwarder{Config: c, published: map[string][]*published{}}
}

// Expose listens on the ports for the container and returns them with their host ports; when it returns, they listen.
// A port that listens already for this container stays. On error nothing new listens.
func (f *Forwarder) Expose(ctx context.Context, id string, wants []Want) (_ []state.Port, err error) {
	container := f.Roster.View().Container(id)
	if container == nil {
		return nil, fmt.Errorf("container %.12s is not on any network", id)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.prepare.Do(func() {
		if f.Transparent != nil {
			f.mark = f.Transparent()
		}
	})
	var fresh []*published
	defer func() {
		if err != nil {
			for _, p := range fresh {
				p.Close()
			}
		}
	}()
	done := make([]state.Port, 0, len(wants))
	taken := slices.Clone(f.published[id])
	for _, want := range wants {
		if i := slices.IndexFunc(taken, func(p *published) bool { return want.met(p.port) }); i >= 0 {
			done = append(done, taken[i].port)
			taken = slices.Delete(taken, i, i+1)
			continue
		}
		p, err := f.publish(ctx, container, want)
		if err != nil {
			return nil, err
		}
		fresh = append(fresh, p)
		done = append(done, p.port)
	}
	f.published[id] = append(f.published[id], fresh...)
	if f.Roster.View().Container(id) == nil { // gone meanwhile: Close for it may have come already
		f.close(id)
	}
	return done, nil
}

// Transparently tells whether containers see their clients' addresses; false before the first port.
func (f *Forwarder) Transparently() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mark != 0
}

// met tells whether the port that listens is one that the want asks for.
func (w Want) met(p state.Port) bool {
	if w.Protocol != p.Protocol || w.HostIP != p.HostIP || w.ContainerPort != p.ContainerPort {
		return false
	}
	return w.HostPort == 0 || p.HostPort >= w.HostPort && p.HostPort <= max(w.HostPort, w.End)
}

// publish binds one port. The bind is what decides who has it, so a free one is found by trying.
func (f *Forwarder) publish(ctx context.Context, container *state.Attachment, want Want) (*published, error) {
	listen, err := f.listener(want.Protocol)
	if err != nil {
		return nil, fmt.Errorf("port %d/%s: %w", want.ContainerPort, want.Protocol, err)
	}
	var failed error
	for port := int(want.HostPort); port <= int(max(want.HostPort, want.End)); port++ {
		try := want.Port
		try.HostPort = uint16(port)
		target := target{f, container.ID, want.ContainerPort}
		l, got, err := listen(ctx, try, target)
		if err == nil {
			try.HostPort = got
			return &published{try, l}, nil
		}
		failed = f.explain(err, try)
		if !inUse(err) {
			return nil, failed
		}
	}
	if want.End > want.HostPort {
		return nil, fmt.Errorf("ports %d-%d/%s are all in use; the last one: %w", want.HostPort, want.End, want.Protocol, failed)
	}
	return nil, failed
}

// listenFunc binds p on the host and serves it until the Closer is closed. It returns the port that it got.
type listenFunc func(ctx context.Context, p state.Port, to target) (io.Closer, uint16, error)

func (f *Forwarder) listener(protocol string) (listenFunc, error) {
	switch protocol {
	case "tcp":
		return listenTCP, nil
	case "udp":
		return listenUDP, nil
	case "sctp":
		return nil, errors.New("SCTP cannot be published (connect to the container's own address, or publish tcp or udp)")
	}
	return nil, fmt.Errorf("unknown protocol %.10q (tcp or udp)", protocol)
}

// Close stops listening for the container and ends its connections.
func (f *Forwarder) Close(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.close(id)
}

// CloseAll stops listening for all containers.
func (f *Forwarder) CloseAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.published {
		f.close(id)
	}
}

// Gone closes the ports of a container that the roster has lost, unless it is back.
func (f *Forwarder) Gone(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Roster.View().Container(id) == nil {
		f.close(id)
	}
}

func (f *Forwarder) close(id string) {
	for _, p := range f.published[id] {
		p.Close()
	}
	delete(f.published, id)
}

// Sync listens on what the attachments say: the ports of a container that is gone are closed, missing ones opened
// again. What another program has taken meanwhile is in the error.
func (f *Forwarder) Sync(ctx context.Context) error {
	view := f.Roster.View()
	var failed error
	for id, container := range view.Containers() {
		for _, port := range container.Ports {
			if port.HostPort == 0 {
				continue // its starter is about to ask for it
			}
			if _, err := f.Expose(ctx, id, []Want{{Port: port}}); err != nil {
				failed = errors.Join(failed, fmt.Errorf("container %q: %w", container.Name, err))
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	view = f.Roster.View()
	for id := range f.published {
		if view.Container(id) == nil {
			f.close(id)
		}
	}
	return failed
}

// holder finds the container of ours that holds a port in the way of p.
func (f *Forwarder) holder(p state.Port) (id string) {
	for id, all := range f.published {
		for _, other := range all {
			if other.port.Protocol == p.Protocol && other.port.HostPort == p.HostPort && overlap(other.port.HostIP, p.HostIP) {
				return id
			}
		}
	}
	return ""
}

// overlap tells whether binding one of the host addresses hinders binding the other.
func overlap(a, b string) bool {
	if a == b || a == "" || b == "" {
		return true
	}
	x, err := netip.ParseAddr(a)
	if err != nil {
		return false
	}
	y, err := netip.ParseAddr(b)
	if err != nil {
		return false
	}
	x, y = x.Unmap(), y.Unmap()
	return x.Is4() == y.Is4() && (x == y || x.IsUnspecified() || y.IsUnspecified())
}

// target is where a published port leads.
type target struct {
	*Forwarder
	id   string
	port uint16
}

// resolve returns where the container is now, in the client's family if it has an address there, and how to present
// the client to it.
func (t target) resolve(client netip.AddrPort) (netip.AddrPort, nssocket.Origin, error) {
	view := t.Roster.View()
	container := view.Container(t.id)
	if container == nil {
		return netip.AddrPort{}, nssocket.Origin{}, errors.New("container is gone")
	}
	addr, ok := reachable(view, container, client.Addr().Is4())
	if !ok {
		return netip.AddrPort{}, nssocket.Origin{}, errors.New("container is on no network that the host reaches")
	}
	origin := nssocket.Origin{}
	if t.mark != 0 && addr.Is4() == client.Addr().Is4() && presentable(view, client.Addr()) {
		origin = nssocket.Origin{From: client, Mark: t.mark}
	}
	return netip.AddrPortFrom(addr, t.port), origin, nil
}

// reachable finds an address of the container on a bridge of ours. One on an internal network is the last choice.
func reachable(view *roster.View, container *state.Attachment, want4 bool) (best netip.Addr, ok bool) {
	rank := -1
	for _, end := range container.Networks {
		n := view.Network(end.Network)
		if n == nil {
			continue
		}
		for _, ip := range end.IPs {
			addr, r := ip.Addr().Unmap(), 0
			if !n.Internal {
				r += 2
			}
			if addr.Is4() == want4 {
				r++
			}
			if r > rank {
				best, rank = addr, r
			}
		}
	}
	return best, rank >= 0
}

// presentable tells whether a container may see the client's address: its answers must find the way back through us.
// Those to its own neighbours would go there directly, and those to a loopback address nowhere.
func presentable(view *roster.View, client netip.Addr) bool {
	return client.IsValid() && !client.IsLoopback() && !client.IsLinkLocalUnicast() && !client.IsMulticast() && !view.Covers(client)
}

// name is how messages call a container.
func (f *Forwarder) name(id string) string {
	if a := f.Roster.View().Container(id); a != nil && a.Name != "" {
		return a.Name
	}
	return strings.ToLower(id[:min(12, len(id))])
}
