// Package caps knows Linux capabilities by name and computes the set a container is given.
package caps

import (
	"fmt"
	"strings"

	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Set is a bit mask of capabilities, as the kernel numbers them.
type Set uint64

// Default is what Docker gives a container, in the order of its documentation.
func Default() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
		"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
		"CAP_AUDIT_WRITE",
	}
}

// Permitted returns what this process itself may hand on: one system call.
func Permitted() (Set, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return 0, fmt.Errorf("read own capabilities: %w", err)
	}
	return Set(uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted)), nil
}

// Has reports whether the capability of that normalised name is in s.
func (s Set) Has(name string) bool {
	c, ok := number(name)
	return ok && s&(1<<uint(c)) != 0
}

// Without returns s less the capability of that normalised name.
func (s Set) Without(name string) Set { return s &^ setOf([]string{name}) }

// Names lists s in the kernel's order.
func (s Set) Names() []string {
	var names []string
	for _, c := range capability.ListKnown() {
		if s&(1<<uint(c)) != 0 {
			names = append(names, "CAP_"+strings.ToUpper(c.String()))
		}
	}
	return names
}

// Normalize returns the canonical name (CAP_NET_ADMIN) of what a user typed (net_admin), or ALL.
func Normalize(name string) (string, error) {
	up := strings.ToUpper(name)
	if up == "ALL" || up == "CAP_ALL" {
		return "ALL", nil
	}
	if !strings.HasPrefix(up, "CAP_") {
		up = "CAP_" + up
	}
	if _, ok := number(up); !ok {
		return "", errdefs.New(errdefs.ErrInvalid, "unknown capability %q (see capabilities(7) for the names)", name)
	}
	return up, nil
}

// Resolve returns Docker's default set with add and drop applied, or all of permitted when privileged. A default
// that is not permitted is left out; an asked-for one is an error. As in Docker, ALL in drop is
// applied before add, ALL in add before drop.
func Resolve(add, drop []string, privileged bool, permitted Set) ([]string, error) {
	added, addAll, err := normalizeAll(add)
	if err != nil {
		return nil, err
	}
	dropped, dropAll, err := normalizeAll(drop)
	if err != nil {
		return nil, err
	}
	if privileged {
		return permitted.Names(), nil
	}
	if addAll {
		return (permitted &^ setOf(dropped)).Names(), nil
	}
	for _, name := range added {
		if !permitted.Has(name) {
			return nil, errdefs.New(errdefs.ErrUnsupported,
				"capability %s cannot be added: the process that starts the container does not have it itself", name)
		}
	}
	var base Set
	if !dropAll {
		base = setOf(Default()) & permitted &^ setOf(dropped)
	}
	return (base | setOf(added)).Names(), nil
}

func normalizeAll(names []string) (out []string, all bool, err error) {
	for _, name := range names {
		n, err := Normalize(name)
		if err != nil {
			return nil, false, err
		}
		if n == "ALL" {
			all = true
			continue
		}
		out = append(out, n)
	}
	return out, all, nil
}

func setOf(names []string) Set {
	var s Set
	for _, name := range names {
		if c, ok := number(name); ok {
			s |= 1 << uint(c)
		}
	}
	return s
}

func number(name string) (capability.Cap, bool) {
	short := strings.ToLower(strings.TrimPrefix(name, "CAP_"))
	for _, c := range capability.ListKnown() {
		if c.String() == short {
			return c, true
		}
	}
	return 0, false
}
