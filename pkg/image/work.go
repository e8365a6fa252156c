package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// workDir is the temporary directory of one session. Its parent is flocked shared while the session lives: whoever
// gets it exclusively knows that no session writes, so that every entry below is a leftover.
type workDir struct {
	path   string
	parent *os.File
}

// openWorkDir locks the parent and makes the directory. When nobody else is there but a killed session was, collect
// runs first, while others are kept out.
func openWorkDir(parent string, collect func() error) (*workDir, error) {
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.Open(parent)
	if err != nil {
		return nil, err
	}
	w := &workDir{parent: dir}
	if err := w.enter(collect); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *workDir) enter(collect func() error) (err error) {
	parent := w.parent.Name()
	if exclusive(w.parent) && sweep(parent) {
		if err := collect(); err != nil {
			return err
		}
	}
	// The directory comes after the lock: without one, which is also so while one turns into another, it may be swept.
	if err := flock(w.parent, unix.LOCK_SH); err != nil {
		return fmt.Errorf("lock %s: %w", parent, err)
	}
	w.path, err = os.MkdirTemp(parent, "s-")
	return err
}

// alone says whether no other session is open, and keeps others out until the work directory is closed. A refused
// lock loses the shared one for a moment, so this is for sessions that keep nothing in their work directory.
func (w *workDir) alone() bool {
	if exclusive(w.parent) {
		return true
	}
	_ = flock(w.parent, unix.LOCK_SH) // only a signal could stop it, and flock goes on after one
	return false
}

func (w *workDir) close() error {
	var err error
	if w.path != "" {
		err = os.RemoveAll(w.path)
	}
	return errors.Join(err, w.parent.Close())
}

// sweep removes the entries of a parent that is held exclusively, and says whether there were any. What cannot be
// removed now is tried by the next.
func sweep(parent string) bool {
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		os.RemoveAll(filepath.Join(parent, e.Name()))
	}
	return len(entries) > 0
}

func exclusive(f *os.File) bool { return flock(f, unix.LOCK_EX|unix.LOCK_NB) == nil }

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
