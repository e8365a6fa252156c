// Package buildcache is the build cache on disk: what each step made, the layers that running builds hold, and the
// directories of RUN --mount=type=cache. It reads, lists and removes; package buildah/cache is what a build itself does
// with it.
package buildcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/layout"
)

// Kinds of records, in BuildKit's words.
const (
	KindRegular  = "regular"             // a step of a build
	KindImage    = "source.image"        // an image below; BuildKit calls it regular too
	KindLocal    = "source.local"        // files of a context
	KindGit      = "source.git.checkout" // a checkout
	KindHTTP     = "source.http"         // a download
	KindMount    = "exec.cachemount"     // a directory of RUN --mount=type=cache
	KindFrontend = "frontend"            // a frontend of its own
	KindInternal = "internal"
)

// version is that of the records; those of a higher one are not used.
const version = 1

// Record says what a step made.
type Record struct {
	Version     int
	Key         string     // of the step: algorithm:hex
	Outputs     [][]string // a stack of layers for each output, the lowest layer first; an empty one is the empty tree
	Pins        []string   `json:",omitempty"` // what the outputs resolved to (digest, commit, checksum), by output
	Kind        string     // one of the kinds; empty: regular
	Description string
	Created     time.Time
	Boot        string `json:",omitempty"` // id of the boot it was made in
	// Extra is what the solver notes for itself.
	Extra map[string]string `json:",omitempty"`

	LastUsed time.Time `json:"-"` // of the file: it is written to at each use
	Uses     int       `json:"-"`
	file     string
}

// Layers are all layers of the record, each once.
func (r *Record) Layers() []string {
	var all []string
	for _, stack := range r.Outputs {
		for _, id := range stack {
			if !slices.Contains(all, id) {
				all = append(all, id)
			}
		}
	}
	return all
}

// Root is the directory of the build cache.
func Root(d layout.Dirs) string { return filepath.Join(d.Data, "build") }

// Directories of the build cache.
func recordsDir(d layout.Dirs) string { return filepath.Join(Root(d), "records") }
func leasesDir(d layout.Dirs) string  { return filepath.Join(Root(d), "leases") }

// locksDir holds a file for each step that is being made.
func locksDir(d layout.Dirs) string { return filepath.Join(Root(d), "locks") }

// ContentDir holds a file for each stack of layers of which digests of contents are known: its first line names the
// layers, each further one a selector and its digest.
func ContentDir(d layout.Dirs) string { return filepath.Join(Root(d), "content") }

// BlobsDir holds layers packed for registries and archives: <digest of the content>.<compression>, and the same with
// .json, which says what it is and is written last.
func BlobsDir(d layout.Dirs) string { return filepath.Join(Root(d), "blobs") }

// MountsDir holds the directories of RUN --mount=type=cache.
func MountsDir(d layout.Dirs) string { return filepath.Join(Root(d), "mounts") }

// maxRecord bounds what is read of a record.
const maxRecord = 4 << 20

// ErrNone says that there is no record, or none that can be used.
var ErrNone = errors.New("no record in the build cache")

// Read reads the record of a key, which is an encoded digest: hexadecimal digits only.
func Read(d layout.Dirs, key string) (*Record, error) {
	if !isHex(key) {
		return nil, fmt.Errorf("key %q of the build cache: %w", key, ErrNone)
	}
	return readRecord(filepath.Join(recordsDir(d), key))
}

func readRecord(path string) (*Record, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("read the build cache: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxRecord {
		return nil, ErrNone
	}
	data := make([]byte, info.Size())
	n, err := f.ReadAt(data, 0)
	if n < len(data) && err != nil {
		return nil, ErrNone
	}
	r := &Record{}
	if json.Unmarshal(data, r) != nil || r.Version != version || !r.sane() {
		return nil, ErrNone // broken, or of another version of wherry: as if it was not there
	}
	r.LastUsed, r.file = info.ModTime(), path
	r.Uses = len(data) - len(strings.TrimRight(string(data), "\n"))
	return r, nil
}

// sane tells whether every layer is a name that can be a path's last part.
func (r *Record) sane() bool {
	for _, stack := range r.Outputs {
		for _, id := range stack {
			if len(id) != 64 || !isHex(id) {
				return false
			}
		}
	}
	return true
}

func isHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdef") == "" }

// Write records what a step made, in the place of an older record of the same key. The record is whole or not there,
// also after a power loss.
func Write(d layout.Dirs, key string, r Record) error {
	if !isHex(key) {
		return fmt.Errorf("key %q of the build cache is no digest", key)
	}
	r.Version = version
	if !r.sane() {
		return fmt.Errorf("record %s of the build cache names a layer that cannot be one", key)
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return replace(filepath.Join(recordsDir(d), key), data)
}

// replace writes a file as a whole under a name that nobody else uses meanwhile, and gives it its own by a rename:
// several builds may write the same one.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		f, err = os.CreateTemp(filepath.Dir(path), ".tmp-*")
	}
	if err != nil {
		return fmt.Errorf("write the build cache: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, unix.Fdatasync(int(f.Fd())), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the build cache: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// Use notes that the record was used: one more line end behind it. That needs no lock, and the file's time is that of
// the last use.
func (r *Record) Use() {
	f, err := os.OpenFile(r.file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return // it was removed: no harm, and nothing to count any more
	}
	f.WriteString("\n")
	f.Close()
	r.Uses, r.LastUsed = r.Uses+1, time.Now()
}

// Records lists all records, the least recently used first. What cannot be read is left out.
func Records(d layout.Dirs) ([]*Record, error) {
	entries, err := os.ReadDir(recordsDir(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the build cache: %w", err)
	}
	var all []*Record
	for _, e := range entries {
		if !isHex(e.Name()) {
			continue
		}
		if r, err := readRecord(filepath.Join(recordsDir(d), e.Name())); err == nil {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *Record) int { return a.LastUsed.Compare(b.LastUsed) })
	return all, nil
}

// Needed are the layers that the cache or a running build needs. Who removes layers asks for them while holding the lock
// on images exclusively (store.WithImagesExclusive).
func Needed(d layout.Dirs) (map[string]bool, error) {
	needed, err := Held(d)
	if err != nil {
		return nil, err
	}
	records, err := Records(d)
	for _, r := range records {
		for _, id := range r.Layers() {
			needed[id] = true
		}
	}
	return needed, err
}
