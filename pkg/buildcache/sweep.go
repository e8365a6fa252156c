package buildcache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/rootfs"
)

// Leftover is what a killed build has left.
type Leftover struct {
	What   string // for people
	Path   string
	Remove func() error
}

// Sweep removes what killed builds left. What cannot be removed now is tried by the next.
func Sweep(d layout.Dirs) error {
	var faults []error
	for _, l := range Leftovers(d, false) {
		faults = append(faults, l.Remove())
	}
	return errors.Join(faults...)
}

// Leftovers lists what killed builds left: what nobody holds the lock of. With all also what costs time to find, or is
// mended by its next user.
func Leftovers(d layout.Dirs, all bool) []Leftover {
	list := places(RunDir(d), "b-", "mount points")
	list = append(list, places(DraftsDir(d), "d-", "a draft")...)
	list = append(list, staged(d)...)
	list = append(list, lockFiles(d)...)
	if !all {
		return list
	}
	list = append(list, temporary(recordsDir(d))...)
	list = append(list, temporary(ContentDir(d))...)
	list = append(list, temporary(BlobsDir(d))...)
	return append(append(list, halfMounts(d)...), deadRecords(d)...)
}

// RunDir holds the mount points of builds, a directory each, which its build has locked.
func RunDir(d layout.Dirs) string { return filepath.Join(d.Run, "build") }

// DraftsDir holds the drafts of drivers without staging directories, each locked by its build.
func DraftsDir(d layout.Dirs) string { return filepath.Join(Root(d), "drafts") }

func entriesOf(dir string) []fs.DirEntry {
	entries, _ := os.ReadDir(dir) // one that is not there has none
	return entries
}

// places lists the directories that nobody has locked.
func places(parent, prefix, what string) []Leftover {
	var list []Leftover
	for _, e := range entriesOf(parent) {
		path := filepath.Join(parent, e.Name())
		if strings.HasPrefix(e.Name(), prefix) && !locked(path) {
			list = append(list, Leftover{what, path, func() error { return whileLocked(path, func() error { return clearPlace(path) }) }})
		}
	}
	return list
}

func locked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return true // gone, or not ours to look at
	}
	defer f.Close()
	return TryFlock(f, unix.LOCK_EX|unix.LOCK_NB) != nil
}

// whileLocked does something to what nobody else has locked.
func whileLocked(path string, do func() error) error {
	f, err := os.Open(path)
	if err != nil {
		return nil // gone just now
	}
	defer f.Close()
	if TryFlock(f, unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	return do()
}

// clearPlace removes a directory whose entries may be mount points.
func clearPlace(path string) error {
	var faults []error
	for _, e := range entriesOf(path) {
		faults = append(faults, rootfs.Unmount(filepath.Join(path, e.Name())))
	}
	return errors.Join(append(faults, os.RemoveAll(path))...)
}

const (
	// stagingLock is the file by whose lock containers/storage knows that a staging directory is in use.
	stagingLock = "staging.lock"
	// settle is how long a new staging directory may take to be locked. A draft of ours is known by its mount point, which
	// is made when it is locked.
	settle = 10 * time.Second
	// DraftRoot is the mount point in a draft's directory.
	DraftRoot = "root"
)

// staged lists the staging directories of containers/storage that nobody uses.
func staged(d layout.Dirs) []Leftover {
	dir := filepath.Join(d.Graph(), "overlay", "staging")
	var list []Leftover
	for _, e := range entriesOf(dir) {
		info, err := e.Info()
		path := filepath.Join(dir, e.Name())
		_, rootErr := os.Lstat(filepath.Join(path, DraftRoot))
		if err != nil || rootErr != nil && time.Since(info.ModTime()) < settle || locked(path) {
			continue
		}
		list = append(list, Leftover{"a layer in the making", path, func() error { return whileLocked(path, func() error { return clearStaged(path) }) }})
	}
	return list
}

// clearStaged runs with the draft's own lock held: containers/storage's belongs to a process as a whole, which loses it
// when it only opens and closes the file.
func clearStaged(path string) error {
	f, err := os.OpenFile(filepath.Join(path, stagingLock), os.O_RDWR, 0)
	if err == nil {
		defer f.Close()
		err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_SET})
		if err != nil {
			return nil // a pull's
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return clearPlace(path)
}

// lockFiles lists those of killed holders.
func lockFiles(d layout.Dirs) []Leftover {
	var list []Leftover
	for _, dir := range []string{locksDir(d), leasesDir(d)} {
		for _, e := range entriesOf(dir) {
			path := filepath.Join(dir, e.Name())
			if !locked(path) {
				list = append(list, Leftover{"a lock", path, func() error { return whileLocked(path, func() error { return os.Remove(path) }) }})
			}
		}
	}
	return list
}

// temporary lists files that were not finished.
func temporary(dir string) []Leftover {
	var list []Leftover
	for _, e := range entriesOf(dir) {
		info, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), ".tmp-") && !strings.HasSuffix(e.Name(), ".tmp") || time.Since(info.ModTime()) < inTheMaking {
			continue
		}
		path := filepath.Join(dir, e.Name())
		list = append(list, Leftover{"an unfinished file", path, func() error { return os.Remove(path) }})
	}
	return list
}

// halfMounts lists cache directories whose maker was killed.
func halfMounts(d layout.Dirs) []Leftover {
	var list []Leftover
	for _, e := range entriesOf(MountsDir(d)) {
		path := filepath.Join(MountsDir(d), e.Name())
		if MountMade(path) || locked(path) {
			continue
		}
		list = append(list, Leftover{"an unfinished cache directory", path, func() error { _, err := removeMount(d, path); return err }})
	}
	return list
}

// deadRecords lists those whose layers are gone, and those that cannot be read.
func deadRecords(d layout.Dirs) []Leftover {
	var list []Leftover
	for _, e := range entriesOf(recordsDir(d)) {
		if !isHex(e.Name()) {
			continue
		}
		path := filepath.Join(recordsDir(d), e.Name())
		r, err := readRecord(path)
		if err == nil && allThere(d, r.Layers()) {
			continue
		}
		list = append(list, Leftover{"a record of the build cache whose layers are gone", path, func() error { return os.Remove(path) }})
	}
	return list
}

func allThere(d layout.Dirs, layers []string) bool {
	for _, id := range layers {
		if !LayerThere(d, id) {
			return false
		}
	}
	return true
}
