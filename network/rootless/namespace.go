// Package rootless keeps the network namespace that all containers of one ordinary user share: bridges lie in it, one
// uplink leads out of it, and wherry-net looks after names and ports. It is made on first need and ends after the last
// container. Real root works in the host's namespace and has only wherry-net.
package rootless

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/network/uplink"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/ownthread"
	"github.com/wherry-containers/wherry/pkg/procs"
	"golang.org/x/sys/unix"
)

// Options say how to make the namespace.
type Options struct {
	Dir    state.Dir
	Host   bool                // work in the host's namespace: real root
	Net    string              // path of wherry-net
	Helper bool                // wherry-net is needed now (root starts it for names and ports only)
	Group  *os.File            // control group to start helpers in; nil: the caller's
	Place  func(pid int) error // moves a helper to where it outlives the login session; nil: it stays
}

// Held is the namespace, kept from ending until Release.
type Held struct {
	NS   *os.File // nil: the host's
	lock *os.File
}

// Release lets the namespace end when nothing proves its use.
func (h *Held) Release() {
	if h == nil {
		return
	}
	if h.NS != nil {
		h.NS.Close()
	}
	h.lock.Close()
}

// Hold returns the namespace, whole: made, or mended where the uplink or wherry-net was killed.
func Hold(ctx context.Context, o Options) (*Held, error) {
	for {
		lock, err := lockFile(o.Dir, unix.LOCK_SH)
		if err != nil {
			return nil, err
		}
		ns, err := o.whole()
		if err == nil {
			return &Held{NS: ns, lock: lock}, nil
		}
		lock.Close() // flock cannot be raised in one step: whoever comes between finds the work done
		if err := o.mend(ctx); err != nil {
			return nil, err
		}
	}
}

// Peek returns the namespace if it is there, whole or not; nil if there is none.
func Peek(dir state.Dir) *os.File {
	ns, err := openNS(dir)
	if err != nil {
		return nil
	}
	return ns
}

func lockFile(dir state.Dir, how int) (*os.File, error) {
	f, err := os.OpenFile(dir.Lock(), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(string(dir), 0o700); err != nil {
			return nil, err
		}
		f, err = os.OpenFile(dir.Lock(), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	}
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err == nil {
			return f, nil
		}
		if err != unix.EINTR {
			f.Close()
			return nil, err
		}
	}
}

var errIncomplete = errors.New("the network namespace is not complete")

// whole opens the namespace if it has all it needs.
func (o Options) whole() (*os.File, error) {
	if o.Host {
		if o.Helper && !alive(o.Dir.NetFile(), 0) {
			return nil, errIncomplete
		}
		return nil, nil
	}
	ns, err := openNS(o.Dir)
	if err != nil {
		return nil, err
	}
	inode := Inode(ns)
	if alive(o.Dir.UplinkFile(), inode) && alive(o.Dir.NetFile(), inode) {
		return ns, nil
	}
	ns.Close()
	return nil, errIncomplete
}

// openNS opens the namespace; a file that is only the place for its mount is none.
func openNS(dir state.Dir) (*os.File, error) {
	f, err := os.OpenFile(dir.Namespace(), os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil || st.Type != unix.NSFS_MAGIC {
		f.Close()
		return nil, errIncomplete
	}
	return f, nil
}

// Inode identifies an open namespace.
func Inode(ns *os.File) uint64 {
	var st unix.Stat_t
	if err := unix.Fstat(int(ns.Fd()), &st); err != nil {
		return 0
	}
	return st.Ino
}

func alive(file string, ns uint64) bool {
	var p state.Process
	return state.Read(file, &p) == nil && p.NetNS == ns && p.Alive()
}

// mend makes what is missing, alone.
func (o Options) mend(ctx context.Context) error {
	lock, err := lockFile(o.Dir, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer lock.Close()
	if o.Host {
		return o.startNet(nil, 0)
	}
	ns, err := openNS(o.Dir)
	if err != nil {
		if ns, err = o.create(); err != nil {
			return err
		}
	}
	defer ns.Close()
	inode := Inode(ns)
	faultpoint.Hit("network.namespace")
	if err := o.startNet(ns, inode); err != nil {
		return err
	}
	return o.startUplink(ctx, inode)
}

// create makes the namespace and keeps it by a mount in the user's mount namespace. What the last one left is removed:
// its bridges are gone, and with them every lease.
func (o Options) create() (*os.File, error) {
	for _, left := range []string{o.Dir.Networks(), filepath.Join(string(o.Dir), "leases")} {
		if err := os.RemoveAll(left); err != nil {
			return nil, err
		}
	}
	stop(o.Dir.UplinkFile())
	stopUnrecorded(o.Dir)
	stop(o.Dir.NetFile())
	ns, err := NewNamespace(true)
	if err != nil {
		return nil, fmt.Errorf("make the network namespace of your containers: %w", err)
	}
	f, err := os.OpenFile(o.Dir.Namespace(), os.O_CREATE|os.O_RDONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		ns.Close()
		return nil, err
	}
	f.Close()
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", ns.Fd()), o.Dir.Namespace(), "", unix.MS_BIND, ""); err != nil {
		ns.Close()
		return nil, fmt.Errorf("keep the network namespace of your containers: %w", err)
	}
	return ns, nil
}

// NewNamespace makes a network namespace. One that bridges lie in passes packets on; one of a container needs no
// capability for ports below 1024, as in Docker.
func NewNamespace(router bool) (ns *os.File, err error) {
	err = ownthread.Do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		prepare := prepareContainer
		if router {
			prepare = prepareRouter
		}
		if err := prepare(); err != nil {
			return err
		}
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return ns, err
}

// prepareContainer sets what Docker sets: low ports and ping need no capability.
func prepareContainer() error {
	err := os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	const ping = "/proc/sys/net/ipv4/ping_group_range"
	if os.WriteFile(ping, []byte("0 65535"), 0) != nil { // with fewer ids at least root's group can
		os.WriteFile(ping, []byte("0 0"), 0)
	}
	return nil
}

func prepareRouter() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		err := os.WriteFile("/proc/sys/net/"+name, []byte("1"), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// startUplink starts the uplink if none lives.
func (o Options) startUplink(ctx context.Context, inode uint64) error {
	if alive(o.Dir.UplinkFile(), inode) {
		return nil
	}
	stop(o.Dir.UplinkFile())
	pidFile := uplinkPid(o.Dir)
	stopUnrecorded(o.Dir)
	start := func() error {
		return uplink.Start(ctx, uplink.Options{NetNS: o.Dir.Namespace(), PidFile: pidFile, Group: o.Group})
	}
	err := start()
	if err != nil && ctx.Err() == nil && awaitUnrecorded(o.Dir) {
		err = start() // that of a killed command was in the way
	}
	if err != nil {
		return err
	}
	pid, err := uplink.Pid(pidFile)
	if err != nil {
		return err
	}
	faultpoint.Hit("network.uplink")
	if err := o.place(pid); err != nil {
		return err
	}
	return record(o.Dir.UplinkFile(), pid, inode)
}

func (o Options) place(pid int) error {
	if o.Group != nil || o.Place == nil {
		return nil
	}
	return o.Place(pid)
}

func record(file string, pid int, inode uint64) error {
	start, err := procs.StartTime(pid)
	if err != nil {
		return err
	}
	boot, _ := procs.BootID()
	return state.Write(file, state.Process{Pid: pid, Start: start, BootID: boot, NetNS: inode})
}

// stop ends the process that file names, if it lives.
func stop(file string) {
	var p state.Process
	if state.Read(file, &p) == nil && p.Alive() {
		procs.PidfdSignal(p.Pid, p.Start, unix.SIGKILL)
	}
	os.Remove(file)
}

// End takes the namespace down if nothing uses it, and tells whether it did. wherry-net calls it when it has seen no
// attachment for a while, and exits then.
func End(dir state.Dir) (ended bool, err error) {
	lock, err := lockFile(dir, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil // somebody starts a container
	} else if err != nil {
		return false, err
	}
	defer lock.Close()
	for _, a := range dir.ListAttachments() {
		if a.Alive() {
			return false, nil
		}
	}
	for _, a := range dir.ListAttachments() {
		dir.EndAttachment(a)
	}
	_, err = os.Lstat(dir.Namespace())
	own := err == nil // else the host's, whose bridges stay
	stop(dir.UplinkFile())
	stopUnrecorded(dir)
	faultpoint.Hit("network.ending")
	if err := os.Remove(dir.Namespace()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("let the network namespace go: %w", err)
	}
	if own {
		for _, left := range []string{dir.Networks(), filepath.Join(string(dir), "leases"), filepath.Join(string(dir), "cni")} {
			os.RemoveAll(left)
		}
	}
	os.Remove(dir.Control())
	return true, os.Remove(dir.NetFile())
}

// Outside takes the namespace's mount out of this process's own mount namespace, in which helpers are started. From then
// on the file can be removed like any other, and the kernel takes its mounts away wherever there are any. wherry-net calls
// it before it gives up its privileges.
func Outside(dir state.Dir) error {
	err := unix.Unmount(dir.Namespace(), unix.MNT_DETACH)
	if err == unix.EINVAL || err == unix.ENOENT {
		return nil // real root's, who has none
	}
	return err
}
