package bridge

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"golang.org/x/sys/unix"
)

// A lease is a symbolic link named after the address: made in one step, exclusively, with what it says as its target.
// It counts while one of these holds: the process that took it lives, the attachment of its container lives, or the
// interface on the bridge is there. So nothing has to run at a container's end, however it ends.

// lease is what a lease says.
type lease struct {
	ID        string        // container
	Interface string        // in the container
	Host      string        // interface on the bridge
	Owner     state.Process // took it; Pid 0: held until DEL or GC says otherwise
}

func (l lease) String() string {
	return fmt.Sprintf("%s %s %s %d %d %s", l.ID, l.Interface, l.Host, l.Owner.Pid, l.Owner.Start, l.Owner.BootID)
}

func parseLease(s string) (l lease, ok bool) {
	n, _ := fmt.Sscanf(s, "%s %s %s %d %d %s", &l.ID, &l.Interface, &l.Host, &l.Owner.Pid, &l.Owner.Start, &l.Owner.BootID)
	return l, n >= 5
}

// pool is the leases of one network.
type pool struct {
	dir     string
	network string
	state   state.Dir
	present func(host string) bool // whether the interface is there
}

func (p *Plugin) pool(c *Conf) *pool {
	return &pool{dir: LeaseDir(p.Dir, c.Name), network: c.Name, state: p.Dir, present: linkPresent}
}

// LeaseDir is where the leases of a network lie.
func LeaseDir(dir state.Dir, network string) string {
	return filepath.Join(string(dir), "leases", network)
}

// Path is the file of the lease of addr.
func (p *pool) path(addr netip.Addr) string { return filepath.Join(p.dir, addr.String()) }

// take leases one address of s: want if it is valid, else the next free one.
func (p *pool) take(s Subnet, want netip.Addr, l lease) (netip.Addr, error) {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return want, err
	}
	if want.IsValid() {
		return want, p.takeThis(s, want, l)
	}
	first, last := s.bounds()
	hint := filepath.Join(p.dir, ".last-"+strings.ReplaceAll(s.Subnet.String(), "/", "-"))
	start := first
	if text, err := os.Readlink(hint); err == nil {
		if addr, err := netip.ParseAddr(text); err == nil && first.Compare(addr) <= 0 && addr.Compare(last) < 0 {
			start = addr.Next()
		}
	}
	for addr, round := start, 0; ; addr = addr.Next() {
		if addr.Compare(last) > 0 || !addr.IsValid() {
			addr = first
		}
		if addr == start {
			if round++; round > 1 {
				break
			}
		}
		if addr == s.Gateway {
			continue
		}
		holder, err := p.claim(addr, l)
		if err != nil {
			return addr, err
		}
		if holder == nil {
			os.Remove(hint)
			os.Symlink(addr.String(), hint) // only a hint: who comes between starts from the first address
			return addr, nil
		}
	}
	return netip.Addr{}, errdefs.New(errdefs.ErrState, "network %q has no free address left in %s (stop a container on it, or make a larger network)", p.network, s.Subnet)
}

func (p *pool) takeThis(s Subnet, want netip.Addr, l lease) error {
	if want == s.Gateway {
		return errdefs.New(errdefs.ErrInvalid, "address %s is the gateway of network %q", want, p.network)
	}
	if want == s.Subnet.Addr() && want.Is4() && s.Subnet.Bits() < 31 || want == lastAddr(s.Subnet) && want.Is4() && s.Subnet.Bits() < 31 {
		return errdefs.New(errdefs.ErrInvalid, "address %s of network %q is not one for a container", want, p.network)
	}
	holder, err := p.claim(want, l)
	if err != nil || holder == nil {
		return err
	}
	who := short(holder.ID)
	if a, err := p.state.Attachment(holder.ID); err == nil && a.Name != "" {
		who = a.Name
	}
	return errdefs.New(errdefs.ErrState, "address %s of network %q is taken by container %q", want, p.network, who)
}

// claim makes the lease, or returns who holds it.
func (p *pool) claim(addr netip.Addr, l lease) (*lease, error) {
	err := os.Symlink(l.String(), p.path(addr))
	if err == nil {
		faultpoint.Hit("network.leased")
		return nil, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	holder := p.read(addr)
	if holder != nil && p.counts(*holder, addr) && holder.ID != l.ID {
		return holder, nil
	}
	return p.takeOver(addr, l)
}

// Release ends the lease at path if it is still that of the container id. Two that meet here take turns.
func Release(path, id string) error {
	lock, err := lockDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer lock.Close()
	text, err := os.Readlink(path)
	if err != nil {
		return nil
	}
	if l, ok := parseLease(text); ok && l.ID != id {
		return nil
	}
	return os.Remove(path)
}

// ReleaseAll ends the leases of the container id in a network's directory.
func ReleaseAll(dir, id string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if text, err := os.Readlink(path); err == nil && strings.HasPrefix(text, id+" ") {
			Release(path, id)
		}
	}
}

// Holds tells whether the container id has a lease in a network's directory.
func Holds(dir, id string) bool {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		text, err := os.Readlink(filepath.Join(dir, entry.Name()))
		if err == nil && strings.HasPrefix(text, id+" ") {
			return true
		}
	}
	return false
}

func lockDir(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// takeOver replaces a lease that no longer counts. Two that want it take turns.
func (p *pool) takeOver(addr netip.Addr, l lease) (*lease, error) {
	lock, err := lockDir(p.dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if holder := p.read(addr); holder != nil {
		if p.counts(*holder, addr) && (holder.ID != l.ID || holder.Owner == l.Owner) {
			return holder, nil
		}
		if holder.ID == l.ID {
			dropLink(holder.Host) // what a start that was killed left of this container
		}
	}
	os.Remove(p.path(addr))
	if err := os.Symlink(l.String(), p.path(addr)); err != nil {
		if holder := p.read(addr); holder != nil {
			return holder, nil
		}
		return nil, err
	}
	return nil, nil
}

func (p *pool) read(addr netip.Addr) *lease {
	text, err := os.Readlink(p.path(addr))
	if err != nil {
		return nil
	}
	if l, ok := parseLease(text); ok {
		return &l
	}
	return nil
}

// counts tells whether a lease still keeps its address.
func (p *pool) counts(l lease, addr netip.Addr) bool {
	if l.Owner.Pid == 0 || l.Owner.Alive() {
		return true
	}
	a, err := p.state.Attachment(l.ID)
	if err == nil && a.Alive() {
		if on := a.On(p.network); on != nil {
			for _, ip := range on.IPs {
				if ip.Addr() == addr {
					return true
				}
			}
		}
	}
	return p.present(l.Host)
}

// drop ends the leases for which mine says so.
func (p *pool) drop(mine func(lease) bool) {
	entries, _ := os.ReadDir(p.dir)
	for _, entry := range entries {
		addr, err := netip.ParseAddr(entry.Name())
		if err != nil {
			continue
		}
		if l := p.read(addr); l != nil && mine(*l) {
			dropLink(l.Host)
			os.Remove(p.path(addr))
		}
	}
}

func short(id string) string { return id[:min(len(id), 12)] }
