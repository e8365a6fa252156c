package layers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/rootfs"
)

// Mount shows a stack of layers as one read-only tree. Close it.
type Mount struct {
	root string
	once sync.Once
	done func() error
}

// Root is where the tree is.
func (m *Mount) Root() string { return m.root }

// Close gives the tree back; it is unmounted when nobody in this process uses it any more. It may be called twice.
func (m *Mount) Close() (err error) {
	m.once.Do(func() { err = m.done() })
	return err
}

// mounted is a stack that is mounted, with the number of its users.
type mounted struct {
	root  string
	users int
	ready chan struct{} // closed when root is mounted, or err says why not
	err   error
}

func (m *mounted) unmount() error {
	return errors.Join(rootfs.Unmount(m.root), os.Remove(m.root))
}

// Mount shows a stack of layers, any stack; none at all is an empty directory. Who asks for the same one gets the same.
func (s *Store) Mount(ctx context.Context, layers []string) (*Mount, error) {
	key := strings.Join(layers, " ")
	s.mu.Lock()
	m, known := s.mounts[key]
	if !known {
		m = &mounted{ready: make(chan struct{}), root: s.newPlace()}
		s.mounts[key] = m
	}
	m.users++
	s.mu.Unlock()
	if !known {
		m.err = s.show(ctx, layers, m.root)
		close(m.ready)
	}
	select {
	case <-m.ready:
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), s.release(key, m))
	}
	if m.err != nil {
		s.release(key, m)
		return nil, m.err
	}
	return &Mount{root: m.root, done: func() error { return s.release(key, m) }}, nil
}

// release gives one use back. A mount that failed is forgotten, so that the next one tries again.
func (s *Store) release(key string, m *mounted) error {
	s.mu.Lock()
	m.users--
	last := m.users == 0
	if s.mounts[key] != m { // the store is closed
		s.mu.Unlock()
		return nil
	}
	if last {
		delete(s.mounts, key)
	}
	s.mu.Unlock()
	if !last {
		return nil
	}
	<-m.ready
	if m.err != nil {
		os.Remove(m.root)
		return nil
	}
	return m.unmount()
}

// newPlace names a directory for a mount. s.mu is held.
func (s *Store) newPlace() string {
	s.places++
	return filepath.Join(s.run, strconv.Itoa(s.places))
}

func (s *Store) show(ctx context.Context, layers []string, target string) error {
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	layers, err := s.solid(ctx, layers)
	if err != nil {
		return err
	}
	lower, err := s.lower(ctx, layers)
	if err != nil {
		return err
	}
	if len(lower) == 0 {
		lower = []string{s.empty()}
	}
	return mount(ctx, rootfs.Spec{Lower: lower, Target: target, ReadOnly: true, Driver: s.driver})
}

// solid makes a chain of a stack for a driver that cannot mount another one: a layer of vfs holds all that lies below.
func (s *Store) solid(ctx context.Context, layers []string) ([]string, error) {
	if s.driver != rootfs.VFS || len(layers) == 0 {
		return layers, nil
	}
	top, err := s.Chain(ctx, layers)
	if err != nil {
		return nil, err
	}
	return s.Ancestry(top)
}

// Ancestry is the chain that ends with a layer, the lowest first.
func (s *Store) Ancestry(top string) ([]string, error) {
	var chain []string
	for id := top; id != ""; {
		if len(chain) > maxLayers {
			return nil, errdefs.New(errdefs.ErrBroken, "more than %d layers lie below %s", maxLayers, short(top))
		}
		l, err := s.storage.Layer(id)
		if err != nil {
			return nil, gone(id, err)
		}
		chain = append(chain, id)
		id = l.Parent
	}
	slices.Reverse(chain)
	return chain, nil
}

// maxLayers is overlay's own bound.
const maxLayers = 500

// lower keeps layers from being removed and returns their directories, the topmost first.
func (s *Store) lower(ctx context.Context, layers []string) ([]string, error) {
	if len(layers) > maxLayers {
		return nil, errdefs.New(errdefs.ErrUnsupported, "%d layers are more than the %d that can be mounted", len(layers), maxLayers)
	}
	if err := s.lease.Hold(ctx, layers); err != nil {
		return nil, err
	}
	dirs := make([]string, 0, len(layers)+1)
	for _, id := range slices.Backward(layers) {
		dir := s.Dir(id)
		if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
			return nil, errdefs.New(errdefs.ErrNotFound, "layer %s was removed by somebody else (build again)", short(id))
		} else if err != nil {
			return nil, fmt.Errorf("layer %s: %w", short(id), err)
		}
		if s.driver == rootfs.VFS {
			return []string{dir}, nil
		}
		dirs = append(dirs, dir)
	}
	// A single one is shown as it is. What it says of files below must not be seen as a file.
	if len(layers) == 1 && s.hides(layers[0]) {
		dirs = append(dirs, s.empty())
	}
	return dirs, nil
}

// hidesFlag marks a layer that says of files below that they are gone, though it has no parent.
const hidesFlag = "wherry.hides"

func (s *Store) hides(id string) bool {
	l, err := s.storage.Layer(id)
	return err == nil && (l.Parent != "" || l.Flags[hidesFlag] == true)
}

// empty is a directory without files.
func (s *Store) empty() string { return filepath.Join(s.run, "empty") }

// mount mounts on a thread that ends with it: some mounts change their thread for good.
func mount(ctx context.Context, spec rootfs.Spec) error {
	done := make(chan error, 1)
	go func() { done <- rootfs.Mount(ctx, spec) }()
	return <-done
}

// makePlace makes the directory of this store's mount points, which lies on a tmpfs.
func (s *Store) makePlace() error {
	parent := buildcache.RunDir(s.dirs)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return fmt.Errorf("make a place to mount layers: %w", err)
	}
	for {
		dir, err := os.MkdirTemp(parent, "b-")
		if err != nil {
			return fmt.Errorf("make a place to mount layers: %w", err)
		}
		lock, err := os.Open(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue // swept by somebody who took it for a dead one's
		}
		if err != nil {
			return err
		}
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
			return errors.Join(err, lock.Close())
		}
		if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err == nil {
			s.run, s.lock = dir, lock
			return nil
		}
		lock.Close()
	}
}
