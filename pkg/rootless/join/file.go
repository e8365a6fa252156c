package join

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/earlystart"
)

// Names of the pause file in the run directory. The file holds one line of four decimal numbers: process id, start
// time (field 22 of /proc/PID/stat), inode of its user namespace, inode of its mount namespace.
const (
	FileName       = "pause"
	SingleFileName = "pause-single" // with $WHERRY_SINGLE_ID=1: only the user's own id is mapped
	EnvSingle      = "WHERRY_SINGLE_ID"
)

// record is what the pause file says.
type record struct{ pid, start, user, mnt uint64 }

// findPauseFile leaves the path of the pause file in path. The order is that of layout.RunDir.
//
//go:nosplit
//go:norace
func findPauseFile(s earlystart.Stack, euid uintptr) bool {
	if run := s.Getenv("WHERRY_RUN"); run.Present() && run.At(0) != 0 {
		path.reset()
		path.addString(run)
		return addFileName(s)
	}
	if run := s.Getenv("XDG_RUNTIME_DIR"); run.Present() && run.At(0) == '/' {
		path.reset()
		path.addString(run)
		if isOwnDir(0, euid) {
			path.add("/wherry")
			return addFileName(s)
		}
	}
	path.reset()
	path.add("/run/user/")
	path.decimal(uint64(euid))
	if isOwnDir(0, euid) {
		path.add("/wherry")
		return addFileName(s)
	}
	path.reset()
	path.add("/tmp/wherry-run-")
	path.decimal(uint64(euid))
	return isOwnDir(unix.AT_SYMLINK_NOFOLLOW, euid) && status.Mode&0o077 == 0 && addFileName(s)
}

//go:nosplit
//go:norace
func addFileName(s earlystart.Stack) bool {
	path.add("/" + FileName)
	if s.Getenv(EnvSingle).Is("1") {
		path.add(SingleFileName[len(FileName):])
	}
	return !path.full
}

//go:nosplit
//go:norace
func isOwnDir(flags, euid uintptr) bool {
	return statPath(flags) && status.Mode&unix.S_IFMT == unix.S_IFDIR && uintptr(status.Uid) == euid
}

// statPath fills status for path.
//
//go:nosplit
//go:norace
func statPath(flags uintptr) bool {
	_, errno := earlystart.Syscall(unix.SYS_STATX, cwdFD, path.addr(), flags, unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(&status)), 0)
	return errno == 0
}

// read fills text from path and returns the length, 0 on any error. With an owner other than none the file must be
// a regular one and the owner's, and no link.
//
//go:nosplit
//go:norace
func read(owner uintptr) uintptr {
	fd, errno := earlystart.Syscall(unix.SYS_OPENAT, cwdFD, path.addr(), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0, 0, 0)
	if errno != 0 {
		return 0
	}
	n := uintptr(0)
	if owner == none || isOwnFile(fd, owner) {
		if n, errno = earlystart.Syscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&text)), unsafe.Sizeof(text), 0, 0, 0); errno != 0 {
			n = 0
		}
	}
	closeFD(fd)
	return n
}

//go:nosplit
//go:norace
func isOwnFile(fd, owner uintptr) bool {
	path.reset()
	_, errno := earlystart.Syscall(unix.SYS_STATX, fd, path.addr(), unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(&status)), 0)
	return errno == 0 && status.Mode&unix.S_IFMT == unix.S_IFREG && uintptr(status.Uid) == owner
}

// parse reads a record from the first length bytes of text.
//
//go:nosplit
//go:norace
func parse(length uintptr, to *record) bool {
	at, ok := uintptr(0), true
	to.pid, at, ok = number(at, length, ok)
	to.start, at, ok = number(at, length, ok)
	to.user, at, ok = number(at, length, ok)
	to.mnt, _, ok = number(at, length, ok)
	return ok && to.pid > 1
}

// number reads the decimal at position at of text and the one byte that ends it.
//
//go:nosplit
//go:norace
func number(at, length uintptr, ok bool) (uint64, uintptr, bool) {
	value, digits := uint64(0), 0
	for ; at < length && at < uintptr(len(text)); at++ {
		c := text[at]
		if c < '0' || c > '9' {
			break
		}
		value = value*10 + uint64(c-'0')
		digits++
	}
	return value, at + 1, ok && digits > 0 && digits < 20
}

// startTime reads field 22 of a /proc/PID/stat in text. Field 2 is the name in parentheses, which may hold anything.
//
//go:nosplit
//go:norace
func startTime(length uintptr) uint64 {
	at := uintptr(0)
	for i := uintptr(0); i < length && i < uintptr(len(text)); i++ {
		if text[i] == ')' {
			at = i
		}
	}
	spaces := 0
	for ; at < length && at < uintptr(len(text)) && spaces < 20; at++ {
		if text[at] == ' ' {
			spaces++
		}
	}
	value, _, ok := number(at, length, spaces == 20)
	if !ok {
		return 0
	}
	return value
}

// buffer builds a NUL-terminated path; what does not fit marks it full.
type buffer struct {
	n    uintptr
	full bool
	b    [4160]byte
}

//go:nosplit
//go:norace
func (b *buffer) addr() uintptr { return uintptr(unsafe.Pointer(&b.b)) }

//go:nosplit
//go:norace
func (b *buffer) reset() { b.n, b.full, b.b[0] = 0, false, 0 }

//go:nosplit
//go:norace
func (b *buffer) byte(c byte) {
	if b.n+1 >= uintptr(len(b.b)) {
		b.full = true
		return
	}
	b.b[b.n] = c
	b.n++
	b.b[b.n] = 0
}

//go:nosplit
//go:norace
func (b *buffer) add(s string) {
	for i := 0; i < len(s); i++ {
		b.byte(s[i])
	}
}

//go:nosplit
//go:norace
func (b *buffer) addString(s earlystart.CString) {
	for i := uintptr(0); s.At(i) != 0 && !b.full; i++ {
		b.byte(s.At(i))
	}
}

// decimal adds a number below 10^10, most significant digit first, by subtraction: arm has no division here.
//
//go:nosplit
//go:norace
func (b *buffer) decimal(v uint64) {
	started := false
	for i := 0; i < len(powers); i++ {
		digit := byte('0')
		for v >= powers[i] {
			v -= powers[i]
			digit++
		}
		if started = started || digit != '0' || i == len(powers)-1; started {
			b.byte(digit)
		}
	}
}

var powers = [...]uint64{1e9, 1e8, 1e7, 1e6, 1e5, 1e4, 1e3, 100, 10, 1}

//go:nosplit
//go:norace
func (b *buffer) proc(pid uint64) {
	b.add("/proc/")
	b.decimal(pid)
}
