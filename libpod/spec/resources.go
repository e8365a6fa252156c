package spec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// defaultPids bounds a fork bomb; it is dropped without a word where the controller is missing.
const defaultPids = 2048

// cpuPeriod is the scheduler's default, in microseconds.
const cpuPeriod = 100000

func setResources(in Input, s *specs.Spec) error {
	r := in.Config.Resources
	if err := checkControllers(r, in.Cgroup); err != nil {
		return err
	}
	if cgroupsOff(in) {
		return nil
	}
	s.Linux.CgroupsPath = in.Cgroup.SpecPath(in.Config.ID)
	res := s.Linux.Resources
	if res == nil {
		res = &specs.LinuxResources{}
	}
	var err error
	if res.Memory, err = memory(r, in.Cgroup.Swap); err != nil {
		return err
	}
	if res.CPU, err = cpu(r); err != nil {
		return err
	}
	res.Pids = pids(r, in.Cgroup.Has("pids"))
	if res.Memory != nil || res.CPU != nil || res.Pids != nil || res.Devices != nil {
		s.Linux.Resources = res
	}
	return nil
}

// checkControllers refuses a limit that could not be kept.
func checkControllers(r record.Resources, f cgroup.Facts) error {
	for _, want := range []struct {
		asked            bool
		controller, flag string
	}{
		{r.Memory > 0, "memory", "--memory"},
		{r.MemorySwap != 0, "memory", "--memory-swap"},
		{r.MemoryReservation > 0, "memory", "--memory-reservation"},
		{r.NanoCPUs > 0, "cpu", "--cpus"},
		{r.CPUShares > 0, "cpu", "--cpu-shares"},
		{r.CPUSet != "", "cpuset", "--cpuset-cpus"},
		{r.Pids != nil && *r.Pids > 0, "pids", "--pids-limit"},
	} {
		if want.asked && !f.Has(want.controller) {
			return f.Missing(want.controller, want.flag)
		}
	}
	return nil
}

// memory follows Docker: swap alone is an error, and without a word on swap there is as much of it as of memory.
func memory(r record.Resources, swap bool) (*specs.LinuxMemory, error) {
	if r.Memory == 0 && r.MemoryReservation == 0 && r.MemorySwap == 0 {
		return nil, nil
	}
	m := &specs.LinuxMemory{}
	if r.Memory > 0 {
		m.Limit = &r.Memory
	}
	if r.MemoryReservation > 0 {
		if r.Memory > 0 && r.MemoryReservation > r.Memory {
			return nil, errdefs.New(errdefs.ErrInvalid, "--memory-reservation is above --memory (give it less)")
		}
		m.Reservation = &r.MemoryReservation
	}
	total := r.MemorySwap
	switch {
	case r.MemorySwap > 0 && r.Memory == 0:
		return nil, errdefs.New(errdefs.ErrInvalid, "--memory-swap needs --memory: it bounds memory plus swap")
	case r.MemorySwap > 0 && r.MemorySwap < r.Memory:
		return nil, errdefs.New(errdefs.ErrInvalid, "--memory-swap is below --memory: it bounds memory plus swap")
	case r.MemorySwap != 0 && !swap:
		return nil, errdefs.New(errdefs.ErrUnsupported, "--memory-swap: this kernel does not account swap (boot with swapaccount=1, or leave it out)")
	case r.MemorySwap == 0 && r.Memory > 0 && swap:
		total = 2 * r.Memory
	}
	if total != 0 {
		m.Swap = &total
	}
	return m, nil
}

func cpu(r record.Resources) (*specs.LinuxCPU, error) {
	if r.NanoCPUs == 0 && r.CPUShares == 0 && r.CPUSet == "" {
		return nil, nil
	}
	c := &specs.LinuxCPU{Cpus: r.CPUSet}
	if r.NanoCPUs > 0 {
		period := uint64(cpuPeriod)
		quota := r.NanoCPUs / (1e9 / cpuPeriod)
		if quota < 1000 {
			return nil, errdefs.New(errdefs.ErrInvalid, "--cpus is below 0.01, the least the kernel can do")
		}
		c.Period, c.Quota = &period, &quota
	}
	if r.CPUShares > 0 {
		shares := r.CPUShares
		c.Shares = &shares
	}
	return c, nil
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
