package monitor

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// AheadArg is the argument of a monitor that is started before it is known what for. Its job comes over a socket. The
// first byte says which of AttachFD, RunFD, LockFD and ConfigFD come with it, in this order: bit 0 is the first.
const AheadArg = "ahead"

// handed are the descriptors that an ahead monitor gets with its job.
var handed = [...]int{AttachFD, RunFD, LockFD, ConfigFD}

// SpawnAhead starts a monitor that waits for Hand and Send, as Spawn does otherwise: the start-up of its program passes beside
// what its caller does until then. It ends by itself when the caller does.
func SpawnAhead(path string, group *os.File) (*Process, error) {
	p := &Process{}
	opts := SpawnOptions{Path: path, Group: group, ahead: true}
	if err := p.spawn(opts); err != nil {
		return nil, err
	}
	return p, nil
}

// Hand gives an ahead monitor the descriptors of opts; what else is in there it has already, or cannot have.
func (p *Process) Hand(opts SpawnOptions) error {
	mask, fds := byte(0), make([]int, 0, len(handed))
	for i, f := range []*os.File{opts.Client, opts.Runtime, opts.Lock, opts.Config} {
		if f != nil {
			mask |= 1 << i
			fds = append(fds, int(f.Fd()))
		}
	}
	if err := unix.Sendmsg(int(p.job.Fd()), []byte{mask}, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("hand descriptors to monitor: %w", err)
	}
	return nil
}

// Drop sends an ahead monitor home.
func (p *Process) Drop() { p.close() }

// Receive takes, in the monitor, what Hand gave, each at its number.
func Receive() error {
	first, control := make([]byte, 1), make([]byte, unix.CmsgSpace(4*len(handed)))
	n, oobn, _, _, err := unix.Recvmsg(JobFD, first, control, unix.MSG_CMSG_CLOEXEC)
	for err == unix.EINTR {
		n, oobn, _, _, err = unix.Recvmsg(JobFD, first, control, unix.MSG_CMSG_CLOEXEC)
	}
	if err != nil {
		return fmt.Errorf("receive descriptors: %w", err)
	}
	if n == 0 {
		return nil // the job is as empty, and says so
	}
	fds, err := rights(control[:oobn])
	if err != nil {
		return err
	}
	for i, at := range handed {
		if first[0]&(1<<i) == 0 {
			continue
		}
		if len(fds) == 0 {
			return fmt.Errorf("receive descriptors: one is missing")
		}
		if err := unix.Dup3(fds[0], at, unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("receive descriptors: %w", err)
		}
		unix.Close(fds[0])
		fds = fds[1:]
	}
	return nil
}

func rights(control []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, fmt.Errorf("receive descriptors: %w", err)
	}
	for i := range messages {
		more, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return nil, fmt.Errorf("receive descriptors: %w", err)
		}
		fds = append(fds, more...)
	}
	return fds, nil
}
