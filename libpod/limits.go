package libpod

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/hostfacts"
)

// facts are those of control groups, as they are for one container.
func (e *Engine) facts(cfg *record.Config) (cgroup.Facts, error) {
	g := cfg.Cgroup
	return e.host().cgroup().For(cgroup.Want{ID: cfg.ID, Manager: g.Manager, Mode: g.Mode, Parent: g.Parent})
}

// groupsOf are the directories of the container's control groups, if it has a run at all; what cannot be found out now
// could not be made either.
func (e *Engine) groupsOf(cfg *record.Config) []string {
	facts, err := e.facts(cfg)
	if err != nil {
		return nil
	}
	return facts.Dirs(cfg.ID)
}

// chooseManager takes the manager of control groups that the settings name, where it works: they are the same for root and
// for users, with and without systemd.
func (e *Engine) chooseManager(cfg *record.Config, manager string) {
	if manager == "" || cfg.Cgroup.Manager != "" || cfg.Cgroup.Mode == cgroup.Off {
		return
	}
	chosen := *cfg
	chosen.Cgroup.Manager = manager
	if _, err := e.facts(&chosen); err == nil {
		cfg.Cgroup.Manager = manager
	}
}

// checkLimits refuses at create what start could not keep. Without a limit it looks at nothing.
func (e *Engine) checkLimits(cfg *record.Config) error {
	if err := e.settleCgroupNS(cfg); err != nil {
		return err
	}
	if !limited(&cfg.Resources) && cfg.Cgroup == (record.Cgroup{}) {
		return nil
	}
	facts, err := e.facts(cfg)
	if err != nil {
		return err
	}
	if err := spec.CheckLimits(cfg.Resources, facts); err != nil {
		return err
	}
	b := &cfg.Resources.Block
	if throttled := len(blockPaths(b)) > len(b.DeviceWeights); throttled && !facts.Throttles(cfg.ID) {
		return errdefs.New(errdefs.ErrUnsupported, "--device-read-bps and its like: this kernel cannot limit the rate of a device (it lacks CONFIG_BLK_DEV_THROTTLING; leave them out)")
	}
	return nil
}

// limited tells whether the limits ask for anything of a control group.
func limited(r *record.Resources) bool {
	return r.Memory != 0 || r.MemorySwap != 0 || r.MemoryReservation != 0 || r.MemorySwappiness != nil || r.OOMKillDisable ||
		r.NanoCPUs != 0 || r.CPUShares != 0 || r.CPUPeriod != 0 || r.CPUQuota != 0 || r.CPURealtime != 0 || r.CPURealtimePeriod != 0 ||
		r.CPUSet != "" || r.MemoryNodes != "" || r.Pids != nil || len(r.Unified) > 0 || r.Block.Weight != 0 || len(blockPaths(&r.Block)) > 0
}

// blockPaths are the devices that limits name.
func blockPaths(b *record.Block) []string {
	var paths []string
	for _, list := range [][]record.Throttle{b.DeviceWeights, b.ReadBps, b.WriteBps, b.ReadIOps, b.WriteIOps} {
		for _, t := range list {
			paths = append(paths, t.Path)
		}
	}
	return paths
}

// blockDevices finds the numbers of the devices that the limits name.
func blockDevices(r *record.Resources) map[string]spec.BlockDevice {
	paths := blockPaths(&r.Block)
	if len(paths) == 0 {
		return nil
	}
	return hostfacts.BlockDevices(paths...)
}

const inContainer = "container:"

// settleCgroupNS puts the id of the container whose namespace is to be joined in the place of its name.
func (e *Engine) settleCgroupNS(cfg *record.Config) error {
	name, ok := strings.CutPrefix(cfg.Cgroup.Namespace, inContainer)
	if !ok {
		return nil
	}
	id, err := e.resolve(name)
	if err != nil {
		return fmt.Errorf("--cgroupns: %w", err)
	}
	cfg.Cgroup.Namespace = inContainer + id
	return nil
}

// cgroupNS is the control group namespace to join; empty for none.
func (e *Engine) cgroupNS(cfg *record.Config) (string, error) {
	if path, ok := strings.CutPrefix(cfg.Cgroup.Namespace, "ns:"); ok {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("--cgroupns: %w", err)
		}
		return path, nil
	}
	id, ok := strings.CutPrefix(cfg.Cgroup.Namespace, inContainer)
	if !ok {
		return "", nil
	}
	other, err := e.lookSettled(id)
	if err != nil {
		return "", fmt.Errorf("--cgroupns: %w", err)
	}
	if !other.alive() {
		return "", errdefs.New(errdefs.ErrState, "--cgroupns: container %q, whose namespace is to be joined, is not running (start it first)", other.name())
	}
	return "/proc/" + strconv.Itoa(other.live.Pid) + "/ns/cgroup", nil
}

// checkRuntime refuses what the runtime would not do, or would do otherwise without a word.
func checkRuntime(r *ociruntime.Runtime, cfg *record.Config) error {
	if cfg.Cgroup.Mode == cgroup.Off && r.Kind == ociruntime.Runc {
		return errdefs.New(errdefs.ErrUnsupported, "--cgroups=%s: runc makes a control group all the same (use --runtime crun)", cgroup.Off)
	}
	return nil
}
