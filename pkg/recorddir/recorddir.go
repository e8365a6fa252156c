// Package recorddir keeps records: one directory each, named by an id, claimed under a name by a symbolic link, and
// locked by flock on the directory itself. Nothing in it outlives its process but what is on disk.
package recorddir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"golang.org/x/sys/unix"
)

// Dir is a set of records of one kind.
type Dir struct {
	Kind   string // "container": for messages
	Root   string // one directory per record
	Names  string // one symbolic link per name, its target an id; empty: records have no names of their own
	Trash  string // where records are renamed to before they are deleted
	Marker string // file whose presence makes a record complete
}

// Path is the directory of the record id.
func (d Dir) Path(id string) string { return filepath.Join(d.Root, id) }

// Lock is a held lock on one record. Its zero value is not held.
type Lock struct{ f *os.File }

// Unlock gives the lock back. It may be called twice.
func (l *Lock) Unlock() {
	if l.f != nil {
		l.f.Close()
		l.f = nil
	}
}

// Acquire waits for the lock of the record id. The error is ErrNotFound when the record is gone, also when it went
// while waiting.
func (d Dir) Acquire(id string) (*Lock, error) { return d.acquire(id, unix.LOCK_EX) }

// TryAcquire is Acquire that does not wait: it returns nil and no error when somebody else holds the lock.
func (d Dir) TryAcquire(id string) (*Lock, error) {
	l, err := d.acquire(id, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return l, err
}

func (d Dir) acquire(id string, how int) (*Lock, error) {
	path := d.Path(id)
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s %s: %w", d.Kind, id, errdefs.ErrNotFound)
	} else if err != nil {
		return nil, err
	}
	if err := flock(f, how); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s %s: %w", d.Kind, id, err)
	}
	if !samePath(f, path) {
		f.Close()
		return nil, fmt.Errorf("%s %s: %w", d.Kind, id, errdefs.ErrNotFound)
	}
	return &Lock{f}, nil
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

// samePath tells whether path still names the open directory: a record may be renamed away while its lock is awaited.
func samePath(f *os.File, path string) bool {
	var open, named unix.Stat_t
	return unix.Fstat(int(f.Fd()), &open) == nil && unix.Stat(path, &named) == nil &&
		open.Ino == named.Ino && open.Dev == named.Dev
}

// WithLock runs fn while the record is locked.
func (d Dir) WithLock(_ context.Context, id string, fn func() error) error {
	l, err := d.Acquire(id)
	if err != nil {
		return err
	}
	defer l.Unlock()
	return fn()
}

// New makes the empty directory of a new record and returns it locked. Until its marker is written it is incomplete:
// readers skip it, and once its maker is dead anybody may remove it.
func (d Dir) New(id string) (*Lock, error) {
	for {
		err := os.Mkdir(d.Path(id), 0o700)
		if errors.Is(err, fs.ErrNotExist) && d.Setup() == nil {
			err = os.Mkdir(d.Path(id), 0o700)
		}
		if err != nil {
			return nil, err
		}
		// Somebody may take the fresh directory for a dead creator's before it is locked; then it is made again.
		lock, err := d.Acquire(id)
		if !errors.Is(err, errdefs.ErrNotFound) {
			return lock, err
		}
	}
}

// Setup makes the directories of the set.
func (d Dir) Setup() error {
	for _, dir := range []string{d.Names, d.Trash, d.Root} { // the one that others look for comes last
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// Complete tells whether the record's marker is there.
func (d Dir) Complete(id string) bool {
	_, err := os.Lstat(filepath.Join(d.Path(id), d.Marker))
	return err == nil
}

// IDs lists the records, complete or not, in no order.
func (d Dir) IDs() ([]string, error) {
	f, err := os.Open(d.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// Remove takes the record away: the directory into the trash, then its names, then the trash. The caller holds its
// lock. With the rename the record is gone for everybody: a name that a kill leaves behind names nothing and is taken
// over by who wants it, and what is left in the trash EmptyTrash removes.
func (d Dir) Remove(id string, names ...string) error {
	trashed := filepath.Join(d.Trash, id)
	err := os.Rename(d.Path(id), trashed)
	if err != nil && d.readyTrash(trashed) == nil {
		err = os.Rename(d.Path(id), trashed)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s %s: %w", d.Kind, id, err)
	}
	faultpoint.Hit(d.Kind + ".trashed")
	for _, name := range names {
		if err := d.Release(name, id); err != nil {
			return err
		}
	}
	faultpoint.Hit(d.Kind + ".unnamed")
	if err := RemoveAll(trashed); err != nil {
		return fmt.Errorf("remove %s %s: %w", d.Kind, id, err)
	}
	return nil
}

// readyTrash makes the trash and clears what an earlier record of the same id left there.
func (d Dir) readyTrash(trashed string) error {
	if err := d.Setup(); err != nil {
		return err
	}
	return RemoveAll(trashed)
}

// EmptyTrash deletes what killed removers left.
func (d Dir) EmptyTrash() error {
	entries, err := os.ReadDir(d.Trash)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		err = errors.Join(err, RemoveAll(filepath.Join(d.Trash, e.Name())))
	}
	return err
}

// RemoveAll is os.RemoveAll that also removes directories whose mode forbids it (overlay's work/work is 0000).
func RemoveAll(path string) error {
	err := os.RemoveAll(path)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	filepath.WalkDir(path, func(p string, e fs.DirEntry, walkErr error) error {
		if walkErr != nil || e.IsDir() {
			os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}

// ReadFile reads one file of a record; a missing record and a missing file are both fs.ErrNotExist.
func (d Dir) ReadFile(id, name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(d.Path(id), name))
}

// WriteFile replaces one file of a record. The caller holds its lock.
func (d Dir) WriteFile(id, name string, data []byte, dur atomicfile.Durability) error {
	return atomicfile.Write(filepath.Join(d.Path(id), name), data, 0o600, dur)
}

// Match returns the ids that start with prefix.
func (d Dir) Match(prefix string) ([]string, error) {
	ids, err := d.IDs()
	var found []string
	for _, id := range ids {
		if strings.HasPrefix(id, prefix) && d.Complete(id) {
			found = append(found, id)
		}
	}
	return found, err
}

// File is the open directory whose lock this is: a process that inherits it shares the lock, until both have closed
// it. It is nil when the lock is not held.
func (l *Lock) File() *os.File { return l.f }
