package libpod

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/events"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// exitUnknown is the exit code of a container whose end nobody saw: its monitor was killed, or the machine went down.
const exitUnknown = 255

// settle makes the record agree with the kernel when both container and monitor are gone: the state becomes exited
// and what was left of the run is cleaned up. The caller holds the lock. An AutoRemove container is removed instead,
// and the error is then ErrNotFound.
func (e *Engine) settle(c *container) error {
	if !c.stale() {
		return e.settleLeftovers(c)
	}
	if err := e.runsElsewhere(c); err != nil {
		return err
	}
	if err := c.killInitialized(); err != nil {
		return err
	}
	if err := e.dropRun(c); err != nil {
		return err
	}
	if c.state.Status == record.Running && !c.state.StartedAt.IsZero() {
		e.note(c, "die", events.ExitCode, strconv.Itoa(exitUnknown)) // its monitor could not
	}
	if c.Lifecycle.AutoRemove && c.state.Status != record.Removing && c.state.Status != record.Initialized {
		if err := e.dropRecord(c, true); err != nil {
			return err
		}
		return fmt.Errorf("container %s: %w", c.name(), errdefs.ErrNotFound)
	}
	if c.state.Status == record.Running {
		c.state.ExitCode, c.state.FinishedAt = exitUnknown, time.Now().UTC()
	}
	if c.state.Status == record.Removing {
		return nil
	}
	c.state.Status = c.state.Rested()
	return e.writeState(c)
}

// runsElsewhere refuses a container that a command with another run directory started: after su, or from cron, where
// XDG_RUNTIME_DIR is not what it was, it would be taken for dead and started a second time.
func (e *Engine) runsElsewhere(c *container) error {
	there := c.state.RunDir
	if there == "" || there == e.dirs.Run || c.state.BootID != bootID() {
		return nil
	}
	other := &container{live: readLive(layout.Dirs{Run: there}, c.ID)}
	if !other.running() && !other.monitored() {
		return nil
	}
	return errdefs.New(errdefs.ErrState, "container %q runs with the run directory %s, not %s (set XDG_RUNTIME_DIR to what it was, or use --runroot %s)",
		c.name(), there, e.dirs.Run, there)
}

// settleLeftovers cleans up after a start that was killed before the monitor wrote anything.
func (e *Engine) settleLeftovers(c *container) error {
	if c.live != nil || c.state.Status == record.Running || c.state.Status == record.Initialized {
		return nil
	}
	if _, err := os.Lstat(e.dirs.ContainerRun(c.ID)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return e.dropRun(c)
}

// dropRun removes what a run leaves outside the durable directory: the uplink, the control groups, the runtime's
// state and the run directory. Mounts need nothing: they went with the monitor's mount namespace.
func (e *Engine) dropRun(c *container, cgroups ...string) error {
	e.killUplink(c)
	if err := e.dropNetwork(c); err != nil {
		return err
	}
	if c.live != nil {
		cgroups = append(cgroups, c.live.Cgroups...)
	} else { // nobody came to note it: what a start may have left lies where it would lie now
		cgroups = append(cgroups, e.groupsOf(&c.Config)...)
	}
	for _, dir := range cgroups {
		if err := cgroup.Remove(dir, true); err != nil {
			return err
		}
	}
	faultpoint.Hit("settle.cgroup")
	if err := os.RemoveAll(filepath.Join(e.dirs.Runtime(), c.ID)); err != nil {
		return err
	}
	c.live = nil
	return os.RemoveAll(e.dirs.ContainerRun(c.ID))
}

// settleStale repairs, as far as no one else holds them, the records a list came across.
func (e *Engine) settleStale(ids []string) {
	for _, id := range ids {
		lock, err := e.containers.TryAcquire(id)
		if err != nil || lock == nil {
			continue
		}
		e.settleLocked(id)
		lock.Unlock()
	}
}

func (e *Engine) settleLocked(id string) {
	if !e.containers.Complete(id) {
		e.containers.Remove(id, e.namesOf(id)...)
		return
	}
	if c, err := e.load(id); err == nil {
		e.settle(c)
	}
}

// namesOf lists the names claimed for id; there is more than one only after a killed rename.
func (e *Engine) namesOf(id string) []string {
	all, _ := e.containers.AllNames()
	var mine []string
	for _, name := range all {
		if owner, ok := e.containers.Owner(name); ok && owner == id {
			mine = append(mine, name)
		}
	}
	return mine
}
