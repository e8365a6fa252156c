package earlystart

import (
	"syscall"
	"unsafe"
)

// The script is a list of system calls, number and six arguments each, that the entry point does after the hook
// has returned. It lies in the entry point's frame, below the Stack, where giving back the binary leaves it alone.
// A number of 0 ends it, and the call before that is repeated for ever.
const (
	frame     = 640
	entryAt   = 56 // the address of the entry point
	scriptAt  = 64
	scriptMax = (frame - scriptAt) / (7 * 8)
)

// Constants of the kernel that have the same value everywhere.
const (
	loadSegment = 1 // PT_LOAD
	dontNeed    = 4 // MADV_DONTNEED
)

// WaitForever lets the process sleep until a signal ends it, as soon as the hook returns, and the Go runtime never
// starts. All memory of the binary is given back but the entry point's own page or two: the rest of the code becomes
// inaccessible, so that the kernel does not map it around a page fault either. What is left is about 16 kB.
//
//go:nosplit
//go:norace
func (s Stack) WaitForever() {
	n, page := uintptr(0), s.Aux(auxPageSize)
	here := *(*uintptr)(unsafe.Add(s.p, entryAt-frame)) &^ (page - 1)
	for i := uintptr(0); i < s.Aux(auxHeaderCount) && n+5 <= scriptMax; i++ { // 3 for a segment, 2 for the end
		start, end := s.segment(i, page)
		if start <= here && here < end {
			n = s.script(n, syscall.SYS_MPROTECT, start, here-start, 0)
			if after := here + 2*page; after < end {
				n = s.script(n, syscall.SYS_MPROTECT, after, end-after, 0)
			}
		}
		if start < end {
			n = s.script(n, syscall.SYS_MADVISE, start, end-start, dontNeed)
		}
	}
	n = s.script(n, syscall.SYS_PPOLL, 0, 0, 0)
	s.script(n, 0, 0, 0, 0)
}

// Forget gives back every page of the binary that has been touched: code and constants come again from the file when
// they are needed, and package variables fall back to their initial values. It is for a hook that is about to wait
// and must do something afterwards; else WaitForever leaves less.
//
//go:nosplit
//go:norace
func (s Stack) Forget() {
	page := s.Aux(auxPageSize)
	for i := uintptr(0); i < s.Aux(auxHeaderCount); i++ {
		if start, end := s.segment(i, page); start < end {
			Syscall(syscall.SYS_MADVISE, start, end-start, dontNeed, 0, 0, 0)
		}
	}
}

// script writes call n and returns the next number.
//
//go:nosplit
//go:norace
func (s Stack) script(n, number, a1, a2, a3 uintptr) uintptr {
	at := unsafe.Add(s.p, scriptAt-frame+int(n*7*word))
	*(*[7]uintptr)(at) = [7]uintptr{number, a1, a2, a3}
	return n + 1
}

// segment is where segment i of the binary lies, in whole pages; empty if it is not loaded.
//
//go:nosplit
//go:norace
func (s Stack) segment(i, page uintptr) (start, end uintptr) {
	header := unsafe.Add(*(*unsafe.Pointer)(s.aux(auxHeaders)), i*s.Aux(auxHeaderSize))
	if *(*uint32)(header) != loadSegment {
		return 0, 0
	}
	// In the 64-bit and in the 32-bit form the address is word 2 and the size in memory word 5.
	start = *(*uintptr)(unsafe.Add(header, 2*word))
	end = start + *(*uintptr)(unsafe.Add(header, 5*word))
	return start &^ (page - 1), (end + page - 1) &^ (page - 1)
}
