package record

import (
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Bounds of the processor's bandwidth, in microseconds, as the kernel has them.
const (
	minPeriod = 1000
	maxPeriod = 1000000
	minQuota  = 1000
)

// Check finds limits that contradict each other, whatever the host can do.
func (r *Resources) Check() error {
	if err := r.checkMemory(); err != nil {
		return err
	}
	switch {
	case r.NanoCPUs > 0 && (r.CPUPeriod > 0 || r.CPUQuota != 0):
		return invalid("--cpus and --cpu-period or --cpu-quota do not go together: they set the same")
	case r.NanoCPUs > 0 && r.NanoCPUs < 1e7:
		return invalid("--cpus is below 0.01, the least the kernel can do")
	case r.CPUPeriod > 0 && (r.CPUPeriod < minPeriod || r.CPUPeriod > maxPeriod):
		return invalid("--cpu-period is %d microseconds; it is between %d and %d", r.CPUPeriod, minPeriod, maxPeriod)
	case r.CPUQuota > 0 && r.CPUQuota < minQuota:
		return invalid("--cpu-quota is %d microseconds; the least is %d", r.CPUQuota, minQuota)
	case r.CPURealtime > 0 && r.CPURealtimePeriod > 0 && uint64(r.CPURealtime) > r.CPURealtimePeriod:
		return invalid("--cpu-rt-runtime is above --cpu-rt-period (give it less)")
	}
	for key := range r.Unified {
		if controller, _, ok := strings.Cut(key, "."); !ok || controller == "" || strings.Trim(key, unifiedLetters) != "" {
			return invalid("--cgroup-conf %q: it is not the name of a file like memory.high", key)
		}
		if set := r.flagOf(key); set != "" {
			return invalid("--cgroup-conf %s and %s do not go together: they set the same", key, set)
		}
	}
	return nil
}

// unifiedLetters make up the names of files of a control group; no / is among them.
const unifiedLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

func (r *Resources) checkMemory() error {
	switch {
	case r.MemorySwap > 0 && r.Memory == 0:
		return invalid("--memory-swap needs --memory: it bounds memory and swap together")
	case r.MemorySwap > 0 && r.MemorySwap < r.Memory:
		return invalid("--memory-swap is memory and swap together: it cannot be less than --memory (give both)")
	case r.MemoryReservation > 0 && r.Memory > 0 && r.MemoryReservation > r.Memory:
		return invalid("--memory-reservation cannot be more than --memory")
	}
	return nil
}

// flagOf names the flag that writes the same file of the group, empty when none was given.
func (r *Resources) flagOf(key string) string {
	for _, f := range []struct {
		key, flag string
		given     bool
	}{
		{"memory.max", "--memory", r.Memory > 0},
		{"memory.low", "--memory-reservation", r.MemoryReservation > 0},
		{"memory.swap.max", "--memory-swap", r.MemorySwap != 0},
		{"cpu.max", "--cpus, --cpu-period or --cpu-quota", r.NanoCPUs > 0 || r.CPUPeriod > 0 || r.CPUQuota != 0},
		{"cpu.weight", "--cpu-shares", r.CPUShares > 0},
		{"cpuset.cpus", "--cpuset-cpus", r.CPUSet != ""},
		{"cpuset.mems", "--cpuset-mems", r.MemoryNodes != ""},
		{"pids.max", "--pids-limit", r.Pids != nil},
	} {
		if f.key == key && f.given {
			return f.flag
		}
	}
	return ""
}

func invalid(format string, args ...any) error {
	return errdefs.New(errdefs.ErrInvalid, format, args...)
}
