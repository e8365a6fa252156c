package layers

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/rootfs"
)

// stagingLock is the file by whose lock containers/storage knows that a staging directory is in use.
const stagingLock = "staging.lock"

// settle is how long a new staging directory may take to be locked.
const settle = 10 * time.Second

// sweep removes the drafts and mount points of killed builds. What cannot be removed now the next one tries again.
func (s *Store) sweep() error {
	return errors.Join(s.sweepStaging(), s.sweepPlaces(filepath.Join(s.dirs.Run, "build"), "b-"), s.sweepPlaces(s.draftsDir(), "d-"))
}

func (s *Store) sweepStaging() error {
	dir := filepath.Join(s.dirs.Graph(), "overlay", "staging")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		info, statErr := e.Info()
		if statErr != nil || time.Since(info.ModTime()) < settle {
			continue
		}
		err = errors.Join(err, sweepStaged(filepath.Join(dir, e.Name())))
	}
	return err
}

// sweepStaged asks for the draft's own lock first: containers/storage's belongs to a process as a whole, which loses it
// when it only opens and closes the file.
func sweepStaged(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return nil // gone just now
	}
	defer dir.Close()
	if unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	lock, free := takeStagingLock(filepath.Join(path, stagingLock))
	if !free {
		return nil
	}
	defer lock.Close()
	rootfs.Unmount(filepath.Join(path, "root"))
	return os.RemoveAll(path)
}

// takeStagingLock locks as containers/storage does. A directory that has no such file is nobody's.
func takeStagingLock(path string) (lock *os.File, free bool) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true
	}
	if err != nil {
		return nil, false
	}
	if unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_SET}) != nil {
		f.Close()
		return nil, false
	}
	return f, true
}

// sweepPlaces removes the directories whose lock nobody holds.
func (s *Store) sweepPlaces(parent, prefix string) error {
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		if strings.HasPrefix(e.Name(), prefix) && path != s.run {
			err = errors.Join(err, sweepPlace(path))
		}
	}
	return err
}

func sweepPlace(path string) error {
	lock, err := os.Open(path)
	if err != nil {
		return nil // gone just now
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	entries, err := lock.ReadDir(-1)
	for _, e := range entries {
		rootfs.Unmount(filepath.Join(path, e.Name()))
	}
	return errors.Join(err, os.RemoveAll(path))
}
