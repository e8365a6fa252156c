// Package network connects containers: to bridges and other networks of CNI, in the namespace that an ordinary user's
// containers share or in the host's. The engine's and the command line's way to all below it.
package network

import (
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/wherry-containers/wherry/network/bridge"
	"github.com/wherry-containers/wherry/network/cni"
	"github.com/wherry-containers/wherry/network/rootless"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/ownthread"
	"github.com/wherry-containers/wherry/pkg/procs"
	"golang.org/x/sys/unix"
)

// Default is the network of containers that ask for none: Docker's name. Podman's is an alias.
const (
	Default = "bridge"
	alias   = "podman"
)

// Canonical is the name that a network is kept under.
func Canonical(name string) string {
	if name == alias || name == "default" {
		return Default
	}
	return name
}

// Options configure a Manager.
type Options struct {
	Dirs   layout.Dirs
	Host   bool            // real root: bridges lie in the host's namespace
	Group  func() *os.File // control group for helpers, nil: none; the caller closes it
	Place  func(pid int) error
	Warn   func(string)
	Getenv func(string) string
}

// Manager works on one user's networks. It holds no state of its own.
type Manager struct {
	opts  Options
	dir   state.Dir
	store cni.Store
}

// New returns a manager. It does no I/O.
func New(o Options) *Manager {
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	return &Manager{opts: o, dir: state.DirOf(o.Dirs), store: cni.Store{Dir: filepath.Join(o.Dirs.Data, "networks")}}
}

// Network is what `network inspect` shows.
type Network struct {
	Name       string
	ID         string
	Driver     string
	Created    time.Time
	Interface  string `json:",omitempty"` // the bridge, or the parent of a macvlan or ipvlan network
	Subnets    []Subnet
	Routes     []bridge.Route `json:",omitempty"`
	IPv6       bool
	Internal   bool
	DNSEnabled bool
	DNSServers []netip.Addr      `json:",omitempty"`
	Labels     map[string]string `json:",omitempty"`
	Options    map[string]string `json:",omitempty"`
	Plugins    []string
	Containers map[string]Member // by container id; those that are attached now
}

// Subnet is one range of addresses.
type Subnet struct {
	Subnet     netip.Prefix
	Gateway    netip.Addr `json:",omitzero"`
	RangeStart netip.Addr `json:",omitzero"`
	RangeEnd   netip.Addr `json:",omitzero"`
}

// Member is a container on a network.
type Member struct {
	Name      string
	Interface string
	MAC       string
	IPs       []netip.Prefix
}

// hold keeps the namespace, made where it is missing.
func (m *Manager) holdOptions(helper bool) rootless.Options {
	o := rootless.Options{Dir: m.dir, Host: m.opts.Host, Net: filepath.Join(m.opts.Dirs.Libexec, "wherry-net"), Helper: helper, Place: m.opts.Place}
	if m.opts.Group != nil {
		o.Group = m.opts.Group()
	}
	return o
}

// inside runs fn on a thread in the namespace ns; nil: the host's, that of the caller.
func inside(ns *os.File, fn func() error) error {
	return ownthread.Do(func() error {
		if ns != nil {
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
		}
		return fn()
	})
}

// self proves what this process does.
func self() state.Process {
	start, err := procs.StartTime(os.Getpid())
	if err != nil {
		return state.Process{}
	}
	boot, _ := procs.BootID()
	return state.Process{Pid: os.Getpid(), Start: start, BootID: boot}
}

func (m *Manager) runner() *cni.Runner {
	return cni.NewRunner(m.dir, self(), cni.PluginDirs(m.opts.Getenv))
}
