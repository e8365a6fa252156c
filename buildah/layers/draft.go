package layers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/containers/storage"
	graphdriver "github.com/containers/storage/drivers"
	"github.com/containers/storage/pkg/archive"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/rootfs"
)

// Draft is a tree that a step writes to. Commit or Discard it.
type Draft struct {
	store  *Store
	base   []string
	place  string                              // directory with all that is below
	upper  string                              // what was written
	root   string                              // the whole tree
	staged *graphdriver.DriverWithDifferOutput // nil: the driver has no staging directories
	lock   *os.File                            // says that the draft is somebody's
	once   sync.Once
}

// Root is where the tree is mounted, writable.
func (d *Draft) Root() string { return d.root }

// Base is the stack of layers below.
func (d *Draft) Base() []string { return d.base }

// Begin mounts a writable tree that begins as a stack of layers; none: as an empty directory of root's with mode 0755.
func (s *Store) Begin(ctx context.Context, base []string) (*Draft, error) {
	base, err := s.solid(ctx, base)
	if err != nil {
		return nil, err
	}
	lower, err := s.lower(ctx, base)
	if err != nil {
		return nil, err
	}
	d := &Draft{store: s, base: base}
	if err := d.makePlace(); err != nil {
		return nil, fmt.Errorf("begin a layer: %w", err)
	}
	faultpoint.Hit("build.staged")
	if err := d.open(ctx, lower); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	s.mu.Lock()
	s.drafts[d] = true
	s.mu.Unlock()
	faultpoint.Hit("build.drafted")
	return d, nil
}

// here is a Differ that only says where the staging directory is: what a step writes there is the layer.
type here struct{}

func (here) ApplyDiff(dest string, _ *archive.TarOptions, _ *graphdriver.DifferOptions) (graphdriver.DriverWithDifferOutput, error) {
	return graphdriver.DriverWithDifferOutput{Target: dest}, nil
}

func (here) Close() error { return nil }

// makePlace makes the directory of the draft, on the file system of the layers, and its lock.
func (d *Draft) makePlace() error {
	if d.store.driver == rootfs.VFS {
		return d.makeOwnPlace()
	}
	staged, err := d.store.storage.PrepareStagedLayer(nil, here{})
	if err != nil {
		return err
	}
	d.staged, d.upper, d.place = staged, staged.Target, filepath.Dir(staged.Target)
	if d.lock, err = os.Open(d.place); err == nil {
		err = unix.Flock(int(d.lock.Fd()), unix.LOCK_EX)
	}
	err = errors.Join(err, d.makeRoot()) // tells those who sweep that the lock counts
	// Mount makes it anew, with the owner and the mode of the layer below.
	if err = errors.Join(err, os.Remove(d.upper)); err != nil {
		return errors.Join(err, d.remove())
	}
	return nil
}

func (d *Draft) makeOwnPlace() error {
	dir := buildcache.DraftsDir(d.store.dirs)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for {
		place, err := os.MkdirTemp(dir, "d-")
		if err != nil {
			return err
		}
		lock, err := os.Open(place)
		if errors.Is(err, os.ErrNotExist) {
			continue // swept by somebody who took it for a dead one's
		}
		if err != nil {
			return err
		}
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
			return errors.Join(err, lock.Close())
		}
		if _, err := os.Lstat(place); err == nil {
			d.place, d.upper, d.lock = place, filepath.Join(place, "dir"), lock
			return d.makeRoot()
		}
		lock.Close()
	}
}

func (d *Draft) makeRoot() error {
	d.root = filepath.Join(d.place, buildcache.DraftRoot)
	return os.Mkdir(d.root, 0o755)
}

func (d *Draft) open(ctx context.Context, lower []string) error {
	return mount(ctx, rootfs.Spec{
		Lower: lower, Upper: d.upper, Work: filepath.Join(d.place, "work"), Target: d.root, Driver: d.store.driver,
		Volatile: true, // or each unmount would write all of the file system to the disk
	})
}

// Discard removes the draft. It may be called twice, and after Commit.
func (d *Draft) Discard() {
	d.once.Do(func() {
		d.store.mu.Lock()
		delete(d.store.drafts, d)
		d.store.mu.Unlock()
		_ = d.remove() // the next Open sweeps what is left
	})
}

// remove unmounts the draft and removes its directory and its lock.
func (d *Draft) remove() error {
	err := rootfs.Unmount(d.root)
	if d.staged != nil {
		err = errors.Join(err, d.store.storage.CleanupStagedLayer(d.staged))
	} else {
		err = errors.Join(err, os.RemoveAll(d.place))
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}

// exists tells whether there is a complete layer of that name.
func (s *Store) exists(id string) (bool, error) {
	_, err := s.storage.Layer(id)
	if errors.Is(err, storage.ErrLayerUnknown) {
		return false, nil
	}
	return err == nil, err
}
