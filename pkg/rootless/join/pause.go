package join

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/earlystart"
)

// PauseName is the name (argument 0) under which a binary with the stub becomes the pause process. Argument 1, if
// there, is a process whose user namespace it joins first; then it makes a mount namespace of its own. When it is
// in place it writes one byte to its standard output.
const PauseName = "wherry-pause"

// blocked are the signals that must not end the pause process: those that a terminal or a session sends on closing.
// SIGTERM ends it, for at shutdown everything must go.
const blocked = 1<<(unix.SIGHUP-1) | 1<<(unix.SIGINT-1) | 1<<(unix.SIGQUIT-1) | 1<<(unix.SIGPIPE-1) |
	1<<(unix.SIGUSR1-1) | 1<<(unix.SIGUSR2-1) | 1<<(unix.SIGTSTP-1) | 1<<(unix.SIGTTIN-1) | 1<<(unix.SIGTTOU-1)

var (
	mask     = uint64(blocked)
	name     = [16]byte{'w', 'h', 'e', 'r', 'r', 'y', '-', 'p', 'a', 'u', 's', 'e'}
	ready    = [1]byte{'+'}
	ignoring = [8]uintptr{1} // struct sigaction with handler SIG_IGN
)

// pause makes the process wait for ever once the hook returns. It needs no propagation set: a mount namespace made for another user namespace gets every
// shared mount as a slave, so mounts of the host come in and none goes out.
//
//go:nosplit
//go:norace
func pause(s earlystart.Stack) {
	earlystart.Syscall(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name)), 0, 0, 0, 0)
	earlystart.Syscall(unix.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, uintptr(unsafe.Pointer(&mask)), 0, 8, 0, 0)
	// An ignored SIGCHLD lets the kernel reap children that might be handed to us.
	earlystart.Syscall(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), uintptr(unsafe.Pointer(&ignoring)), 0, 8, 0, 0)
	if member := s.Arg(1); member.Present() && !follow(member) {
		earlystart.Syscall(unix.SYS_EXIT_GROUP, 1, 0, 0, 0, 0, 0)
	}
	earlystart.Syscall(unix.SYS_WRITE, 1, uintptr(unsafe.Pointer(&ready)), 1, 0, 0, 0)
	closeAll()
	s.WaitForever()
}

// follow joins the user namespace of a process and makes a mount namespace in it.
//
//go:nosplit
//go:norace
func follow(member earlystart.CString) bool {
	path.reset()
	path.add("/proc/")
	path.addString(member)
	path.add("/ns/user")
	fd, errno := earlystart.Syscall(unix.SYS_OPENAT, cwdFD, path.addr(), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return false
	}
	if _, errno = earlystart.Syscall(unix.SYS_SETNS, fd, cloneNewUser, 0, 0, 0, 0); errno != 0 {
		return false
	}
	_, errno = earlystart.Syscall(unix.SYS_UNSHARE, cloneNewNS, 0, 0, 0, 0, 0)
	return errno == 0
}

// closeAll closes every descriptor, also what the caller's shell left open: a pipe held here would never end.
//
//go:nosplit
//go:norace
func closeAll() {
	if _, errno := earlystart.Syscall(unix.SYS_CLOSE_RANGE, 0, 1<<31-1, 0, 0, 0, 0); errno == 0 {
		return
	}
	for fd := uintptr(0); fd < 1024; fd++ {
		closeFD(fd)
	}
}
