// Package store reads images and layers from containers/storage's on-disk format, without its code and its locks, at
// a cost that does not grow with the number of images. It never writes there.
package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/layout"
)

// Store is the user's own image store and the additional read-only ones that storage.conf names.
type Store struct {
	dirs layout.Dirs
	conf func() string // path of the storage.conf in force; empty: none

	once       sync.Once
	additional []string
	confErr    error
}

// Open returns the store of one user. It does no I/O.
func Open(d layout.Dirs) *Store { return &Store{dirs: d, conf: confPath} }

// Image is one image. Lookup fills everything; Images leaves Config and Lower empty.
type Image struct {
	ID       string   // 64 hexadecimal digits
	Names    []string // full references
	Former   []string // names that it had, the last first; only of Images
	Digest   string   // of its manifest
	Digests  []string // all manifests it is known by, Digest first
	Ref      string   // the full name that matched; empty when it was looked up by id
	Created  time.Time
	Size     int64    // bytes, of all layers unpacked
	Layers   []string // ids, top first
	Sizes    []int64  // of Layers, unpacked; 0 where unknown
	Lower    []string // absolute directories, top first, for overlay
	Config   Config
	ReadOnly bool // it lies in an additional store

	List      string   // of Lookup: id of the manifest list that was asked for, of which this is the image for this machine
	ListNames []string // its names
	IsList    bool     // of Images: it is a manifest list, which has neither layers nor a configuration
	Listed    bool     // of Images: a manifest list names it

	Graph  string // graph root it lies in
	Driver string // overlay or vfs: the format of that root
}

// TopLayer is the id of the image's topmost layer; empty for an image without layers.
func (i *Image) TopLayer() string {
	if len(i.Layers) == 0 {
		return ""
	}
	return i.Layers[0]
}

// WithImagesShared runs fn while no image is being removed: creators hold it from Lookup until their record is written.
func (s *Store) WithImagesShared(ctx context.Context, fn func() error) error {
	return s.withImages(ctx, unix.LOCK_SH, fn)
}

// WithImagesExclusive runs fn while nobody is between Lookup and a written record: removers hold it around "ask the
// records, delete".
func (s *Store) WithImagesExclusive(ctx context.Context, fn func() error) error {
	return s.withImages(ctx, unix.LOCK_EX, fn)
}

func (s *Store) withImages(ctx context.Context, how int, fn func() error) error {
	path := filepath.Join(s.dirs.Data, "images.lock")
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(s.dirs.Data, 0o700); err != nil {
			return fmt.Errorf("lock images: %w", err)
		}
		f, err = os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	}
	if err != nil {
		return fmt.Errorf("lock images: %w", err)
	}
	defer f.Close() // releases the lock
	if err := flock(ctx, int(f.Fd()), how); err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	return fn()
}

// flock waits for the lock or the end of ctx. It polls, because a blocked flock cannot be cancelled.
func flock(ctx context.Context, fd, how int) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 10*time.Millisecond) {
		err := unix.Flock(fd, how|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}
