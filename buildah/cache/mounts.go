package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

// Sharing says who may use a cache directory at the same time.
type Sharing int

const (
	Shared  Sharing = iota // everybody
	Private                // nobody else: who comes second gets another directory
	Locked                 // nobody else: who comes second waits
)

// Dir is a cache directory in use. Close it when the step is done: its contents stay.
type Dir struct {
	path string
	lock *os.File
}

// Path is where the files are.
func (d *Dir) Path() string { return d.path }

// Close lets others have the directory.
func (d *Dir) Close() error { return d.lock.Close() }

// maxDirs bounds the directories that one id has because steps ran at the same time.
const maxDirs = 1000

// Dir returns the cache directory of an id, which may be any text, and makes it, empty, at its first use. The lock dies
// with its holder.
func (c *Cache) Dir(ctx context.Context, id string, sharing Sharing) (*Dir, error) {
	return c.DirFrom(ctx, id, sharing, nil)
}

// DirFrom is Dir for a directory that begins as something else: fill is called once with the new, empty directory. An id
// must say what it begins as.
func (c *Cache) DirFrom(ctx context.Context, id string, sharing Sharing, fill func(dir string) error) (*Dir, error) {
	sum := sha256.Sum256([]byte(id))
	base := filepath.Join(buildcache.MountsDir(c.dirs), hex.EncodeToString(sum[:]))
	for {
		place, lock, err := choose(ctx, base, sharing)
		if err != nil {
			return nil, fmt.Errorf("cache directory %q: %w", id, err)
		}
		if lock == nil {
			continue // it was pruned while we waited
		}
		d := &Dir{path: filepath.Join(place, "data"), lock: lock}
		if buildcache.UseMount(place) {
			return d, nil
		}
		// It is new, or its maker was killed. We are alone here.
		if err := d.make(place, id, fill); err != nil {
			return nil, errors.Join(fmt.Errorf("cache directory %q: %w", id, err), d.Close())
		}
		if sharing != Shared {
			return d, nil
		}
		d.Close() // and now as one of many
	}
}

// choose takes the first directory that is free for this kind of use. A nil lock says: try again.
func choose(ctx context.Context, base string, sharing Sharing) (string, *os.File, error) {
	for n := range maxDirs {
		place := base + "-" + strconv.Itoa(n)
		if _, err := os.Lstat(place); err != nil && sharing == Locked && n > 0 { // each one that there is is taken
			return waitFor(ctx, base+"-0", unix.LOCK_EX)
		}
		if err := os.MkdirAll(place, 0o700); err != nil {
			return "", nil, err
		}
		how, made := unix.LOCK_EX, buildcache.MountMade(place)
		if sharing == Shared && made {
			how = unix.LOCK_SH
		}
		lock, err := os.Open(place)
		if errors.Is(err, os.ErrNotExist) {
			return "", nil, nil
		} else if err != nil {
			return "", nil, err
		}
		err = buildcache.TryFlock(lock, how|unix.LOCK_NB)
		switch {
		case err == nil && same(lock, place):
			return place, lock, nil
		case err == nil:
			return "", nil, lock.Close()
		case !errors.Is(err, unix.EWOULDBLOCK):
			return "", nil, errors.Join(err, lock.Close())
		}
		lock.Close()
		if sharing == Shared && !made { // somebody is making it
			_, lock, err := waitFor(ctx, place, unix.LOCK_SH)
			if lock != nil {
				lock.Close()
			}
			return "", nil, err
		}
	}
	return "", nil, errors.New("too many steps use it at the same time")
}

func waitFor(ctx context.Context, place string, how int) (string, *os.File, error) {
	lock, err := os.Open(place)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil, nil
	} else if err != nil {
		return "", nil, err
	}
	if err := buildcache.Flock(ctx, lock, how); err != nil {
		return "", nil, err
	}
	if !same(lock, place) {
		return "", nil, lock.Close()
	}
	return place, lock, nil
}

// same tells whether the open directory is still the one of that name: a pruned one is renamed away.
func same(f *os.File, path string) bool {
	var open, named unix.Stat_t
	return unix.Fstat(int(f.Fd()), &open) == nil && unix.Lstat(path, &named) == nil && open.Ino == named.Ino && open.Dev == named.Dev
}

// make makes what the directory begins as, and says that it is whole.
func (d *Dir) make(place, id string, fill func(dir string) error) error {
	if err := os.RemoveAll(d.path); err != nil {
		return err
	}
	if err := os.Mkdir(d.path, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(d.path, 0o755); err != nil { // whatever the umask is
		return err
	}
	faultpoint.Hit("build.mountdir")
	if fill != nil {
		if err := fill(d.path); err != nil {
			return err
		}
	}
	return buildcache.WriteMount(place, id)
}
