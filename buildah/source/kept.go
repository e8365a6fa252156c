package source

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/recorddir"
)

// Trees that sources have made are kept, each in a directory named by what it depends on, so that it is right for ever.
// A build that uses one holds a shared lock on its directory; who removes one holds it exclusively.
//
// Order of writes: a tree is made under a temporary name and then renamed. A kill leaves the temporary one, which is
// locked by nobody and is removed by the next sweep.

const (
	keptFor = 14 * 24 * time.Hour // since the last use
	tempFor = time.Hour           // what is under way may not be locked yet
	temp    = ".new-"
)

// kept finds a tree and holds it till the build is over; ok tells whether it is there.
func (e *Env) kept(dir string) (ok bool, err error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil || !still(f, dir) {
		f.Close()
		return false, nil // it is just being removed
	}
	e.hold(func() { f.Close() })
	now := time.Now()
	return true, os.Chtimes(dir, now, now)
}

// keep makes a tree and holds it. make fills the directory that it is given.
func (e *Env) keep(dir string, make func(tmp string) error) error {
	sweep(filepath.Dir(dir))
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	tmp := filepath.Join(filepath.Dir(dir), temp+rand.Text())
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	defer recorddir.RemoveAll(tmp) // not there any more when all went well
	f, err := os.Open(tmp)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
		return errors.Join(err, f.Close())
	}
	e.hold(func() { f.Close() })
	if err := make(tmp); err != nil {
		return err
	}
	err = os.Rename(tmp, dir)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		_, err = e.kept(dir) // somebody else was faster
	}
	return err
}

// about says in a kept directory what it is, for a list of the cache. Without it the list says less.
func about(dir, what string) {
	file := filepath.Join(dir, buildcache.SourceAbout)
	if _, err := os.Lstat(file); err != nil {
		_ = os.WriteFile(file, []byte(what+"\n"), 0o600)
	}
}

// sweep removes the entries of a directory of trees that nobody has used for long, or that a killed build left.
func sweep(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, entry := range entries {
		patience := keptFor
		if len(entry.Name()) > len(temp) && entry.Name()[:len(temp)] == temp {
			patience = tempFor
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > patience {
			removeKept(filepath.Join(parent, entry.Name()))
		}
	}
}

// removeKept removes a tree unless somebody uses it. It is renamed first, so that nobody finds half of it.
func removeKept(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false
	}
	gone := filepath.Join(filepath.Dir(dir), temp+rand.Text())
	if os.Rename(dir, gone) != nil {
		return false
	}
	return recorddir.RemoveAll(gone) == nil
}
