package main

import (
	"unsafe" // also for go:linkname

	"github.com/wherry-containers/wherry/pkg/earlystart"
	"golang.org/x/sys/unix"
)

const (
	exitNotExecutable = 126
	exitNotFound      = 127
	signalExit        = 128
	sigSetSize        = 8
	sigBlock          = 0 // SIG_BLOCK
	sigSetMask        = 2 // SIG_SETMASK
)

var (
	everything uint64     = ^uint64(0) // signal set
	before     uint64                  // signal mask we were started with
	group      int32                   // process group for the terminal
	status     int32                   // of a reaped child
	path       [4096]byte              // candidate of the search in PATH
	slash      = [1]byte{'/'}
	failed     = [...]byte{'w', 'h', 'e', 'r', 'r', 'y', '-', 'i', 'n', 'i', 't', ':', ' ', 'c', 'a', 'n', 'n', 'o', 't', ' ', 'e', 'x', 'e', 'c', 'u', 't', 'e', ' '}
	newline    = [1]byte{'\n'}
)

//go:linkname hook github.com/wherry-containers/wherry/pkg/earlystart.hook
var hook = early

//go:nosplit
//go:norace
func early(s earlystart.Stack) {
	if !s.Arg(1).Is("--") || s.Argc() < 3 {
		return
	}
	earlystart.Syscall(unix.SYS_RT_SIGPROCMASK, sigBlock, uintptr(unsafe.Pointer(&everything)), uintptr(unsafe.Pointer(&before)), sigSetSize, 0, 0)
	child, errno := earlystart.Syscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	switch {
	case errno != 0:
		exit(exitNotExecutable)
	case child == 0:
		run(s)
	}
	s.Forget()
	wait(child)
}

// run becomes the command, in a process group of its own that has the terminal, as a shell would do.
//
//go:nosplit
//go:norace
func run(s earlystart.Stack) {
	earlystart.Syscall(unix.SYS_SETPGID, 0, 0, 0, 0, 0, 0)
	pid, _ := earlystart.Syscall(unix.SYS_GETPID, 0, 0, 0, 0, 0, 0)
	group = int32(pid)
	earlystart.Syscall(unix.SYS_IOCTL, 0, unix.TIOCSPGRP, uintptr(unsafe.Pointer(&group)), 0, 0, 0)
	earlystart.Syscall(unix.SYS_RT_SIGPROCMASK, sigSetMask, uintptr(unsafe.Pointer(&before)), 0, sigSetSize, 0, 0)

	argv := s.Argv() + 2*unsafe.Sizeof(uintptr(0))
	name := s.Arg(2)
	errno := uintptr(unix.ENOENT)
	if hasSlash(name) {
		_, errno = earlystart.Syscall(unix.SYS_EXECVE, name.Addr(), argv, s.Envp(), 0, 0, 0)
	} else if search := s.Getenv("PATH"); search.Present() {
		errno = searchPath(search, name, argv, s.Envp())
	}
	complain(name)
	if errno == uintptr(unix.ENOENT) {
		exit(exitNotFound)
	}
	exit(exitNotExecutable)
}

// searchPath executes name from the first directory of PATH that has it. It returns the last error that tells more
// than that it was not there.
//
//go:nosplit
//go:norace
func searchPath(search, name earlystart.CString, argv, envp uintptr) uintptr {
	result := uintptr(unix.ENOENT)
	n := uintptr(0)
	for i := uintptr(0); ; i++ {
		c := search.At(i)
		if c != ':' && c != 0 {
			if n < uintptr(len(path)) {
				path[n] = c
			}
			n++
			continue
		}
		if n > 0 && appendName(n, name) {
			_, errno := earlystart.Syscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(&path)), argv, envp, 0, 0, 0)
			if errno != uintptr(unix.ENOENT) && errno != uintptr(unix.ENOTDIR) {
				result = errno
			}
		}
		n = 0
		if c == 0 {
			return result
		}
	}
}

// appendName puts "/name" behind the n bytes of a directory in path.
//
//go:nosplit
//go:norace
func appendName(n uintptr, name earlystart.CString) bool {
	if n+1 >= uintptr(len(path)) {
		return false
	}
	path[n] = slash[0]
	n++
	for i := uintptr(0); ; i++ {
		if n >= uintptr(len(path)) {
			return false
		}
		path[n] = name.At(i)
		n++
		if name.At(i) == 0 {
			return true
		}
	}
}

//go:nosplit
//go:norace
func hasSlash(name earlystart.CString) bool {
	for i := uintptr(0); name.At(i) != 0; i++ {
		if name.At(i) == '/' {
			return true
		}
	}
	return false
}

//go:nosplit
//go:norace
func complain(name earlystart.CString) {
	n := uintptr(0)
	for name.At(n) != 0 {
		n++
	}
	earlystart.Syscall(unix.SYS_WRITE, 2, uintptr(unsafe.Pointer(&failed)), uintptr(len(failed)), 0, 0, 0)
	earlystart.Syscall(unix.SYS_WRITE, 2, name.Addr(), n, 0, 0, 0)
	earlystart.Syscall(unix.SYS_WRITE, 2, uintptr(unsafe.Pointer(&newline)), 1, 0, 0, 0)
}

// wait passes signals on to the child and reaps until the child has ended.
//
//go:nosplit
//go:norace
func wait(child uintptr) {
	for {
		sig, errno := earlystart.Syscall(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&everything)), 0, 0, sigSetSize, 0, 0)
		switch {
		case errno != 0:
		case sig == uintptr(unix.SIGCHLD):
			reap(child)
		case sig != uintptr(unix.SIGTTIN) && sig != uintptr(unix.SIGTTOU):
			earlystart.Syscall(unix.SYS_KILL, child, sig, 0, 0, 0, 0)
		}
	}
}

//go:nosplit
//go:norace
func reap(child uintptr) {
	for {
		pid, errno := earlystart.Syscall(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&status)), unix.WNOHANG, 0, 0, 0)
		if errno != 0 || pid == 0 {
			return
		}
		if pid != child {
			continue
		}
		if sig := uintptr(status & 0x7f); sig != 0 {
			exit(signalExit + sig)
		}
		exit(uintptr(status>>8) & 0xff)
	}
}

//go:nosplit
//go:norace
func exit(code uintptr) {
	for {
		earlystart.Syscall(unix.SYS_EXIT_GROUP, code, 0, 0, 0, 0, 0)
	}
}
