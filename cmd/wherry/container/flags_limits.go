package container

import (
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/values"
)

// limits binds flags to the limits of a container: at once to those of a new one, or later to those that another has.
type limits func(change func(*record.Resources))

// now binds to r itself.
func now(r *record.Resources) limits {
	return func(change func(*record.Resources)) { change(r) }
}

// limit is a flag whose parsed value set puts among the limits.
func limit[T any](l limits, names, usage string, parse func(string) (T, error), set func(*record.Resources, T)) *cmdkit.Flag {
	return cmdkit.Func(names, usage, func(s string) error {
		v, err := parse(s)
		l(func(r *record.Resources) { set(r, v) })
		return err
	})
}

// flags are the limits that run, create and update have.
func (l limits) flags() []cli.Flag {
	pids := func(s string) (*int64, error) {
		n, err := values.PidsLimit(s)
		return &n, err
	}
	return append([]cli.Flag{
		limit(l, "cpu-period", "Share the processors out anew every `MICROSECONDS`; 100000 if not given", values.Microseconds, func(r *record.Resources, n uint64) { r.CPUPeriod = n }),
		limit(l, "cpu-quota", "At most `MICROSECONDS` of processor time in each period, -1 for no limit", values.Quota, func(r *record.Resources, n int64) { r.CPUQuota = n }),
		limit(l, "cpu-rt-period", "Period of real-time scheduling in `MICROSECONDS`; cgroup v1 only", values.Microseconds, func(r *record.Resources, n uint64) { r.CPURealtimePeriod = n }),
		limit(l, "cpu-rt-runtime", "At most `MICROSECONDS` of real-time scheduling in each period; cgroup v1 only", values.Microseconds, func(r *record.Resources, n uint64) { r.CPURealtime = int64(n) }),
		limit(l, "cpu-shares c", "Weight of its processor time, `2 to 262144`; 1024 if not given", values.CPUShares, func(r *record.Resources, n uint64) { r.CPUShares = n }),
		limit(l, "cpus", "At most so many processors, `NUMBER` with a fraction", values.CPUs, func(r *record.Resources, n int64) { r.NanoCPUs = n }),
		limit(l, "cpuset-cpus", "Only the processors in `LIST`, as 0-3,5", cpuList, func(r *record.Resources, s string) { r.CPUSet = s }),
		limit(l, "cpuset-mems", "Only the memory nodes in `LIST`, as 0-1", cpuList, func(r *record.Resources, s string) { r.MemoryNodes = s }),
		limit(l, "memory m", "At most `SIZE` of memory", values.Memory, func(r *record.Resources, n int64) { r.Memory = n }),
		limit(l, "memory-reservation", "`SIZE` of memory to keep when it is scarce", values.Bytes, func(r *record.Resources, n int64) { r.MemoryReservation = n }),
		limit(l, "memory-swap", "At most `SIZE` of memory and swap together, -1 for no limit", values.MemorySwap, func(r *record.Resources, n int64) { r.MemorySwap = n }),
		limit(l, "memory-swappiness", "How readily it is swapped out, `0 to 100`; cgroup v1 only", values.Swappiness, func(r *record.Resources, n *int64) { r.MemorySwappiness = n }),
		limit(l, "pids-limit", "At most `NUMBER` processes, -1 for no limit", pids, func(r *record.Resources, n *int64) { r.Pids = n }),
	}, l.blockFlags()...)
}

func (l limits) blockFlags() []cli.Flag {
	device := func(names, usage string, parse func(string) (record.Throttle, error), list func(*record.Block) *[]record.Throttle) cli.Flag {
		return limit(l, names, usage, parse, func(r *record.Resources, t record.Throttle) { r.Block.Set(list(&r.Block), t) })
	}
	return []cli.Flag{
		limit(l, "blkio-weight", "Weight of its block I/O, `10 to 1000`", values.Weight, func(r *record.Resources, n uint16) { r.Block.Weight = n }),
		device("blkio-weight-device", "Weight of its I/O on a device, `PATH:WEIGHT`", values.DeviceWeight, func(b *record.Block) *[]record.Throttle { return &b.DeviceWeights }),
		device("device-read-bps", "Read at most `PATH:SIZE` a second from a device", values.DeviceBps, func(b *record.Block) *[]record.Throttle { return &b.ReadBps }),
		device("device-read-iops", "Read at most `PATH:NUMBER` times a second from a device", values.DeviceIOps, func(b *record.Block) *[]record.Throttle { return &b.ReadIOps }),
		device("device-write-bps", "Write at most `PATH:SIZE` a second to a device", values.DeviceBps, func(b *record.Block) *[]record.Throttle { return &b.WriteBps }),
		device("device-write-iops", "Write at most `PATH:NUMBER` times a second to a device", values.DeviceIOps, func(b *record.Block) *[]record.Throttle { return &b.WriteIOps }),
	}
}

// windowsFlags are Docker's for containers of Windows.
func windowsFlags() []cli.Flag {
	return cmdkit.Refused("cpu-count cpu-percent io-maxbandwidth io-maxiops isolation", "it is for containers of Windows")
}

// cpuList takes an empty list for none: scripts write --cpuset-cpus "$CPUS".
func cpuList(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return s, values.CPUSet(s)
}

// resourceFlags are the limits, and what can be said of them only before the container is there.
func (w *wish) resourceFlags() []cli.Flag {
	r := &w.Config.Resources
	return append(now(r).flags(),
		cmdkit.KeyValues(&r.Unified, "cgroup-conf", "Write `FILE=VALUE` into its control group, as memory.high=1000000000; cgroup v2 only"),
		cmdkit.Func("kernel-memory", "Deprecated: no kernel of today limits it", func(s string) error {
			w.kernelMemory = true
			_, err := values.Bytes(s)
			return err
		}),
		cmdkit.Bool(&r.OOMKillDisable, "oom-kill-disable", "Do not kill its processes when memory ends; cgroup v1 only"),
		cmdkit.Func("oom-score-adj", "How soon it is killed when memory ends, `-1000 to 1000`", func(s string) error {
			n, err := values.OOMScoreAdj(s)
			r.OOMScoreAdj = &n
			return err
		}),
		cmdkit.Func("ulimit", "Limit `NAME=SOFT[:HARD]`, as nofile=1024:2048", func(s string) error {
			u, err := values.Ulimit(s)
			r.Ulimits = append(r.Ulimits, u)
			return err
		}),
	)
}

// groupFlags say where the control group is.
func (w *wish) groupFlags() []cli.Flag {
	c := &w.Config.Cgroup
	return []cli.Flag{
		cmdkit.String(&c.Parent, "cgroup-parent", "Make its control group in `PATH`, or in a slice of systemd"),
		checked(&c.Namespace, "cgroupns", "Control group namespace: `host|private|ns:PATH|container:NAME`", values.CgroupNS),
		checked(&c.Mode, "cgroups", "Control group: `enabled|disabled|no-conmon|split`", values.Cgroups),
	}
}

// deviceFlags are the devices; those named as in CDI are looked up when the container starts.
func (w *wish) deviceFlags() []cli.Flag {
	s := &w.Config.Security
	return []cli.Flag{
		cmdkit.Func("device", "Add device `HOST[:CONTAINER][:rwm]`, or one of CDI by its name VENDOR/CLASS=NAME", func(text string) error {
			if values.CDI(text) {
				s.CDI = append(s.CDI, text)
				return nil
			}
			d, err := values.Device(text)
			s.Devices = append(s.Devices, d)
			return err
		}),
		cmdkit.Func("device-cgroup-rule", "Allow devices by `RULE`, as \"c 42:* rmw\"; as root only", func(text string) error {
			s.DeviceRules = append(s.DeviceRules, text)
			return values.DeviceRule(text)
		}),
		cmdkit.Func("gpus", "Add GPUs: `all|NUMBER|device=NAMES`, which CDI describes as nvidia.com/gpu", func(text string) error {
			names, err := values.GPUs(text)
			s.CDI = append(s.CDI, names...)
			return err
		}),
	}
}

// finishLimits says what the limits mean to each other.
func (w *wish) finishLimits(env *cmdkit.Env) error {
	r := &w.Config.Resources
	if w.kernelMemory {
		env.Warn("--kernel-memory is deprecated: no kernel of today limits it, so there is no such limit")
	}
	if r.OOMKillDisable && r.Memory == 0 {
		env.Warn("--oom-kill-disable without --memory: the container can take all memory of this machine")
	}
	w.Config.Cgroup.Manager = env.CgroupManager
	if err := r.Check(); err != nil {
		return cmdkit.Usagef("%s", strings.TrimSpace(err.Error()))
	}
	return nil
}
