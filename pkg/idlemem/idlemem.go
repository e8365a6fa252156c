// Package idlemem gives memory back that a process which rests does not need.
package idlemem

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Release gives back what the heap holds in reserve, and lets go of the pages of the program itself: of its instructions and
// constants few are needed again, and those are found in the kernel's cache when they are.
func Release() {
	debug.FreeOSMemory()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for _, m := range readOnly(string(maps), exe) {
		unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED) // a failure costs memory, nothing else
	}
}

// mapping is a range of addresses.
type mapping struct{ start, end uintptr }

// readOnly finds the mappings of a file that cannot be written: what the process has of them is what the file has. A line is
// like "00400000-01a2b000 r-xp 00000000 08:01 1234 /usr/bin/wherry".
func readOnly(maps, file string) []mapping {
	var list []mapping
	for line := range strings.Lines(maps) {
		fields := strings.Fields(line)
		if len(fields) < 6 || strings.Contains(fields[1], "w") || strings.Join(fields[5:], " ") != file {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		start, err1 := strconv.ParseUint(from, 16, int(unsafe.Sizeof(uintptr(0)))*8)
		end, err2 := strconv.ParseUint(to, 16, int(unsafe.Sizeof(uintptr(0)))*8)
		if err1 == nil && err2 == nil && end > start {
			list = append(list, mapping{uintptr(start), uintptr(end)})
		}
	}
	return list
}
