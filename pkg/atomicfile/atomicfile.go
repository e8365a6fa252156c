// Package atomicfile replaces a file as a whole: readers see the old content or the new one, never a part.
package atomicfile

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

// Durability says whether a write must survive a power loss.
type Durability int

const (
	// Volatile content survives the death of any process, not of the machine.
	Volatile Durability = iota
	// Ordered content is fsynced before the rename: after a power loss the file is whole or not there. The next
	// Durable write in the same directory makes sure that it is.
	Ordered
	// Durable content is fsynced, and its directory after the rename.
	Durable
)

// Write replaces path with data by temp file, fsync, rename, fsync of the directory. The temp file is
// ".<base>.tmp" in the same directory: the caller holds the lock of the record, so there is one writer, and
// a leftover of a killed writer is overwritten by the next one.
func Write(path string, data []byte, perm os.FileMode, d Durability) error {
	dir := filepath.Dir(path)
	tmp := filepath.Join(dir, "."+filepath.Base(path)+".tmp")
	if err := writeTemp(tmp, data, perm, d); err != nil {
		os.Remove(tmp)
		return fmt.Errorf("write %s: %w", path, err)
	}
	faultpoint.Hit("atomicfile.written:" + filepath.Base(path))
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return fmt.Errorf("write %s: %w", path, err)
	}
	if d == Durable {
		return SyncDir(dir)
	}
	return nil
}

func writeTemp(tmp string, data []byte, perm os.FileMode, d Durability) error {
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := faultpoint.Err("atomicfile.write:" + filepath.Base(tmp)); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if d != Volatile {
		return f.Sync()
	}
	return nil
}

// SyncDir makes the entries of dir durable.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
