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

func newWorkDir(parent string) (*workDir, error) {
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.Open(parent)
	if err != nil {
		return nil, err
	}
	if exclusive(dir) {
		sweep(parent)
	}
	if err := flock(dir, unix.LOCK_SH); err != nil {
		dir.Close()
		return nil, fmt.Errorf("lock %s: %w", parent, err)
	}
	path, err := os.MkdirTemp(parent, "s-")
	if err != nil {
		dir.Close()
		return nil, err
	}
	return &workDir{path: path, parent: dir}, nil
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
	return errors.Join(os.RemoveAll(w.path), w.parent.Close())
}

// sweep removes the entries of a parent that is held exclusively. What cannot be removed now is tried by the next.
func sweep(parent string) {
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		os.RemoveAll(filepath.Join(parent, e.Name()))
	}
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
