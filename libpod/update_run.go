package libpod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
)

// updateRun brings a run that is under way to what c says now: the configuration that a restart by the monitor takes, the
// control group, and the monitor, in this order.
func (e *Engine) updateRun(ctx context.Context, c, before *container) (err error) {
	if !c.alive() && !c.monitored() {
		return nil
	}
	in := e.limitsInput(c)
	if err := e.writeBundle(c, in); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.writeBundle(before, e.limitsInput(before)))
		}
	}()
	faultpoint.Hit("update.bundled")
	if c.alive() && !reflect.DeepEqual(c.Resources, before.Resources) {
		if err := e.updateGroup(ctx, c, before, in); err != nil {
			return err
		}
		faultpoint.Hit("update.applied")
	}
	if c.monitored() && changedLife(c, before) {
		if err := e.tellMonitor(c); err != nil {
			return err
		}
		faultpoint.Hit("update.told")
	}
	return nil
}

// limitsInput is as much of the input of package spec as the limits need.
func (e *Engine) limitsInput(c *container) spec.Input {
	facts, _ := e.facts(&c.Config) // amend has asked
	return spec.Input{Config: &c.Config, Cgroup: facts, Host: spec.Host{Block: blockDevices(&c.Resources),
		NoThrottle: c.Resources.Block.Weight > 0 && !facts.Throttles(c.ID)}}
}

// writeBundle puts limits and environment into the runtime's configuration of the run that is under way.
func (e *Engine) writeBundle(c *container, in spec.Input) error {
	path := filepath.Join(e.dirs.ContainerRun(c.ID), record.Bundle, "config.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	sp := &specs.Spec{}
	if err := json.Unmarshal(data, sp); err != nil {
		return fmt.Errorf("runtime configuration of container %q: %w", c.name(), err)
	}
	if err := spec.Renew(in, sp); err != nil {
		return err
	}
	if data, err = lazyjson.Marshal(sp); err != nil {
		return err
	}
	return atomicfile.Write(path, data, 0o600, atomicfile.Volatile)
}

// updateGroup changes the limits of a running container.
func (e *Engine) updateGroup(ctx context.Context, c, before *container, in spec.Input) error {
	if len(c.live.Cgroups) == 0 {
		return errdefs.New(errdefs.ErrUnsupported, "container %q has no control group of its own, so it cannot be limited (stop and start it where it can have one)", c.name())
	}
	res, err := spec.Changed(in, before.Resources)
	if err != nil {
		return err
	}
	runtime, err := e.runtimeOf(c)
	if err != nil {
		return err
	}
	if runtime.Kind == ociruntime.Runc && !slices.Equal(c.Resources.Block.DeviceWeights, before.Resources.Block.DeviceWeights) {
		return errdefs.New(errdefs.ErrUnsupported, "--blkio-weight-device: runc cannot change it while the container runs (stop it first)")
	}
	group := cgroup.Group{Dirs: c.live.Cgroups, Version: in.Cgroup.Version}
	if cpu := res.CPU; cpu != nil && cpu.Quota != nil && *cpu.Quota < 0 && group.Version == 1 && runtime.Kind == ociruntime.Crun { // it cannot write a -1 there
		cpu.Quota = nil
		if err := group.NoQuota(); err != nil {
			return err
		}
	}
	if err := runtime.Update(ctx, c.ID, res); err != nil {
		return err
	}
	// Runtimes differ in what they change of these: it is done here, in the group's own files.
	if n := c.Resources.MemorySwappiness; n != nil {
		if err := group.SetSwappiness(*n); err != nil {
			return err
		}
	}
	return throttleGroup(group, &before.Resources.Block, &c.Resources.Block)
}

// throttleGroup takes limits of devices away that are no longer there, and sets those that are.
func throttleGroup(group cgroup.Group, before, now *record.Block) error {
	known := hostBlocks(before, now)
	for _, kind := range []struct {
		what   cgroup.Throttle
		before []record.Throttle
		now    []record.Throttle
	}{
		{cgroup.ReadBps, before.ReadBps, now.ReadBps}, {cgroup.WriteBps, before.WriteBps, now.WriteBps},
		{cgroup.ReadIOps, before.ReadIOps, now.ReadIOps}, {cgroup.WriteIOps, before.WriteIOps, now.WriteIOps},
	} {
		rates := map[string]uint64{}
		for _, t := range kind.before {
			rates[t.Path] = 0
		}
		for _, t := range kind.now {
			rates[t.Path] = t.Rate
		}
		for path, rate := range rates {
			d, ok := known[path]
			if !ok {
				continue // it was unplugged, and its limit with it; one that is newly named was looked up before
			}
			if err := group.SetThrottle(kind.what, d.Major, d.Minor, rate); err != nil {
				return err
			}
		}
	}
	return nil
}

func hostBlocks(before, now *record.Block) map[string]spec.BlockDevice {
	all := blockDevices(&record.Resources{Block: *before})
	for path, d := range blockDevices(&record.Resources{Block: *now}) {
		if all == nil {
			all = map[string]spec.BlockDevice{}
		}
		all[path] = d
	}
	return all
}

// tellMonitor makes the monitor read what has changed. One that is just ending reads it in time, or needs it no more.
func (e *Engine) tellMonitor(c *container) error {
	conn, err := monitor.Dial(filepath.Join(e.dirs.ContainerRun(c.ID), record.AttachSock))
	if err != nil {
		if !c.monitored() {
			return nil
		}
		return fmt.Errorf("tell the monitor of container %q: %w", c.name(), err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{monitor.MsgUpdate}); err != nil && c.monitored() {
		return fmt.Errorf("tell the monitor of container %q: %w", c.name(), err)
	}
	return nil
}
