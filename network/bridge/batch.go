package bridge

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// conversation is a netlink socket in one network namespace. What a container's start waits for is said in as few
// messages to the kernel as there can be.
type conversation struct{ *nl.NetlinkSocket }

// converse opens one in ns; netns.None(): in the calling thread's.
func converse(ns netns.NsHandle) (conversation, error) {
	s, err := nl.GetNetlinkSocketAt(ns, netns.None(), unix.NETLINK_ROUTE)
	return conversation{s}, err
}

// index finds an interface. Unlike a request for the whole of it, this waits for nothing.
func (c conversation) index(name string) (int, error) { return c.ask(name, unix.SIOCGIFINDEX) }

func (c conversation) mtu(name string) (int, error) { return c.ask(name, unix.SIOCGIFMTU) }

func (c conversation) ask(name string, what uint) (int, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(c.GetFd(), what, ifr); err != nil {
		return 0, fmt.Errorf("interface %s: %w", name, err)
	}
	return int(ifr.Uint32()), nil
}

// request is one of a batch.
type request struct {
	*nl.NetlinkRequest
	what string // for errors
	fine error  // an error that is none
}

// batch is carried out by the kernel in its order, whatever fails.
type batch []request

func (b *batch) add(kind, flags int, what string, fine error, parts ...nl.NetlinkRequestData) {
	r := nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)
	for _, part := range parts {
		r.AddData(part)
	}
	*b = append(*b, request{r, what, fine})
}

// say sends a batch and returns what went wrong first.
func (c conversation) say(b batch) error {
	var bytes []byte
	for _, r := range b {
		bytes = append(bytes, r.Serialize()...)
	}
	if err := unix.Sendto(c.GetFd(), bytes, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	var first error
	answer := make([]byte, 4096)
	for open := len(b); open > 0; {
		n, _, err := unix.Recvfrom(c.GetFd(), answer, 0)
		if err == unix.EINTR {
			continue
		} else if err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		messages, err := syscall.ParseNetlinkMessage(answer[:n])
		if err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		for _, m := range messages {
			i := slices.IndexFunc(b, func(r request) bool { return r.Seq == m.Header.Seq })
			if i < 0 || m.Header.Type != unix.NLMSG_ERROR || len(m.Data) < 4 {
				continue
			}
			open--
			if err := b[i].outcome(m.Data); err != nil && first == nil {
				first = err
			}
		}
	}
	return first
}

// outcome reads an acknowledgement.
func (r request) outcome(data []byte) error {
	number := int32(nl.NativeEndian().Uint32(data))
	err := unix.Errno(-number)
	if number == 0 || errors.Is(err, r.fine) {
		return nil
	}
	return fmt.Errorf("%s: %w", r.what, err)
}
