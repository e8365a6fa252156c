// Package earlystart runs a function of the program before the Go runtime starts: in a process that has one
// thread, no heap and a few touched pages. It works on linux/amd64, arm64 and arm with internal linking.
//
// A binary that wants it does two things.
//
// It is linked with
//
//	-ldflags "-E wherry_start"
//
// on every architecture. Without the flag (go test, go install, -race, external linking) the binary starts as
// usual and the function never runs, so there must be another way. A build for a debugger (-gcflags "all=-N -l") goes
// without it too: its frames are too big for the linker's check.
//
// One of its packages, and only one in the whole binary, defines the hook:
//
//	import _ "unsafe" // for go:linkname
//
//	//go:linkname hook github.com/wherry-containers/wherry/pkg/earlystart.hook
//	var hook = early
//
//	//go:nosplit
//	//go:norace
//	func early(s earlystart.Stack) { ... }
//
// With the flag and no hook the linker says "relocation target ...earlystart.hook not defined"; with two hooks,
// "duplicated definition". The package that defines the hook must import this one.
//
// When early returns, the Go runtime starts with the same arguments and environment, as if nothing had happened;
// package variables that early wrote keep their values (only plain numbers and arrays of them: no pointers,
// slices, strings or maps made by it). It need not return: it may loop, exit (Syscall of SYS_EXIT_GROUP) or execve; or it
// calls WaitForever and returns, and the process sleeps in next to no memory.
//
// What early and everything it calls may do: each function is //go:nosplit and //go:norace, frames along one chain
// of calls stay below about 700 bytes (the linker checks), so buffers are package variables. System calls through
// Syscall. No allocation, no string building, no maps, interfaces, closures, defer, panics, channels, no division
// or remainder (on arm a runtime call), no copy of big values (a runtime call), no index that may be out of range,
// no assembly function of our own (its wrapper loads g from thread-local storage on amd64), no signal handler.
// Arguments, environment and auxiliary vector are reached through the Stack.
package earlystart

import (
	"syscall"
	"unsafe"
)

// Stack is what the kernel left for the program: argc, argv, envp and the auxiliary vector.
type Stack struct{ p unsafe.Pointer }

// CString is a NUL-terminated string of the kernel; its zero value is the absent string.
type CString struct{ p unsafe.Pointer }

// Keys of the auxiliary vector.
const (
	auxHeaders     = 3
	auxHeaderSize  = 4
	auxHeaderCount = 5
	auxPageSize    = 6
	AuxUID         = 11
	AuxEUID        = 12
	AuxGID         = 13
	AuxEGID        = 14
)

const word = unsafe.Sizeof(uintptr(0))

// Argc is the number of arguments, the program's name included.
//
//go:nosplit
//go:norace
func (s Stack) Argc() uintptr { return *(*uintptr)(s.p) }

// Arg is argument i (0 is the program's name), absent when there are fewer.
//
//go:nosplit
//go:norace
func (s Stack) Arg(i uintptr) CString {
	if i >= s.Argc() {
		return CString{}
	}
	return CString{*(*unsafe.Pointer)(unsafe.Add(s.p, (1+i)*word))}
}

// Argv is the address of the vector of arguments, as execve takes it.
//
//go:nosplit
//go:norace
func (s Stack) Argv() uintptr { return uintptr(unsafe.Add(s.p, word)) }

// Envp is the address of the vector of the environment, as execve takes it.
//
//go:nosplit
//go:norace
func (s Stack) Envp() uintptr { return uintptr(s.env()) }

//go:nosplit
//go:norace
func (s Stack) env() unsafe.Pointer { return unsafe.Add(s.p, (2+s.Argc())*word) }

// Getenv is the value of an environment variable, absent when it is not set.
//
//go:nosplit
//go:norace
func (s Stack) Getenv(name string) CString {
	for at := s.env(); ; at = unsafe.Add(at, word) {
		entry := CString{*(*unsafe.Pointer)(at)}
		if !entry.Present() {
			return CString{}
		}
		if entry.HasPrefix(name) && entry.At(uintptr(len(name))) == '=' {
			return CString{unsafe.Add(entry.p, len(name)+1)}
		}
	}
}

// Aux is a value of the auxiliary vector, such as AuxEUID; 0 when it is not there.
//
//go:nosplit
//go:norace
func (s Stack) Aux(key uintptr) uintptr {
	if at := s.aux(key); at != nil {
		return *(*uintptr)(at)
	}
	return 0
}

// aux is where the value of a key lies.
//
//go:nosplit
//go:norace
func (s Stack) aux(key uintptr) unsafe.Pointer {
	at := s.env()
	for *(*uintptr)(at) != 0 {
		at = unsafe.Add(at, word)
	}
	for at = unsafe.Add(at, word); *(*uintptr)(at) != 0; at = unsafe.Add(at, 2*word) {
		if *(*uintptr)(at) == key {
			return unsafe.Add(at, word)
		}
	}
	return nil
}

// Present reports whether the string is there; it may be empty.
//
//go:nosplit
//go:norace
func (c CString) Present() bool { return c.p != nil }

// Addr is the address of the string, for a system call.
//
//go:nosplit
//go:norace
func (c CString) Addr() uintptr { return uintptr(c.p) }

// At is byte i; the caller has seen no NUL before it.
//
//go:nosplit
//go:norace
func (c CString) At(i uintptr) byte { return *(*byte)(unsafe.Add(c.p, i)) }

// HasPrefix reports whether a present string begins with prefix.
//
//go:nosplit
//go:norace
func (c CString) HasPrefix(prefix string) bool {
	for i := 0; i < len(prefix); i++ {
		if c.At(uintptr(i)) != prefix[i] {
			return false
		}
	}
	return true
}

// Is reports whether the string is there and equals text.
//
//go:nosplit
//go:norace
func (c CString) Is(text string) bool {
	return c.Present() && c.HasPrefix(text) && c.At(uintptr(len(text))) == 0
}

// Syscall does a system call and returns its result and its error number, which is 0 on success. What an address
// among the arguments points at must be a package variable or come from the Stack.
//
//go:nosplit
//go:norace
func Syscall(number, a1, a2, a3, a4, a5, a6 uintptr) (uintptr, uintptr) {
	r, _, errno := syscall.RawSyscall6(number, a1, a2, a3, a4, a5, a6)
	return r, uintptr(errno)
}
