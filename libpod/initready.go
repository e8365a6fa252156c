package libpod

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// initReady bounds the time after its start within which a --init container may not be ready for signals yet.
const initReady = time.Second

// awaitInit waits, in a container's first moments, until its init has a child or has caught sig. Before that the
// kernel drops it, for it is what a first process has not asked for: no mask that we could set beforehand outlives the
// OCI runtime, which sets its own.
func (c *container) awaitInit(sig syscall.Signal) {
	for time.Since(c.live.StartedAt) < initReady && c.alive() && !awaits(c.live.Pid, sig) {
		time.Sleep(time.Millisecond)
	}
}

// awaits tells whether an init has said what is to become of a signal. What it waits for in sigtimedwait(2), as ours does,
// the kernel shows as not blocked; but it has blocked all before it makes its child.
func awaits(pid int, sig syscall.Signal) bool {
	proc := "/proc/" + strconv.Itoa(pid)
	data, err := os.ReadFile(proc + "/status")
	if err != nil || sigMask(string(data))>>(sig-1)&1 == 1 {
		return true
	}
	children, err := os.ReadFile(proc + "/task/" + strconv.Itoa(pid) + "/children")
	return err != nil || len(children) > 0
}

// sigMask is every signal that is blocked, ignored or caught according to /proc/PID/status.
func sigMask(status string) (mask uint64) {
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		if name == "SigBlk" || name == "SigIgn" || name == "SigCgt" {
			bits, _ := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			mask |= bits
		}
	}
	return mask
}
