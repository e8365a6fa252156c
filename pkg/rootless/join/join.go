// Package join is the part of a rootless start that runs before the Go runtime, while the process still has the one
// thread that joining a user namespace asks for. A main that wants it imports this package for its effect and is
// linked as pkg/earlystart says; without the linker flag the package does nothing.
//
// It joins the user and mount namespace of the pause process, or, executed under the name of the pause process,
// becomes it. As root it does nothing: that is real root, or a process that is inside already. What it found is in
// realuser.Early. Whenever anything is not as expected it leaves the process as it was, and rootless.Enter goes on.
package join

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/earlystart"
	"github.com/wherry-containers/wherry/pkg/realuser"
)

//go:linkname hook github.com/wherry-containers/wherry/pkg/earlystart.hook
var hook = early

const (
	cloneNewUser = unix.CLONE_NEWUSER
	cloneNewNS   = unix.CLONE_NEWNS
	cwdFD        = ^uintptr(99) // AT_FDCWD, -100
	none         = ^uintptr(0)
)

// Buffers are package variables: the stack of nosplit functions is small.
var (
	path   buffer
	text   [512]byte // content of the file read last
	cwd    [4096]byte
	status unix.Statx_t
)

//go:nosplit
//go:norace
func early(s earlystart.Stack) {
	realuser.Early.Ran = 1
	if s.Arg(0).Is(PauseName) {
		pause(s)
		return
	}
	euid := s.Aux(earlystart.AuxEUID)
	if euid == 0 || !findPauseFile(s, euid) {
		return
	}
	length := read(euid)
	var want record
	if !parse(length, &want) {
		return
	}
	pidfd, errno := earlystart.Syscall(unix.SYS_PIDFD_OPEN, uintptr(want.pid), 0, 0, 0, 0, 0)
	if errno != 0 {
		pidfd = none
	}
	if errno != uintptr(unix.ESRCH) && isAlive(&want) {
		enter(s, &want, pidfd)
	}
	if pidfd != none {
		closeFD(pidfd)
	}
}

// isAlive compares the process with what the pause file says of it. It comes after the pidfd was opened: if the
// process was another by then, this sees the other one; if it becomes another later, the pidfd does not.
//
//go:nosplit
//go:norace
func isAlive(want *record) bool {
	path.reset()
	path.proc(want.pid)
	path.add("/stat")
	if startTime(read(none)) != want.start {
		return false
	}
	return namespaceIs(want.pid, "/ns/user", want.user) && namespaceIs(want.pid, "/ns/mnt", want.mnt)
}

//go:nosplit
//go:norace
func namespaceIs(pid uint64, name string, ino uint64) bool {
	path.reset()
	path.proc(pid)
	path.add(name)
	return statPath(0) && status.Ino == ino
}

// enter joins both namespaces and puts the working directory back, which setns moves to the root.
//
//go:nosplit
//go:norace
func enter(s earlystart.Stack, want *record, pidfd uintptr) {
	_, cwdErr := earlystart.Syscall(unix.SYS_GETCWD, uintptr(unsafe.Pointer(&cwd)), unsafe.Sizeof(cwd), 0, 0, 0, 0)
	text[0], text[1] = '.', 0
	dir, dirErr := earlystart.Syscall(unix.SYS_OPENAT, cwdFD, uintptr(unsafe.Pointer(&text)), unix.O_PATH|unix.O_CLOEXEC, 0, 0, 0)
	if setns(want, pidfd) {
		realuser.Early.UID = s.Aux(earlystart.AuxUID)
		realuser.Early.GID = s.Aux(earlystart.AuxGID)
		realuser.Early.Joined = 1
		takeGroup()
		restore(cwdErr == 0 && cwd[0] == '/', dir, dirErr == 0)
	}
	if dirErr == 0 {
		closeFD(dir)
	}
}

// takeGroup makes the primary group the namespace's group 0 for a process that newgrp or sg has given another one.
//
//go:nosplit
//go:norace
func takeGroup() {
	if gid, _ := earlystart.Syscall(unix.SYS_GETEGID, 0, 0, 0, 0, 0, 0); gid != 0 {
		earlystart.Syscall(unix.SYS_SETRESGID, 0, 0, 0, 0, 0, 0)
	}
}

// restore goes to the old working directory by its path. Where that does not exist in the namespace (a deleted
// directory, a mount that does not propagate) the open directory serves.
//
//go:nosplit
//go:norace
func restore(named bool, dir uintptr, open bool) {
	if named {
		if _, errno := earlystart.Syscall(unix.SYS_CHDIR, uintptr(unsafe.Pointer(&cwd)), 0, 0, 0, 0, 0); errno == 0 {
			return
		}
	}
	if open {
		earlystart.Syscall(unix.SYS_FCHDIR, dir, 0, 0, 0, 0, 0)
	}
}

// setns joins by the pidfd, both namespaces or none; before Linux 5.8 one after the other by their files.
//
//go:nosplit
//go:norace
func setns(want *record, pidfd uintptr) bool {
	if pidfd != none {
		_, errno := earlystart.Syscall(unix.SYS_SETNS, pidfd, cloneNewUser|cloneNewNS, 0, 0, 0, 0)
		realuser.Early.Errno = errno
		if errno == 0 {
			return true
		}
	}
	user, mnt := openNamespace(want.pid, "/ns/user"), openNamespace(want.pid, "/ns/mnt")
	joined := setnsFiles(user, mnt)
	if user != none {
		closeFD(user)
	}
	if mnt != none {
		closeFD(mnt)
	}
	return joined
}

//go:nosplit
//go:norace
func setnsFiles(user, mnt uintptr) bool {
	if user == none || mnt == none {
		return false
	}
	_, errno := earlystart.Syscall(unix.SYS_SETNS, user, cloneNewUser, 0, 0, 0, 0)
	realuser.Early.Errno = errno
	if errno != 0 {
		return false
	}
	if _, errno = earlystart.Syscall(unix.SYS_SETNS, mnt, cloneNewNS, 0, 0, 0, 0); errno != 0 {
		halfway(errno)
	}
	return true
}

// halfway ends a process that is in the user namespace but not in the mount namespace: there is no way back, and
// going on would mount on nothing. The pause process died between the two calls; the next try finds a new one.
//
//go:nosplit
//go:norace
func halfway(errno uintptr) {
	path.reset()
	path.add("Error: join the mount namespace of wherry: errno ")
	path.decimal(uint64(errno))
	path.add(" (try again)\n")
	earlystart.Syscall(unix.SYS_WRITE, 2, uintptr(unsafe.Pointer(&path.b)), path.n, 0, 0, 0)
	earlystart.Syscall(unix.SYS_EXIT_GROUP, 125, 0, 0, 0, 0, 0)
}

//go:nosplit
//go:norace
func openNamespace(pid uint64, name string) uintptr {
	path.reset()
	path.proc(pid)
	path.add(name)
	fd, errno := earlystart.Syscall(unix.SYS_OPENAT, cwdFD, path.addr(), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return none
	}
	return fd
}

//go:nosplit
//go:norace
func closeFD(fd uintptr) { earlystart.Syscall(unix.SYS_CLOSE, fd, 0, 0, 0, 0, 0) }
