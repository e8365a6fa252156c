// Package nssocket opens sockets in another network namespace than the program's own. A socket belongs for good to the
// namespace of the thread that makes it; only that moment needs a thread inside.
package nssocket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace with a thread inside. The nil Namespace is the program's own.
type Namespace struct {
	work chan func()
}

// Enter moves a thread into the network namespace that file is open on. It stays there until Close.
func Enter(file *os.File) (*Namespace, error) {
	n := &Namespace{work: make(chan func())}
	entered := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, nothing else may run on it.
		runtime.LockOSThread()
		err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
		entered <- err
		if err != nil {
			return
		}
		for do := range n.work {
			do()
		}
	}()
	if err := <-entered; err != nil {
		return nil, fmt.Errorf("enter the network namespace: %w", err)
	}
	return n, nil
}

// Close ends the thread inside; sockets made there live on.
func (n *Namespace) Close() {
	if n != nil {
		close(n.work)
	}
}

// Do runs do on the thread inside. It must not block: everybody else waits.
func (n *Namespace) Do(do func() error) error {
	if n == nil {
		return do()
	}
	done := make(chan error, 1)
	n.work <- func() { done <- do() }
	return <-done
}

// socket makes a socket that does not block.
func (n *Namespace) socket(addr netip.Addr, kind int) (fd int, err error) {
	domain := unix.AF_INET
	if addr.Is6() {
		domain = unix.AF_INET6
	}
	err = n.Do(func() error {
		fd, err = unix.Socket(domain, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return os.NewSyscallError("socket", err)
	})
	return fd, err
}

// ListenUDP opens a UDP socket on addr, which need not be there yet.
func (n *Namespace) ListenUDP(addr netip.AddrPort) (*net.UDPConn, error) {
	fd, err := n.bound(addr, unix.SOCK_DGRAM)
	if err != nil {
		return nil, err
	}
	return asConn[*net.UDPConn](fd)
}

// ListenTCP listens on addr, which need not be there yet.
func (n *Namespace) ListenTCP(addr netip.AddrPort) (*net.TCPListener, error) {
	fd, err := n.bound(addr, unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("listen", err)
	}
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

func (n *Namespace) bound(addr netip.AddrPort, kind int) (int, error) {
	fd, err := n.socket(addr.Addr(), kind)
	if err != nil {
		return -1, err
	}
	if kind == unix.SOCK_STREAM {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	// A bridge's IPv6 address is tentative for a second or two, its IPv4 address may come a moment after the file.
	if addr.Addr().Is6() {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_FREEBIND, 1),
			unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_V6ONLY, 1))
	} else {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1))
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, sockaddr(addr)))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Origin is how a connection presents itself to its peer: with the address From, which need not be one of the
// machine's, and with the firewall mark Mark. The zero Origin leaves both to the kernel.
type Origin struct {
	From netip.AddrPort
	Mark int
}

// DialTCP connects to addr until the deadline.
func (n *Namespace) DialTCP(addr netip.AddrPort, origin Origin, deadline time.Time) (*net.TCPConn, error) {
	fd, err := n.socket(addr.Addr(), unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	if err := origin.apply(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	err = unix.Connect(fd, sockaddr(addr))
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	if err != nil {
		if err := connected(f, deadline); err != nil {
			return nil, err
		}
	}
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// DialUDP opens a UDP socket that talks to addr only.
func (n *Namespace) DialUDP(addr netip.AddrPort, origin Origin) (*net.UDPConn, error) {
	fd, err := n.socket(addr.Addr(), unix.SOCK_DGRAM)
	if err != nil {
		return nil, err
	}
	if err = origin.apply(fd); err == nil {
		err = os.NewSyscallError("connect", unix.Connect(fd, sockaddr(addr)))
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return asConn[*net.UDPConn](fd)
}

func (o Origin) apply(fd int) error {
	if !o.From.IsValid() {
		return nil
	}
	// One client may use one port of its own towards several published ports: the pair with the peer tells them apart.
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if o.From.Addr().Is6() {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1))
	} else {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1))
	}
	if o.Mark != 0 {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, o.Mark))
	}
	if err != nil {
		return err
	}
	return os.NewSyscallError("bind", unix.Bind(fd, sockaddr(o.From)))
}

// connected waits for the end of a connect in progress.
func connected(f *os.File, deadline time.Time) error {
	if err := f.SetWriteDeadline(deadline); err != nil {
		return err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	waited := false
	err = raw.Write(func(fd uintptr) bool {
		if waited {
			return true
		}
		waited = true
		return writable(int(fd)) // it may be done already; else the poller tells
	})
	if err != nil {
		return err
	}
	var code int
	if failed := raw.Control(func(fd uintptr) { code, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR) }); failed != nil {
		return failed
	}
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	return os.NewSyscallError("connect", err)
}

func writable(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0
}

func sockaddr(addr netip.AddrPort) unix.Sockaddr {
	if addr.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16(), ZoneId: zone(addr.Addr().Zone())}
}

// zone is the index of the interface of a link-local address; 0 lets the kernel refuse it.
func zone(name string) uint32 {
	if name == "" {
		return 0
	}
	if index, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(index)
	}
	link, err := net.InterfaceByName(name)
	if err != nil {
		return 0
	}
	return uint32(link.Index)
}

// asConn hands a descriptor to package net, which takes a copy.
func asConn[C net.Conn](fd int) (conn C, err error) {
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return conn, err
	}
	return c.(C), nil
}
