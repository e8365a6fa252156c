// Package layers makes, mounts and compares the layers of a build. They are containers/storage's, with the names that a
// pull gives them, so that builds and pulls share them.
package layers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containers/storage"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/rootfs"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Options are what a Store needs from its surroundings.
type Options struct {
	Dirs    layout.Dirs
	Storage storage.Store // open for writing; stays the caller's
	Driver  string        // as rootfs.Detect says: overlay, fuse-overlayfs or vfs; empty: it is asked
}

// Info is what is kept of a step with its layer.
type Info struct {
	CreatedBy string     // for error messages only: the layer itself does not say who made it
	Epoch     *time.Time // no entry of the layer is younger (SOURCE_DATE_EPOCH); nil: as the files are
}

// LayerInfo is what an image's description says of a layer.
type LayerInfo struct {
	ID     string
	Parent string        // id of the layer that containers/storage has below it; empty: none
	DiffID digest.Digest // of the uncompressed tar stream
	Size   int64         // of that stream
	// Packed is the digest of the compressed stream that it was pulled as, and how that was compressed; empty: it was not.
	Packed      digest.Digest
	Compression string // gzip, zstd, ...
	Created     time.Time
}

// Store is one process' way to the layers. Close it.
type Store struct {
	dirs    layout.Dirs
	storage storage.Store
	driver  string
	names   *store.Store
	lease   *buildcache.Lease
	run     string // directory of this store's mount points, held by a lock

	mu     sync.Mutex
	mounts map[string]*mounted // by stack
	drafts map[*Draft]bool
	places int
	lock   *os.File
}

// Open gives access to the layers of a store, and sweeps what killed builds left.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{dirs: o.Dirs, names: store.Open(o.Dirs), storage: o.Storage, driver: o.Driver, mounts: map[string]*mounted{}, drafts: map[*Draft]bool{}}
	if s.driver == "" {
		found, err := rootfs.Detect(ctx, o.Dirs)
		if err != nil {
			return nil, err
		}
		s.driver = found.Driver
	}
	var err error
	if s.lease, err = buildcache.OpenLease(o.Dirs); err != nil {
		return nil, err
	}
	if err := s.makePlace(); err != nil {
		return nil, errors.Join(err, s.lease.Close())
	}
	return s, buildcache.Sweep(o.Dirs)
}

// Close unmounts what is still mounted and discards the drafts that were not committed. It may be called twice.
func (s *Store) Close() error {
	s.mu.Lock()
	mounts, drafts := s.mounts, s.drafts
	s.mounts, s.drafts = map[string]*mounted{}, map[*Draft]bool{}
	lock := s.lock
	s.lock = nil
	s.mu.Unlock()
	if lock == nil {
		return nil
	}
	var faults []error
	for _, m := range mounts {
		faults = append(faults, m.unmount())
	}
	for d := range drafts {
		d.Discard()
	}
	faults = append(faults, os.RemoveAll(s.run), lock.Close(), s.lease.Close())
	return errors.Join(faults...)
}

// Release gives back the layers that were kept from being removed: no build uses them any more.
func (s *Store) Release() error { return s.lease.Release() }

// Layer says what a layer is.
func (s *Store) Layer(id string) (LayerInfo, error) {
	l, err := s.storage.Layer(id)
	if err != nil {
		return LayerInfo{}, gone(id, err)
	}
	if l.UncompressedDigest == "" {
		return LayerInfo{}, errdefs.New(errdefs.ErrBroken, "layer %s has no digest (remove its image and pull it again)", short(id))
	}
	info := LayerInfo{ID: l.ID, Parent: l.Parent, DiffID: l.UncompressedDigest, Size: l.UncompressedSize, Created: l.Created}
	if l.CompressedDigest != "" && l.CompressedDigest != l.UncompressedDigest {
		info.Packed, info.Compression = l.CompressedDigest, l.CompressionType.Extension()
	}
	return info, nil
}

// gone says in the user's words that a layer is not there.
func gone(id string, err error) error {
	if errors.Is(err, storage.ErrLayerUnknown) {
		return errdefs.New(errdefs.ErrNotFound, "layer %s was removed by somebody else (build again)", short(id))
	}
	return fmt.Errorf("layer %s: %w", short(id), err)
}

func short(id string) string { return id[:min(12, len(id))] }

// Dir is the directory with the files of a layer, which may lie in an additional store. Nobody may write to it.
func (s *Store) Dir(id string) string {
	if s.driver == rootfs.VFS {
		return filepath.Join(s.root(id), "vfs", "dir", id)
	}
	return filepath.Join(s.root(id), "overlay", id, "diff")
}

// root is the graph root that has a layer, or is to have it.
func (s *Store) root(id string) string {
	if root, ok := s.names.LayerRoot(id); ok {
		return root
	}
	return s.dirs.Graph()
}

// ChainID names a layer as a pull does: by what lies below it and by its own content.
func ChainID(parent string, diffID digest.Digest) string {
	if parent == "" {
		return diffID.Encoded()
	}
	return digest.Canonical.FromString(parent + "+" + diffID.Encoded()).Encoded()
}
