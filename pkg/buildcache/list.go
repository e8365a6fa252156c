package buildcache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	"github.com/wherry-containers/wherry/pkg/store"
)

// Entry is one thing that the build cache holds, as `builder du` shows it.
type Entry struct {
	ID          string
	Parents     []string // ids of the entries whose layers it stands on
	Kind        string
	Description string
	Created     time.Time
	LastUsed    time.Time
	Uses        int
	Size        int64 // of the layers that are its own, and no other entry's
	Private     int64 // of those that no image has
	InUse       bool  // by a build that runs
	Shared      bool  // its layers are those of images, too: without it nothing would be free

	record *Record
	below  string   // a layer that no step has made: it stays as long as an entry stands on it
	source bool     // something that was fetched
	paths  []string // what is removed with it, of cache directories, sources and packed layers
}

// IsEmpty tells whether no build has left anything.
func IsEmpty(d layout.Dirs) bool {
	for _, dir := range []string{recordsDir(d), MountsDir(d), BlobsDir(d)} {
		if entries, _ := os.ReadDir(dir); len(entries) > 0 {
			return false
		}
	}
	for _, k := range sourceKinds {
		if entries, _ := os.ReadDir(filepath.Join(SourcesDir(d), k.dir)); len(entries) > 0 {
			return false
		}
	}
	return true
}

// HasLayers tells whether the entry's room is that of layers, which others may need, too.
func (e *Entry) HasLayers() bool { return e.record != nil || e.below != "" }

// contents is the build cache as a whole.
type contents struct {
	entries []*Entry
	uses    map[string]store.LayerUse
	held    map[string]bool
}

// List lists all that the build cache holds, the least recently used first. It takes no lock.
func List(ctx context.Context, d layout.Dirs) ([]*Entry, error) {
	c, err := read(ctx, d)
	if err != nil {
		return nil, err
	}
	return c.entries, nil
}

func read(ctx context.Context, d layout.Dirs) (*contents, error) {
	records, err := Records(d)
	if err != nil {
		return nil, err
	}
	c := &contents{}
	if c.uses, err = store.Open(d).LayerUses(ctx); err != nil {
		return nil, err
	}
	if c.held, err = Held(d); err != nil {
		return nil, err
	}
	c.addRecords(records)
	mounts, err := Mounts(d)
	if err != nil {
		return nil, err
	}
	for _, m := range mounts {
		c.entries = append(c.entries, mountEntry(d, m))
	}
	blobs, err := blobEntries(d)
	if err != nil {
		return nil, err
	}
	sources, err := sourceEntries(d)
	if err != nil {
		return nil, err
	}
	c.entries = append(append(c.entries, blobs...), sources...)
	slices.SortStableFunc(c.entries, func(a, b *Entry) int { return a.LastUsed.Compare(b.LastUsed) })
	return c, nil
}

// idLength is that of BuildKit's ids.
const idLength = 25

func (c *contents) addRecords(records []*Record) {
	owners := ownersOf(records)
	ids := map[*Record]string{}
	for _, r := range records {
		ids[r] = filepath.Base(r.file)[:min(idLength, len(filepath.Base(r.file)))]
	}
	below := map[string]*Entry{}
	for _, r := range records {
		e := &Entry{ID: ids[r], Kind: r.Kind, Description: r.Description, Created: r.Created, LastUsed: r.LastUsed, Uses: r.Uses, record: r}
		if e.Kind == "" || e.Kind == KindImage {
			e.Kind = KindRegular
		}
		e.InUse, e.Shared = c.inUse(r), len(r.Layers()) > 0
		for _, id := range r.Layers() {
			switch owner := owners[id]; {
			case owner == r:
				c.count(e, id)
				e.Shared = e.Shared && c.uses[id].ByImage
			case owner == nil:
				c.addBelow(below, id, e)
				e.Parents = append(e.Parents, id[:idLength])
			case !slices.Contains(e.Parents, ids[owner]):
				e.Parents = append(e.Parents, ids[owner])
			}
		}
		c.entries = append(c.entries, e)
	}
}

func (c *contents) count(e *Entry, layer string) {
	e.Size += c.uses[layer].Size
	if !c.uses[layer].ByImage {
		e.Private += c.uses[layer].Size
	}
}

// addBelow adds an entry for a layer that no step has made: it came with an image.
func (c *contents) addBelow(below map[string]*Entry, layer string, over *Entry) {
	e, known := below[layer]
	if !known {
		e = &Entry{ID: layer[:idLength], Kind: KindRegular, Description: "layer of an image below", Created: over.Created, Shared: c.uses[layer].ByImage, below: layer}
		c.count(e, layer)
		below[layer] = e
		c.entries = append(c.entries, e)
	}
	e.InUse = e.InUse || over.InUse
	e.Uses += over.Uses
	if over.LastUsed.After(e.LastUsed) {
		e.LastUsed = over.LastUsed
	}
	if over.Created.Before(e.Created) {
		e.Created = over.Created
	}
}

// ownersOf says which record has made each layer: the oldest of those that have it on top. A layer that is on top of none
// came from elsewhere.
func ownersOf(records []*Record) map[string]*Record {
	owners := map[string]*Record{}
	for _, r := range records {
		for _, stack := range r.Outputs {
			if len(stack) == 0 {
				continue
			}
			top := stack[len(stack)-1]
			if other, known := owners[top]; !known || r.Created.Before(other.Created) {
				owners[top] = r
			}
		}
	}
	return owners
}

// inUse tells whether a running build holds all of a result.
func (c *contents) inUse(r *Record) bool {
	for _, stack := range r.Outputs {
		if len(stack) > 0 && !slices.ContainsFunc(stack, func(id string) bool { return !c.held[id] }) {
			return true
		}
	}
	return false
}

func mountEntry(d layout.Dirs, m Mount) *Entry {
	place := filepath.Join(MountsDir(d), m.Name)
	e := &Entry{ID: m.Name[:min(idLength-4, len(m.Name))], Kind: KindMount, Description: "cache directory", Created: m.Created, LastUsed: m.LastUsed, Uses: m.Uses, paths: []string{place}}
	if _, number, ok := strings.Cut(m.Name, "-"); ok {
		e.ID += "-" + number
	}
	if m.ID != "" {
		e.Description = "cache directory " + m.ID
	}
	e.Size = treeSize(filepath.Join(place, "data"))
	e.Private = e.Size
	if f, err := os.Open(place); err == nil {
		e.InUse = errors.Is(TryFlock(f, unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
		f.Close()
	}
	return e
}

// inTheMaking is how long a file that is written to does not rest.
const inTheMaking = 10 * time.Minute

// blobEntries lists the layers that were packed for others.
func blobEntries(d layout.Dirs) ([]*Entry, error) {
	files, err := os.ReadDir(BlobsDir(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the build cache: %w", err)
	}
	var list []*Entry
	for _, f := range files {
		info, err := f.Info()
		if err != nil || strings.HasSuffix(f.Name(), ".json") || strings.HasSuffix(f.Name(), ".tmp") && time.Since(info.ModTime()) < inTheMaking {
			continue
		}
		path := filepath.Join(BlobsDir(d), f.Name())
		sum := sha256.Sum256([]byte(f.Name()))
		list = append(list, &Entry{ID: hex.EncodeToString(sum[:])[:idLength], Kind: KindInternal, Description: "packed layer " + describeBlob(path),
			Created: info.ModTime(), LastUsed: info.ModTime(), Uses: 1, Size: info.Size(), Private: info.Size(), paths: []string{path + ".json", path}})
	}
	return list, nil
}

func describeBlob(path string) string {
	var said struct{ Desc struct{ Digest string } }
	data, err := os.ReadFile(path + ".json")
	if err != nil || json.Unmarshal(data, &said) != nil {
		return "(not whole)"
	}
	return said.Desc.Digest
}

// treeSize is what the files of a directory take on the disk.
func treeSize(dir string) int64 {
	var sum int64
	seen := map[uint64]bool{}
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err != nil || unix.Lstat(path, &st) != nil || st.Nlink > 1 && seen[st.Ino] {
			return nil // it went meanwhile
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			seen[st.Ino] = true
			sum += st.Blocks * 512
		}
		return nil
	})
	return sum
}

// Total is what the cache takes, and what of it a prune of all could give back. A layer that an image has, too, takes no
// room of the cache's.
func Total(entries []*Entry) (total, reclaimable int64) {
	for _, e := range entries {
		total += e.Private
		if !e.InUse {
			reclaimable += e.Private
		}
	}
	return total, reclaimable
}
