package api

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/libpod/values"
	"github.com/wherry-containers/wherry/pkg/caps"
)

func (c *creation) security() error {
	s := &c.cfg.Security
	s.Privileged = c.host.Privileged
	c.cfg.Rootfs.ReadOnly, c.cfg.Rootfs.ShmSize = c.host.ReadonlyRootfs, c.host.ShmSize
	if c.host.ShmSize < 0 {
		return invalid("SHM size can not be less than 0")
	}
	for _, list := range []struct {
		names []string
		into  *[]string
	}{{c.host.CapAdd, &s.CapAdd}, {c.host.CapDrop, &s.CapDrop}} {
		for _, name := range list.names {
			full, err := caps.Normalize(name)
			if err != nil {
				return invalid("invalid capability: %v", err)
			}
			*list.into = append(*list.into, full)
		}
	}
	for _, opt := range c.host.SecurityOpt {
		if err := values.SecurityOpt(s, opt, seccompText); err != nil {
			return invalid("invalid SecurityOpt %s: %v", shortened(opt), err)
		}
	}
	return c.paths()
}

func shortened(text string) string {
	if len(text) > 60 {
		return text[:60] + "..."
	}
	return text
}

// seccompText takes a profile itself: clients read the file, which may be on another machine.
func seccompText(s *record.Security, value string) error {
	switch {
	case value == "unconfined":
		s.Seccomp = value
	case value == "builtin":
		s.Seccomp = ""
	case json.Valid([]byte(value)):
		s.Seccomp = value
	default:
		return fmt.Errorf("seccomp needs the profile itself as JSON, unconfined or builtin")
	}
	return nil
}

// paths takes MaskedPaths and ReadonlyPaths, which replace the usual lists: absent keeps them, empty drops them.
func (c *creation) paths() error {
	s := &c.cfg.Security
	masked, readonly := spec.UsualPaths()
	same := func(a, b []string) bool {
		return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
	}
	keepMasked := c.host.MaskedPaths == nil || same(c.host.MaskedPaths, masked)
	keepReadonly := c.host.ReadonlyPaths == nil || same(c.host.ReadonlyPaths, readonly)
	if !keepMasked {
		s.Unmask = append(s.Unmask, without(masked, c.host.MaskedPaths)...)
		s.Mask = append(s.Mask, without(c.host.MaskedPaths, masked)...)
	}
	if !keepReadonly {
		if more := without(c.host.ReadonlyPaths, readonly); len(more) > 0 {
			return unsupported("ReadonlyPaths "+more[0], "paths can be taken out of the usual list only (mount them read-only)")
		}
		s.Unmask = append(s.Unmask, without(readonly, c.host.ReadonlyPaths)...)
	}
	return nil
}

// without is a less what is in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(p string) bool { return slices.Contains(b, p) })
}

func (c *creation) namespaces() error {
	n := &c.cfg.Namespaces
	var err error
	for _, ns := range []struct {
		field, value string
		into         *string
		more         []string
	}{
		{"PidMode", string(c.host.PidMode), &n.PID, nil},
		{"IpcMode", string(c.host.IpcMode), &n.IPC, []string{"private", "shareable", "none"}},
		{"UTSMode", string(c.host.UTSMode), &n.UTS, nil},
	} {
		if ns.value == "" {
			continue
		}
		if *ns.into, err = values.Namespace(ns.value, ns.more...); err != nil {
			return invalid("invalid %s %q: %v", ns.field, ns.value, err)
		}
	}
	if c.cfg.Security.UserNS, err = values.UserNS(string(c.host.UsernsMode)); err != nil {
		return invalid("invalid UsernsMode %q: %v", c.host.UsernsMode, err)
	}
	if n.UTS != "" && c.cfg.Hostname != "" {
		return invalid("conflicting options: hostname and the UTS mode")
	}
	for name, value := range c.host.Sysctls {
		name, value, err := values.Sysctl(name + "=" + value)
		if err != nil {
			return invalid("invalid Sysctls: %v", err)
		}
		c.sysctl(name, value)
	}
	if d := c.body.Domainname; d != "" {
		c.sysctl("kernel.domainname", d)
	}
	g := &c.cfg.Cgroup
	g.Parent, g.Namespace = c.host.CgroupParent, string(c.host.CgroupnsMode)
	if !c.host.CgroupnsMode.Valid() {
		return invalid("invalid cgroup namespace mode: %s", c.host.CgroupnsMode)
	}
	return nil
}

func (c *creation) sysctl(name, value string) {
	if c.cfg.Namespaces.Sysctls == nil {
		c.cfg.Namespaces.Sysctls = map[string]string{}
	}
	c.cfg.Namespaces.Sysctls[name] = value
}

func (c *creation) limits() error {
	r := &c.cfg.Resources
	if err := setLimits(r, &c.host.Resources); err != nil {
		return err
	}
	if c.host.OomScoreAdj != 0 {
		if _, err := values.OOMScoreAdj(strconv.Itoa(c.host.OomScoreAdj)); err != nil {
			return invalid("invalid OomScoreAdj %d: %v", c.host.OomScoreAdj, err)
		}
		r.OOMScoreAdj = &c.host.OomScoreAdj
	}
	return r.Check()
}

// setLimits puts what a body says of limits into r. Zero is what a body has that says nothing.
func setLimits(r *record.Resources, from *container.Resources) error {
	for field, n := range map[string]int64{"Memory": from.Memory, "MemoryReservation": from.MemoryReservation, "NanoCpus": from.NanoCPUs, "CpuShares": from.CPUShares,
		"CpuPeriod": from.CPUPeriod, "CpuRealtimePeriod": from.CPURealtimePeriod, "CpuRealtimeRuntime": from.CPURealtimeRuntime} {
		if n < 0 {
			return invalid("%s cannot be negative", field)
		}
	}
	if from.Memory > 0 && from.Memory < leastMemory {
		return invalid("Minimum memory limit allowed is 6MB")
	}
	set(&r.Memory, from.Memory)
	set(&r.MemorySwap, from.MemorySwap)
	set(&r.MemoryReservation, from.MemoryReservation)
	set(&r.NanoCPUs, from.NanoCPUs)
	set(&r.CPUShares, uint64(from.CPUShares))
	set(&r.CPUPeriod, uint64(from.CPUPeriod))
	set(&r.CPUQuota, from.CPUQuota)
	set(&r.CPURealtimePeriod, uint64(from.CPURealtimePeriod))
	set(&r.CPURealtime, from.CPURealtimeRuntime)
	set(&r.CPUSet, from.CpusetCpus)
	set(&r.MemoryNodes, from.CpusetMems)
	for _, list := range []string{from.CpusetCpus, from.CpusetMems} {
		if list != "" {
			if err := values.CPUSet(list); err != nil {
				return invalid("invalid cpuset %q: %v", list, err)
			}
		}
	}
	if from.OomKillDisable != nil {
		r.OOMKillDisable = *from.OomKillDisable
	}
	if n := from.MemorySwappiness; n != nil && *n != -1 { // which clients send for none
		if _, err := values.Swappiness(strconv.FormatInt(*n, 10)); err != nil {
			return invalid("Invalid value: %d, valid memory swappiness range is 0-100", *n)
		}
		r.MemorySwappiness = n
	}
	if n := from.PidsLimit; n != nil && *n != 0 { // which clients send for the default
		unlimited := int64(-1)
		if r.Pids = n; *n < 0 {
			r.Pids = &unlimited
		}
	}
	return setMoreLimits(r, from)
}

const leastMemory = 6 << 20

func set[T comparable](into *T, value T) {
	var zero T
	if value != zero {
		*into = value
	}
}

func setMoreLimits(r *record.Resources, from *container.Resources) error {
	for _, u := range present(from.Ulimits) {
		parsed, err := values.Ulimit(fmt.Sprintf("%s=%d:%d", u.Name, u.Soft, u.Hard))
		if err != nil {
			return invalid("invalid Ulimits: %s: %v", u.Name, err)
		}
		r.Ulimits = append(r.Ulimits, parsed)
	}
	if from.BlkioWeight != 0 {
		if _, err := values.Weight(strconv.Itoa(int(from.BlkioWeight))); err != nil {
			return invalid("range of blkio weight is from 10 to 1000")
		}
		r.Block.Weight = from.BlkioWeight
	}
	for _, d := range present(from.BlkioWeightDevice) {
		r.Block.Set(&r.Block.DeviceWeights, record.Throttle{Path: d.Path, Rate: uint64(d.Weight)})
	}
	for _, list := range []struct {
		from []*blkiodev.ThrottleDevice
		into *[]record.Throttle
	}{{from.BlkioDeviceReadBps, &r.Block.ReadBps}, {from.BlkioDeviceWriteBps, &r.Block.WriteBps},
		{from.BlkioDeviceReadIOps, &r.Block.ReadIOps}, {from.BlkioDeviceWriteIOps, &r.Block.WriteIOps}} {
		for _, d := range present(list.from) {
			r.Block.Set(list.into, record.Throttle{Path: d.Path, Rate: d.Rate})
		}
	}
	return nil
}

// present leaves out what is null.
func present[T any](list []*T) []*T {
	return slices.DeleteFunc(slices.Clone(list), func(p *T) bool { return p == nil })
}

func (c *creation) devices() error {
	s := &c.cfg.Security
	for _, d := range c.host.Devices {
		if values.CDI(d.PathOnHost) {
			s.CDI = append(s.CDI, d.PathOnHost)
			continue
		}
		text := d.PathOnHost
		for _, more := range []string{d.PathInContainer, d.CgroupPermissions} {
			if more != "" {
				text += ":" + more
			}
		}
		device, err := values.Device(text)
		if err != nil {
			return invalid("invalid Devices: %s: %v", text, err)
		}
		s.Devices = append(s.Devices, device)
	}
	for _, rule := range c.host.DeviceCgroupRules {
		if err := values.DeviceRule(rule); err != nil {
			return invalid("invalid device cgroup rule format: '%s': %v", rule, err)
		}
	}
	s.DeviceRules = c.host.DeviceCgroupRules
	for _, r := range c.host.DeviceRequests {
		names, err := deviceNames(&r)
		if err != nil {
			return err
		}
		s.CDI = append(s.CDI, names...)
	}
	return nil
}

// deviceNames are what a request for devices is in CDI: GPUs, and what is named so.
func deviceNames(r *container.DeviceRequest) ([]string, error) {
	gpu := r.Driver == "nvidia" || r.Driver == "" && slices.ContainsFunc(r.Capabilities, func(all []string) bool { return slices.Contains(all, "gpu") })
	switch {
	case r.Driver == "cdi":
		for _, name := range r.DeviceIDs {
			if !values.CDI(name) {
				return nil, invalid("invalid DeviceRequests: %q is not the name of a device in CDI, vendor.com/class=name", name)
			}
		}
		return r.DeviceIDs, nil
	case gpu && len(r.DeviceIDs) > 0:
		return values.GPUs("device=" + strings.Join(r.DeviceIDs, ","))
	case gpu:
		return values.GPUs(strconv.Itoa(r.Count))
	}
	return nil, fail(500, "could not select device driver %q with capabilities: %v", r.Driver, r.Capabilities)
}

// refused names what wherry does not have, so that nothing is dropped silently.
func (c *creation) refused() error {
	h := c.host
	if err := windowsOnly(&h.Resources); err != nil {
		return err
	}
	switch {
	case h.Isolation != "" && h.Isolation != container.IsolationDefault:
		return invalid("invalid isolation '%s' on linux", h.Isolation)
	case h.Cgroup != "":
		return unsupported("HostConfig.Cgroup", "a container has a control group of its own (set CgroupParent)")
	case h.VolumeDriver != "" && h.VolumeDriver != "local":
		return unsupported("HostConfig.VolumeDriver "+h.VolumeDriver, "only the driver local is there")
	case len(h.StorageOpt) > 0:
		return unsupported("HostConfig.StorageOpt", "the size of a root file system cannot be limited")
	case h.ContainerIDFile != "":
		c.cfg.Lifecycle.CIDFile = "" // the client writes it, on its own machine
	}
	return nil
}

func windowsOnly(r *container.Resources) error {
	for field, given := range map[string]bool{"CpuCount": r.CPUCount != 0, "CpuPercent": r.CPUPercent != 0,
		"IOMaximumIOps": r.IOMaximumIOps != 0, "IOMaximumBandwidth": r.IOMaximumBandwidth != 0} {
		if given {
			return unsupported(field, "it is for containers of Windows")
		}
	}
	return nil
}

func small(n uint) uint16 { return uint16(min(n, math.MaxUint16)) }

func octal(n uint32) string { return fmt.Sprintf("%04o", n) }
