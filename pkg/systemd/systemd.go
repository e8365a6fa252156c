// Package systemd asks a service manager, over its private socket, for a scope: a control group that is delegated to us.
package systemd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Manager is a service manager: the system's, or a user's own.
type Manager struct {
	Socket string // its private socket: no message bus stands between
	UID    int    // who we are, outside of our user namespace
}

// System is the manager of the whole machine.
func System() Manager { return Manager{Socket: "/run/systemd/private"} }

// User is the manager of the user whose run directory that is.
func User(runtimeDir string, uid int) Manager {
	return Manager{Socket: runtimeDir + "/systemd/private", UID: uid}
}

// ErrExists: there is a unit of that name already.
var ErrExists = errors.New("the unit exists already")

// patience bounds the wait for an answer.
const patience = 10 * time.Second

// The object that most methods are called on.
const (
	destination = "org.freedesktop.systemd1"
	objectPath  = "/org/freedesktop/systemd1"
	iface       = "org.freedesktop.systemd1.Manager"
)

// stopTimeout is how long processes of the scope have to end when the manager stops it (at shutdown, say).
const stopTimeout = 10 * time.Second

// StartScope asks for a delegated scope that holds the processes. It is there some milliseconds after the answer.
func (m Manager) StartScope(name, slice, description string, pids ...int) error {
	var b body
	b.string(name)
	b.string("fail")
	b.array(8, func() {
		b.property("Description", "s", func() { b.string(description) })
		b.property("Slice", "s", func() { b.string(slice) })
		b.property("Delegate", "b", func() { b.uint32(1) })
		b.property("TasksMax", "t", func() { b.uint64(1<<64 - 1) }) // many containers share it; each has a limit of its own
		b.property("CollectMode", "s", func() { b.string("inactive-or-failed") })
		b.property("TimeoutStopUSec", "t", func() { b.uint64(uint64(stopTimeout.Microseconds())) })
		b.property("PIDs", "au", func() { b.pids(pids) })
	})
	b.array(8, func() {})
	return m.call("StartTransientUnit", "ssa(sv)a(sa(sv))", b)
}

// Attach moves processes into a group below a delegated unit, and makes that group. The manager may move what we may
// not: a process of a login session lies outside of what is delegated to the user.
func (m Manager) Attach(unit, group string, pids ...int) error {
	var b body
	b.string(unit)
	b.string(group)
	b.pids(pids)
	return m.call("AttachProcessesToUnit", "ssau", b)
}

// Unit is a unit of a manager.
type Unit struct {
	Manager Manager
	Name    string
}

// Stopping tells whether the manager is ending the unit, or has ended it; false when that cannot be found out.
func (u Unit) Stopping() bool {
	var b body
	b.string("org.freedesktop.systemd1.Unit")
	b.string("ActiveState")
	state, err := u.Manager.ask(call{objectPath + "/unit/" + escape(u.Name), "org.freedesktop.DBus.Properties", "Get", "ss"}, b)
	return err == nil && (state == "deactivating" || state == "inactive" || state == "failed")
}

// escape makes a unit's name part of an object's path.
func escape(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

// call is whom and what a message calls.
type call struct{ path, iface, method, signature string }

// call does one method call.
func (m Manager) call(method, signature string, b body) error {
	_, err := m.ask(call{objectPath, iface, method, signature}, b)
	return err
}

// ask does one call on a connection of its own, and returns the answer if that is a variant with a string in it.
func (m Manager) ask(c call, b body) (string, error) {
	fd, err := m.connect()
	if err != nil {
		return "", fmt.Errorf("talk to systemd at %s: %w", m.Socket, err)
	}
	defer unix.Close(fd)
	hello := "\x00AUTH EXTERNAL " + fmt.Sprintf("%x", strconv.Itoa(m.UID)) + "\r\nBEGIN\r\n"
	if err := writeAll(fd, append([]byte(hello), message(c, b)...)); err != nil {
		return "", fmt.Errorf("talk to systemd at %s: %w", m.Socket, err)
	}
	text, err := answer(reader{fd: fd})
	if err != nil {
		return "", fmt.Errorf("systemd: %s: %w", c.method, err)
	}
	return text, nil
}

func (m Manager) connect() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	limit := unix.NsecToTimeval(int64(patience))
	err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit))
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: m.Socket})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func writeAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.SendmsgN(fd, data, nil, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// remote is the error that the manager answered.
func remote(name, text string) error {
	if name == "org.freedesktop.systemd1.UnitExists" {
		return ErrExists
	}
	if text == "" {
		text = name
	}
	return errors.New(text)
}
