package spec

import (
	"maps"
	"math"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// defaultPids bounds a fork bomb; it is dropped without a word where the controller is missing.
const defaultPids = 2048

// cpuPeriod is the scheduler's default, in microseconds; cpuShares and cpuWeight are its default weight in v1 and v2.
const (
	cpuPeriod = 100000
	cpuShares = 1024
	cpuWeight = "100"
)

func setResources(in Input, s *specs.Spec) error {
	res, err := limits(in)
	if err != nil || cgroupsOff(in) {
		return err
	}
	s.Linux.CgroupsPath = in.Cgroup.SpecPath(in.Config.ID)
	if s.Linux.Resources != nil {
		res.Devices = s.Linux.Resources.Devices
	}
	if res.Memory != nil || res.CPU != nil || res.Pids != nil || res.BlockIO != nil || res.Unified != nil || res.Devices != nil {
		s.Linux.Resources = res
	}
	return nil
}

// CheckLimits finds limits that this host could not keep.
func CheckLimits(r record.Resources, f cgroup.Facts) error {
	if err := r.Check(); err != nil {
		return err
	}
	if err := checkControllers(r, f); err != nil {
		return err
	}
	return checkVersion(r, f)
}

// limits is all of the runtime's resources but the devices.
func limits(in Input) (*specs.LinuxResources, error) {
	r := in.Config.Resources
	if err := CheckLimits(r, in.Cgroup); err != nil {
		return nil, err
	}
	res := &specs.LinuxResources{Memory: memory(r, in.Cgroup.Swap), CPU: cpu(r), Pids: pids(r, in.Cgroup.Has("pids")), Unified: r.Unified}
	if in.Host.NoThrottle && r.Block.Weight > 0 {
		// crun opens io.max for any limit of block I/O, also where there is none. Such a kernel has the weight of BFQ.
		res.Unified = with(r.Unified, "io.bfq.weight", "default "+strconv.Itoa(int(r.Block.Weight)))
		return res, nil
	}
	var err error
	res.BlockIO, err = blockIO(r.Block, in.Host.Block)
	return res, err
}

// with is a copy of the files with one more.
func with(files map[string]string, key, value string) map[string]string {
	files = maps.Clone(files)
	if files == nil {
		files = map[string]string{}
	}
	files[key] = value
	return files
}

// Changed is what the runtime is to be told when the limits of a running container go from before to those of
// in.Config: all that are set, and an explicit "none" for each that is no longer.
func Changed(in Input, before record.Resources) (*specs.LinuxResources, error) {
	res, err := limits(in)
	if err != nil {
		return nil, err
	}
	now := in.Config.Resources
	unlimited := int64(-1)
	if before.Memory > 0 && now.Memory == 0 {
		m := memoryOf(res)
		m.Limit = &unlimited
		if in.Cgroup.Swap {
			m.Swap = &unlimited
		}
	}
	if before.MemoryReservation > 0 && now.MemoryReservation == 0 {
		zero := int64(0)
		memoryOf(res).Reservation = &zero
	}
	if bandwidth(before) && !bandwidth(now) {
		period := uint64(cpuPeriod)
		c := cpuOf(res)
		c.Quota, c.Period = &unlimited, &period
	}
	if before.CPUShares > 0 && now.CPUShares == 0 {
		if in.Cgroup.Version == 2 { // runtimes do not agree on the weight of 1024 shares
			res.Unified = with(res.Unified, "cpu.weight", cpuWeight)
		} else {
			shares := uint64(cpuShares)
			cpuOf(res).Shares = &shares
		}
	}
	if res.Pids == nil && in.Cgroup.Has("pids") {
		res.Pids = &specs.LinuxPids{Limit: &unlimited}
	}
	return res, nil
}

func bandwidth(r record.Resources) bool { return r.NanoCPUs > 0 || r.CPUQuota > 0 || r.CPUPeriod > 0 }

func memoryOf(res *specs.LinuxResources) *specs.LinuxMemory {
	if res.Memory == nil {
		res.Memory = &specs.LinuxMemory{}
	}
	return res.Memory
}

func cpuOf(res *specs.LinuxResources) *specs.LinuxCPU {
	if res.CPU == nil {
		res.CPU = &specs.LinuxCPU{}
	}
	return res.CPU
}

// checkControllers refuses a limit that could not be kept.
func checkControllers(r record.Resources, f cgroup.Facts) error {
	block := "io"
	if f.Version == 1 {
		block = "blkio"
	}
	for _, want := range []struct {
		asked            bool
		controller, flag string
	}{
		{r.Memory > 0, "memory", "--memory"},
		{r.MemorySwap != 0, "memory", "--memory-swap"},
		{r.MemoryReservation > 0, "memory", "--memory-reservation"},
		{r.NanoCPUs > 0, "cpu", "--cpus"},
		{r.CPUShares > 0, "cpu", "--cpu-shares"},
		{r.CPUPeriod > 0, "cpu", "--cpu-period"},
		{r.CPUQuota > 0, "cpu", "--cpu-quota"},
		{r.CPUSet != "", "cpuset", "--cpuset-cpus"},
		{r.MemoryNodes != "", "cpuset", "--cpuset-mems"},
		{r.Pids != nil && *r.Pids > 0, "pids", "--pids-limit"},
		{r.Block.Weight > 0, block, "--blkio-weight"},
		{len(r.Block.DeviceWeights) > 0, block, "--blkio-weight-device"},
		{len(r.Block.ReadBps) > 0, block, "--device-read-bps"},
		{len(r.Block.WriteBps) > 0, block, "--device-write-bps"},
		{len(r.Block.ReadIOps) > 0, block, "--device-read-iops"},
		{len(r.Block.WriteIOps) > 0, block, "--device-write-iops"},
	} {
		if want.asked && !f.Has(want.controller) {
			return f.Missing(want.controller, want.flag)
		}
	}
	for key := range r.Unified {
		controller, _, _ := strings.Cut(key, ".")
		if f.Version == 2 && controller != "cgroup" && !f.Has(controller) {
			return f.Missing(controller, "--cgroup-conf="+key)
		}
	}
	return nil
}

// checkVersion refuses what only the other version of control groups has.
func checkVersion(r record.Resources, f cgroup.Facts) error {
	rt := r.CPURealtime > 0 || r.CPURealtimePeriod > 0
	var text string
	switch {
	case len(r.Unified) > 0 && f.Version != 2:
		text = "--cgroup-conf needs cgroup v2 (boot with systemd.unified_cgroup_hierarchy=1, or leave it out)"
	case r.MemorySwappiness != nil && f.Version != 1:
		text = "--memory-swappiness: cgroup v2 has none for one container (leave it out; --memory-swap bounds the swap)"
	case r.OOMKillDisable && f.Version != 1:
		text = "--oom-kill-disable: cgroup v2 cannot (leave it out; --oom-score-adj makes a process the last choice)"
	case rt && f.Version != 1:
		text = "--cpu-rt-runtime and --cpu-rt-period need cgroup v1: v2 has no such limit (leave them out)"
	case rt && !f.Realtime():
		text = "--cpu-rt-runtime and --cpu-rt-period: this kernel has no CONFIG_RT_GROUP_SCHED (leave them out)"
	case r.MemorySwap != 0 && !f.Swap:
		text = "--memory-swap: this kernel does not account swap (boot with swapaccount=1, or leave it out)"
	default:
		return nil
	}
	return errdefs.New(errdefs.ErrUnsupported, "%s", text)
}

// memory follows Docker: without a word on swap there is as much of it as of memory.
func memory(r record.Resources, swap bool) *specs.LinuxMemory {
	if r.Memory == 0 && r.MemoryReservation == 0 && r.MemorySwap == 0 && r.MemorySwappiness == nil && !r.OOMKillDisable {
		return nil
	}
	m := &specs.LinuxMemory{}
	if r.Memory > 0 {
		m.Limit = &r.Memory
	}
	if r.MemoryReservation > 0 {
		m.Reservation = &r.MemoryReservation
	}
	total := r.MemorySwap
	if total == 0 && r.Memory > 0 && swap {
		total = 2 * r.Memory
		if r.Memory > math.MaxInt64/2 {
			total = -1
		}
	}
	if total != 0 {
		m.Swap = &total
	}
	if r.MemorySwappiness != nil {
		n := uint64(*r.MemorySwappiness)
		m.Swappiness = &n
	}
	if r.OOMKillDisable {
		m.DisableOOMKiller = &r.OOMKillDisable
	}
	return m
}

func cpu(r record.Resources) *specs.LinuxCPU {
	c := specs.LinuxCPU{Cpus: r.CPUSet, Mems: r.MemoryNodes}
	switch {
	case r.NanoCPUs > 0:
		period := uint64(cpuPeriod)
		quota := r.NanoCPUs / (1e9 / cpuPeriod)
		c.Period, c.Quota = &period, &quota
	default:
		if r.CPUPeriod > 0 {
			c.Period = &r.CPUPeriod
		}
		if r.CPUQuota > 0 { // -1 is none, as is nothing
			c.Quota = &r.CPUQuota
		}
	}
	if r.CPUShares > 0 {
		c.Shares = &r.CPUShares
	}
	if r.CPURealtimePeriod > 0 {
		c.RealtimePeriod = &r.CPURealtimePeriod
	}
	if r.CPURealtime > 0 {
		c.RealtimeRuntime = &r.CPURealtime
	}
	if c == (specs.LinuxCPU{}) {
		return nil
	}
	return &c
}

func pids(r record.Resources, has bool) *specs.LinuxPids {
	n := int64(defaultPids)
	switch {
	case !has:
		return nil
	case r.Pids != nil && *r.Pids <= 0:
		return nil
	case r.Pids != nil:
		n = *r.Pids
	}
	return &specs.LinuxPids{Limit: &n}
}

// Renew puts the limits and the environment of in.Config into the configuration of a run that is under way.
func Renew(in Input, s *specs.Spec) error {
	if s.Process != nil {
		in.Joined.Hostname = valueOf(s.Process.Env, "HOSTNAME")
		s.Process.Env = environment(in, valueOf(s.Process.Env, "HOME"))
	}
	if s.Linux == nil || cgroupsOff(in) {
		return nil
	}
	res, err := limits(in)
	if err != nil {
		return err
	}
	if had := s.Linux.Resources; had != nil {
		res.Devices, res.Network, res.Rdma, res.HugepageLimits = had.Devices, had.Network, had.Rdma, had.HugepageLimits
	}
	s.Linux.Resources = res
	return nil
}

// valueOf is one variable of an environment.
func valueOf(env []string, name string) string {
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}
