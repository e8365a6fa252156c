package libpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/network"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
	"github.com/wherry-containers/wherry/pkg/procs"
	"github.com/wherry-containers/wherry/pkg/recorddir"
	"github.com/wherry-containers/wherry/pkg/store"
)

// EngineOptions configures an Engine. The zero value is usable.
type EngineOptions struct {
	Warn         func(string)             // takes one line for the user; nil: dropped
	Runtime      string                   // name or path of the OCI runtime for containers that ask for none; empty: the first found
	RuntimeFlags []string                 // given to the OCI runtime before its command, without the --
	Settings     func() (Settings, error) // what containers.conf says of starts; nil: nothing
	// EventsBackend says where events go (see package events), asked when there is one; nil: the default.
	EventsBackend func() string
	// Hooks adds to a runtime's configuration the OCI hooks that the descriptions in dirs ask for; nil: none.
	Hooks func(dirs []string, config []byte, binds bool) ([]byte, error)
	// Ahead is used by the first start; nil: it makes what it needs itself.
	Ahead   *Ahead
	CDIDirs []string // where device descriptions (CDI) lie; nil: the usual places
}

// Engine works on one user's store. It holds no state of its own: any number of them work side by side.
type Engine struct {
	dirs       layout.Dirs
	opts       EngineOptions
	images     *store.Store
	containers recorddir.Dir
	volumes    recorddir.Dir
	secrets    recorddir.Dir
	host       func() *host // found out once, on first use
}

// New returns an engine on dirs. It does no I/O.
func New(dirs layout.Dirs, opts EngineOptions) *Engine {
	if opts.Warn == nil {
		opts.Warn = func(string) {}
	}
	e := &Engine{
		dirs:   dirs,
		opts:   opts,
		images: store.Open(dirs),
		containers: recorddir.Dir{Kind: "container", Root: dirs.Containers(), Names: dirs.ContainerNames(),
			Trash: dirs.Trash(), Marker: record.ConfigFile},
		volumes: recorddir.Dir{Kind: "volume", Root: dirs.Volumes(), Trash: dirs.Trash(), Marker: volumeFile},
		host:    hostOnce(),
	}
	e.secrets = e.secretDir()
	if opts.Ahead != nil {
		e.host = opts.Ahead.host
	}
	return e
}

// container is a record as it was read: the wish, what became of it, and what runs now.
type container struct {
	record.Config
	state record.State
	live  *record.Live // nil: no run-time state
	// update is what has changed of the wish since; Config has it already.
	update *record.Update
	image  *store.Image       // nil: not looked up
	keep   []*os.File         // what the first process of this start has from descriptor 3 on
	ahead  *network.Namespace // for this start; nil: none was made ahead
	// busy says that the record claims what the kernel does not know, and that somebody holds its lock: the container is
	// being started, or its end is being recorded.
	busy bool
}

func (c *container) name() string {
	if c.state.Name != "" {
		return c.state.Name
	}
	return c.Config.Name
}

// load reads a container without a lock: each file is the old or the new one, whole.
func (e *Engine) load(id string) (*container, error) {
	c := &container{}
	if err := e.readRecord(id, record.ConfigFile, &c.Config); err != nil {
		return nil, err
	}
	if c.Version > record.Version {
		return nil, errNewer(id)
	}
	if err := e.loadUpdate(c, id); err != nil {
		return nil, err
	}
	err := e.readRecord(id, record.StateFile, &c.state)
	if err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		return nil, err
	}
	if c.state.Version > record.Version {
		return nil, errNewer(id)
	}
	if c.state.Status == "" {
		c.state.Status = record.Created
	}
	c.live = e.loadLive(id)
	return c, nil
}

// loadUpdate applies what `update` has changed of the wish, if it ever did.
func (e *Engine) loadUpdate(c *container, id string) error {
	u := &record.Update{}
	err := e.readRecord(id, record.UpdateFile, u)
	switch {
	case errors.Is(err, errdefs.ErrNotFound):
		return nil
	case err != nil:
		return err
	case u.Version > record.Version:
		return errNewer(id)
	}
	c.update = u
	u.Apply(&c.Config)
	return nil
}

func errNewer(id string) error {
	return errdefs.New(errdefs.ErrNewerVersion,
		"container %s was written by a newer version of wherry (upgrade wherry; wherry rm -f removes it)", shortID(id))
}

func (e *Engine) readRecord(id, file string, into any) error {
	data, err := e.containers.ReadFile(id, file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("container %s: %w", shortID(id), errdefs.ErrNotFound)
	} else if err != nil {
		return err
	}
	if err := lazyjson.Unmarshal(data, into); err != nil {
		way := "wherry rm -f removes it"
		if file != record.ConfigFile {
			way = "wherry system check --repair mends it, " + way
		}
		return errdefs.New(errdefs.ErrBroken, "container %s has a broken %s: %v (%s)", shortID(id), file, err, way)
	}
	return nil
}

// loadLive reads the run-time state; a broken or older-boot one counts as none.
func (e *Engine) loadLive(id string) *record.Live { return readLive(e.dirs, id) }

func readLive(dirs layout.Dirs, id string) *record.Live {
	data, err := os.ReadFile(filepath.Join(dirs.ContainerRun(id), record.LiveFile))
	if err != nil {
		return nil
	}
	live := &record.Live{}
	if lazyjson.Unmarshal(data, live) != nil || live.BootID != bootID() {
		return nil
	}
	return live
}

// alive tells whether the container's first process lives, if only to wait for a start after init.
func (c *container) alive() bool {
	return c.live != nil && procs.Alive(c.live.Pid, c.live.PidStart)
}

// running tells whether the container's command lives.
func (c *container) running() bool { return c.alive() && !c.live.Initialized }

// monitored tells whether the container's monitor lives: it will write what becomes of the container.
func (c *container) monitored() bool {
	return c.live != nil && procs.Alive(c.live.Monitor, c.live.MonitorStart)
}

// status is where the container is by the kernel's word, not only by the record's.
func (c *container) status() record.Status {
	switch {
	case c.state.Status == record.Removing:
		return record.Removing
	case c.initialized():
		return record.Initialized
	case c.running():
		return record.Running
	case c.state.Status == record.Restarting && c.monitored():
		return record.Restarting
	case c.state.Status == record.Running && c.monitored():
		return record.Running
	case c.busy && c.state.FinishedAt.IsZero():
		return record.Created
	case c.state.Status == record.Running || c.state.Status == record.Restarting:
		return record.Exited
	case c.state.Status == record.Initialized:
		return c.state.Rested()
	}
	return c.state.Status
}

// stale tells whether the record claims what the kernel does not know: its monitor was killed, or the machine was
// restarted.
func (c *container) stale() bool {
	claims := c.state.Status == record.Running || c.state.Status == record.Restarting || c.state.Status == record.Initialized || c.live != nil
	return claims && !c.running() && !c.monitored() && !c.busy
}

// writeState replaces the state. The caller holds the container's lock.
func (e *Engine) writeState(c *container) error {
	c.state.Version = record.Version
	data, err := lazyjson.Marshal(&c.state)
	if err != nil {
		return err
	}
	dur := atomicfile.Durable
	if c.Lifecycle.AutoRemove || c.state.Status == record.Removing {
		dur = atomicfile.Volatile // what is on its way out need not outlive the machine
	}
	return e.containers.WriteFile(c.ID, record.StateFile, data, dur)
}

// withContainer runs fn on the container that ref names, locked, fresh and settled.
func (e *Engine) withContainer(ctx context.Context, ref string, fn func(*container) error) error {
	return e.onContainer(ref, func(id string) error {
		return e.containers.WithLock(ctx, id, func() error {
			c, err := e.load(id)
			if err != nil {
				return err
			}
			if err := e.settle(c); err != nil {
				return err
			}
			return fn(c)
		})
	})
}

func shortID(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// bootID names this boot; where the kernel does not tell, run-time state is believed for as long as it lies there.
func bootID() string {
	id, _ := procs.BootID()
	return id
}
