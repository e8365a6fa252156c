package ports

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func inUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// explain makes of a bind's error one that says who has the port or what would allow it. Under mu.
func (f *Forwarder) explain(err error, p state.Port) error {
	port := fmt.Sprintf("port %d/%s", p.HostPort, p.Protocol)
	switch {
	case inUse(err):
		if id := f.holder(p); id != "" {
			return errdefs.New(errdefs.ErrInUse, "%s is in use by container %q (stop it, or publish another port)", port, f.name(id))
		}
		return errdefs.New(errdefs.ErrInUse, "%s is in use by another program (ss -lnp shows which; stop it, or publish another port)", port)
	case errors.Is(err, syscall.EACCES) && p.HostPort != 0:
		return errdefs.New(errdefs.ErrUnsupported, "%s: ports below %d are for root (publish a higher one, or allow it: sudo sysctl net.ipv4.ip_unprivileged_port_start=%d)",
			port, unprivilegedStart(), p.HostPort)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return errdefs.New(errdefs.ErrInvalid, "%s: %s is not an address of this machine", port, p.HostIP)
	case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("%s: too many open files (ulimit -n is the limit of wherry-net, too): %w", port, err)
	}
	return fmt.Errorf("%s: %w", port, err)
}

// unprivilegedStart is the first port that anybody may bind.
func unprivilegedStart() int {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if start, bad := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && bad == nil {
		return start
	}
	return 1024
}

// network returns the name that package net has for the protocol on a host address: without an address both families.
func network(p state.Port) (name, host string, err error) {
	if p.HostIP == "" {
		return p.Protocol, ":" + strconv.Itoa(int(p.HostPort)), nil
	}
	addr, err := parseHost(p.HostIP)
	if err != nil {
		return "", "", errdefs.New(errdefs.ErrInvalid, "%q is no IP address", p.HostIP)
	}
	if addr.Is4() {
		return p.Protocol + "4", addr.String() + ":" + strconv.Itoa(int(p.HostPort)), nil
	}
	return p.Protocol + "6", "[" + addr.String() + "]:" + strconv.Itoa(int(p.HostPort)), nil
}
