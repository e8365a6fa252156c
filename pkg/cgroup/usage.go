package cgroup

import (
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what a container uses by the kernel's word. A part that the kernel does not count here is not Known.
type Usage struct {
	Memory, Limit  uint64 // bytes, without the file cache that nobody uses; the limit is MaxUint64 when there is none
	KnownMemory    bool
	Read, Written  uint64 // bytes from and to block devices
	KnownIO        bool
	Processes      uint64
	KnownProcesses bool
}

// Meter reads the files of one container's control group.
type Meter struct {
	group Group
	buf   []byte
}

// NewMeter returns a meter that uses buf; several may share it.
func NewMeter(group Group, buf []byte) Meter { return Meter{group, buf} }

// read is a file of the group without its line's end; empty when it cannot be read.
func (m Meter) read(controller, file string) string {
	dir := m.group.dir(controller)
	if dir == "" {
		return ""
	}
	return ReadFile(filepath.Join(dir, file), m.buf)
}

// ReadFile reads a small file of the kernel's; empty when it cannot be read.
func ReadFile(path string, buf []byte) string {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	total := 0
	for total < len(buf) {
		n, err := unix.Read(fd, buf[total:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			break
		}
		total += n
	}
	return string(buf[:total])
}

// CPU is the processor time that the group has used.
func (m Meter) CPU() (time.Duration, bool) {
	if m.group.Version == 2 {
		n, ok := valueIn(m.read("", "cpu.stat"), "usage_usec")
		return time.Duration(n) * time.Microsecond, ok
	}
	n, ok := number(m.read("cpuacct", "cpuacct.usage"))
	return time.Duration(n), ok
}

// Usage reads all but the processor time.
func (m Meter) Usage() Usage {
	var u Usage
	if m.group.Version == 2 {
		m.memory(&u, "memory.current", "memory.max", "inactive_file")
		m.unifiedIO(&u)
	} else {
		m.memory(&u, "memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file")
		m.legacyIO(&u)
	}
	u.Processes, u.KnownProcesses = number(m.read("pids", "pids.current"))
	if !u.KnownProcesses && m.group.dir("pids") != "" {
		u.Processes, u.KnownProcesses = uint64(strings.Count(m.read("pids", "cgroup.threads"), "\n")), true
	}
	return u
}

// unlimited is what v1 has for no limit: all pages that fit.
const unlimited = math.MaxInt64 &^ 0xffff

// memory leaves out the file cache that is not in use, as Docker does: it goes as soon as it is needed elsewhere.
func (m Meter) memory(u *Usage, usage, limit, cache string) {
	if u.Memory, u.KnownMemory = number(m.read("memory", usage)); !u.KnownMemory {
		return
	}
	if idle, ok := valueIn(m.read("memory", "memory.stat"), cache); ok && idle < u.Memory {
		u.Memory -= idle
	}
	max, ok := number(m.read("memory", limit))
	if u.Limit = max; !ok || max >= unlimited {
		u.Limit = math.MaxUint64
	}
}

// unifiedIO sums lines like "8:0 rbytes=90112 wbytes=0 rios=2 ...". A device that did nothing has only its number.
func (m Meter) unifiedIO(u *Usage) {
	dir := m.group.dir("io")
	if dir == "" || !exists(filepath.Join(dir, "io.stat")) {
		return
	}
	u.KnownIO = true
	for _, word := range strings.Fields(m.read("io", "io.stat")) {
		key, value, _ := strings.Cut(word, "=")
		n, _ := strconv.ParseUint(value, 10, 64)
		switch key {
		case "rbytes":
			u.Read += n
		case "wbytes":
			u.Written += n
		}
	}
}

// legacyIO sums lines like "8:0 Read 90112".
func (m Meter) legacyIO(u *Usage) {
	text := ""
	for _, file := range []string{"blkio.bfq.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"} {
		if text = m.read("blkio", file); strings.Contains(text, "Read") {
			break
		}
	}
	u.KnownIO = text != ""
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		n, _ := strconv.ParseUint(f[2], 10, 64)
		switch f[1] {
		case "Read":
			u.Read += n
		case "Write":
			u.Written += n
		}
	}
}

func number(text string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	return n, err == nil
}

// valueIn is the number after a key in lines of "key number".
func valueIn(text, key string) (uint64, bool) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, key+" "); ok {
			return number(rest)
		}
	}
	return 0, false
}
