package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/network"
	"github.com/wherry-containers/wherry/network/control"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/procs"
	"golang.org/x/sys/unix"
)

// onNetworks is the mode of containers on networks of CNI: the default one, and the user's.
const onNetworks = "bridge"

// networks is the manager of the user's networks.
func (e *Engine) networks() *network.Manager {
	return network.New(network.Options{
		Dirs:  e.dirs,
		Host:  !e.host().rootless,
		Warn:  e.opts.Warn,
		Group: func() *os.File { return e.host().cgroup().Monitors() },
		Place: func(pid int) error {
			facts := e.host().cgroup()
			return facts.Place(pid)
		},
	})
}

// connection is the set-up of networks that goes on beside that of the root file system.
type connection struct {
	done chan struct{}
	att  *network.Attaching
	err  error
}

// beginNetwork starts to connect the container, if it is to be on networks. It uses another thread than the one which
// leaves the user's mount namespace: what it makes for all containers has to stay there.
func (s *startup) beginNetwork(ctx context.Context) {
	n := &s.c.Network
	if n.Mode != onNetworks {
		return
	}
	req := network.Request{ID: s.c.ID, Name: s.c.name(), Hostname: s.c.Hostname, RunDir: s.runDir, DNS: n.DNS, Ports: s.c.wantedPorts(), NetNS: s.c.ahead}
	s.c.ahead = nil
	for _, end := range s.c.ends() {
		req.Networks = append(req.Networks, network.Wish(end))
	}
	s.net = &connection{done: make(chan struct{})}
	go func() {
		defer close(s.net.done)
		s.net.att, s.net.err = s.e.networks().Attach(ctx, req)
	}()
}

// namespaceAhead begins to make the network namespace that a container of this wish is going to want.
func namespaceAhead(n *record.Network) *network.Namespace {
	if n.Mode != "" && n.Mode != onNetworks {
		return nil
	}
	return network.NewNamespace()
}

// wantedPorts are the ports of -p, and with -P a free one for each exposed port.
func (c *container) wantedPorts() []control.Want {
	var all []control.Want
	for _, p := range c.Network.Ports {
		all = append(all, control.Want{Port: state.Port{HostIP: p.HostIP, HostPort: p.HostPort, ContainerPort: p.ContainerPort, Protocol: p.Protocol},
			HostPortEnd: p.HostPortEnd})
	}
	return all
}

// awaitNetwork returns when the container is connected, and keeps its namespace where the runtime finds it.
func (s *startup) awaitNetwork() error {
	if s.net == nil {
		return nil
	}
	<-s.net.done
	if s.net.err != nil {
		return s.net.err
	}
	return s.keepNetns(s.net.att.NetNS)
}

// keepNetns binds a network namespace below the run directory, in this thread's mount namespace: it goes with the monitor
// and the container.
func (s *startup) keepNetns(netns *os.File) error {
	path := filepath.Join(s.runDir, record.NetNSFile)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", netns.Fd()), path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("keep the network namespace of container %q: %w", s.c.name(), err)
	}
	return nil
}

// commitNetwork says that the monitor holds the namespace from here on, and publishes the ports.
func (s *startup) commitNetwork(ctx context.Context) error {
	if s.net == nil {
		return nil
	}
	err := s.net.att.Commit(ctx, s.monitor.Pid)
	if errors.Is(err, procs.ErrGone) {
		return nil // the monitor has given up: its report says why
	}
	return err
}

// undoNetwork takes back what was made, finished or not.
func (s *startup) undoNetwork() {
	if s.net == nil {
		return
	}
	<-s.net.done
	if s.net.att != nil {
		s.net.att.Undo()
	}
}

// networkPath finds the namespace for the runtime; empty: by the mode.
func (s *startup) networkPath(in *spec.Input) (string, error) {
	mode := s.c.Network.Mode
	k := nsKind{"network", "net", unix.CLONE_NEWNET}
	if id, ok := strings.CutPrefix(mode, "container:"); ok {
		return s.joinContainer(k, id, &in.Joined)
	}
	if path, ok := strings.CutPrefix(mode, "ns:"); ok {
		return s.keepNamespace(k, path, &in.Joined)
	}
	if s.net != nil || ownUplink(mode) {
		return filepath.Join(s.runDir, record.NetNSFile), nil
	}
	return "", nil
}

// ownUplink tells whether the container has an uplink to itself.
func ownUplink(mode string) bool {
	return mode == "private" || mode == "pasta" || mode == "slirp4netns"
}

// networkFile is what the monitor takes away at the end.
func (s *startup) networkFile() string {
	if s.net == nil {
		return ""
	}
	return state.DirOf(s.e.dirs).AttachmentFile(s.c.ID)
}

// dropNetwork ends what a container that is gone has left on its networks.
func (e *Engine) dropNetwork(c *container) error {
	if c.Network.Mode != onNetworks {
		return nil
	}
	return e.networks().Detach(c.ID)
}

// attachment returns how the container is connected now; nil if it is not.
func (e *Engine) attachment(c *container) *state.Attachment {
	if c.Network.Mode != onNetworks {
		return nil
	}
	return e.networks().Attachment(c.ID)
}

// networkNames are what `ps` shows and filters by.
func (c *container) networkNames() []string {
	if c.Network.Mode != onNetworks {
		return []string{c.Network.Mode}
	}
	names := make([]string, len(c.ends()))
	for i, end := range c.ends() {
		names[i] = network.Canonical(end.Network)
	}
	return names
}
