package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/recorddir"
	"github.com/wherry-containers/wherry/pkg/steps"
)

// Problem is one thing that Check found. docs/store.md says how each comes about.
type Problem struct {
	Object   string // what it is about: container web, volume db, name x, ...
	Text     string
	Repaired bool
	Fatal    bool // cannot be repaired without losing the object
}

// Check compares the store with what it should be, the kernel with what the store says, and with repair mends what a
// kill or a crash may have left. It is safe beside other commands: what somebody holds the lock of is in the making.
func (e *Engine) Check(ctx context.Context, opts CheckOptions) ([]Problem, error) {
	k := &checker{e: e, opts: opts}
	steps := []func(context.Context) error{k.records, k.names, k.runDirs, k.runtimeDirs, k.steps, k.builds, k.mounts, k.volumes, k.volumePlaces, k.secretRecords, k.trash}
	if !opts.Quick {
		steps = append(steps, k.images, k.layers)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return k.found, err
		}
	}
	return k.found, nil
}

type checker struct {
	e     *Engine
	opts  CheckOptions
	found []Problem
}

// report notes a problem and, when asked, mends it.
func (k *checker) report(object, text string, mend func() error) {
	p := Problem{Object: object, Text: text, Fatal: mend == nil}
	if k.opts.Repair && mend != nil {
		if err := mend(); err != nil {
			p.Text += fmt.Sprintf(" (repair: %v)", err)
		} else {
			p.Repaired = true
		}
	}
	k.found = append(k.found, p)
}

// records checks each container's record; one that is locked is being worked on and left alone.
func (k *checker) records(_ context.Context) error {
	ids, err := k.e.containers.IDs()
	for _, id := range ids {
		lock, lockErr := k.e.containers.TryAcquire(id)
		if lockErr != nil || lock == nil {
			continue
		}
		k.record(id)
		lock.Unlock()
	}
	return err
}

func (k *checker) record(id string) {
	e := k.e
	object := "container " + shortID(id)
	if !e.containers.Complete(id) {
		k.report(object, "its creator was killed before it was complete", func() error { return e.containers.Remove(id, e.namesOf(id)...) })
		return
	}
	c, err := e.load(id)
	if errors.Is(err, errdefs.ErrBroken) && e.readRecord(id, record.ConfigFile, &record.Config{}) == nil {
		k.report(object, strings.TrimPrefix(err.Error(), object+" "), func() error { return e.mend(id) })
		return
	}
	if err != nil {
		k.beyondRepair(object, strings.TrimPrefix(err.Error(), object+" "), func() error { return e.discardContainer(id) })
		return
	}
	object = "container " + c.name()
	if c.stale() {
		k.report(object, fmt.Sprintf("it is recorded as %s but does not run", c.state.Status), func() error { return ignoreGone(e.settle(c)) })
	} else if k.leftRunDir(c) {
		k.report(object, "a start that was killed left its run directory", func() error { return e.dropRun(c) })
	}
	if owner, ok := e.containers.Owner(c.name()); !ok || owner != id {
		k.report(object, "its name is not claimed", func() error { return e.containers.Claim(c.name(), id, e.keepsName(c.name())) })
	}
	if _, err := e.images.Lookup(context.Background(), c.Image.ID); err != nil { // a look-up is short: nothing to cancel
		k.beyondRepair(object, "its image is broken or gone: "+err.Error(), func() error { return e.discardContainer(id) })
	}
}

func ignoreGone(err error) error {
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil
	}
	return err
}

// mend makes a record readable again. The caller holds the lock.
func (e *Engine) mend(id string) error {
	if err := e.readRecord(id, record.UpdateFile, &record.Update{}); errors.Is(err, errdefs.ErrBroken) {
		// The wish is again what it was when the container was made.
		if err := os.Remove(filepath.Join(e.dirs.Container(id), record.UpdateFile)); err != nil {
			return err
		}
	}
	if err := e.readRecord(id, record.StateFile, &record.State{}); errors.Is(err, errdefs.ErrBroken) {
		return e.mendState(id)
	}
	return nil
}

// mendState replaces a state that cannot be read by what is known without it. The caller holds the lock.
func (e *Engine) mendState(id string) error {
	c := &container{live: e.loadLive(id)}
	if err := e.readRecord(id, record.ConfigFile, &c.Config); err != nil {
		return err
	}
	c.state = record.State{Status: record.Exited, ExitCode: exitUnknown, FinishedAt: time.Now().UTC()}
	switch {
	case c.initialized():
		c.state = record.State{Status: record.Initialized, BootID: c.live.BootID}
	case c.running() || c.monitored():
		c.state = record.State{Status: record.Running, BootID: c.live.BootID, StartedAt: c.live.StartedAt}
	}
	if names := e.namesOf(id); len(names) > 0 && !slices.Contains(names, c.Config.Name) {
		c.state.Name = names[0] // it had been renamed
	}
	return e.writeState(c)
}

func (k *checker) leftRunDir(c *container) bool {
	_, err := os.Lstat(k.e.dirs.ContainerRun(c.ID))
	return err == nil && c.live == nil && !c.monitored()
}

// names checks that each claim is some container's name.
func (k *checker) names(_ context.Context) error {
	e := k.e
	names, err := e.containers.AllNames()
	for _, name := range names {
		id, ok := e.containers.Owner(name)
		if !ok {
			continue
		}
		lock, err := e.containers.TryAcquire(id)
		if err == nil && lock == nil {
			continue
		}
		c, loadErr := e.load(id)
		switch {
		case errors.Is(err, errdefs.ErrNotFound):
			k.report("name "+name, "it is claimed for a container that is gone", func() error { return e.containers.Release(name, id) })
		case loadErr == nil && c.name() != name:
			k.report("name "+name, "a rename of "+c.name()+" was killed", func() error { return e.containers.Release(name, id) })
		}
		if lock != nil {
			lock.Unlock()
		}
	}
	return err
}

// steps checks for what builders that were killed have left of a RUN: a directory, a control group, its part of networks.
func (k *checker) steps(context.Context) error {
	for _, id := range steps.Left(k.e.dirs) {
		k.report("build step "+shortID(id), "its builder was killed", func() error { return steps.Clear(k.e.dirs, id, k.e.networks().Detach) })
	}
	return nil
}

// builds checks for what killed builds have left in the build cache and among the layers.
func (k *checker) builds(context.Context) error {
	for _, l := range buildcache.Leftovers(k.e.dirs, true) {
		k.report("build cache", "a killed build left "+l.What, l.Remove)
	}
	return nil
}

// runDirs and runtimeDirs check for run-time state of containers that are gone.
func (k *checker) runDirs(context.Context) error {
	return k.orphans(filepath.Dir(k.e.dirs.ContainerRun("x")), "run directory")
}

func (k *checker) runtimeDirs(context.Context) error {
	return k.orphans(k.e.dirs.Runtime(), "runtime state")
}

func (k *checker) orphans(dir, what string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		id := entry.Name()
		if _, statErr := os.Lstat(k.e.containers.Path(id)); len(id) != idLength || !errors.Is(statErr, os.ErrNotExist) {
			continue
		}
		if live := (&container{live: k.e.loadLive(id)}); live.alive() || live.monitored() {
			continue // it is being removed
		}
		k.report("container "+shortID(id), what+" is left of a container that is gone", func() error { return recorddir.RemoveAll(filepath.Join(dir, id)) })
	}
	return err
}

// volumes checks the volumes' records.
func (k *checker) volumes(context.Context) error {
	e := k.e
	names, err := e.volumes.IDs()
	if err != nil {
		return err
	}
	for _, name := range names {
		lock, err := e.volumes.TryAcquire(name)
		if err != nil || lock == nil {
			continue
		}
		rec, loadErr := e.loadVolume(name)
		switch {
		case !e.volumes.Complete(name):
			k.report("volume "+name, "its creator was killed before it was complete", func() error { return e.volumes.Remove(name) })
		case loadErr != nil:
			k.beyondRepair("volume "+name, loadErr.Error(), func() error { return e.discardVolume(name) })
		default:
			k.imports(rec)
		}
		lock.Unlock()
	}
	return nil
}

func (k *checker) trash(context.Context) error {
	entries, err := os.ReadDir(k.e.dirs.Trash())
	if errors.Is(err, os.ErrNotExist) || len(entries) == 0 {
		return nil
	}
	k.report("trash", fmt.Sprintf("%d removals were killed half way", len(entries)), k.e.containers.EmptyTrash)
	return err
}

func (k *checker) images(ctx context.Context) error {
	problems, err := k.e.images.Problems(ctx)
	for _, p := range problems {
		object := "image store " + p.Graph
		if p.Image != "" {
			object = "image " + shortID(p.Image)
		}
		k.beyondRepair(object, p.Err.Error(), k.removeImage(p))
	}
	return err
}
