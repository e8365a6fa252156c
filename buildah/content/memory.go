package content

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Memory keeps digests of files from build to build: one file per directory that was looked at, named by a digest of
// its path. Losing it costs time only.
type Memory struct{ dir string }

// NewMemory keeps what it remembers in dir, which is made when there is something to keep.
func NewMemory(dir string) *Memory { return &Memory{dir} }

const (
	maxPages   = 128     // directories remembered
	maxRecords = 1 << 20 // files of one directory
	recordSize = 8*6 + sha256.Size
	magic      = "wherrysums1\n"
	unfinished = ".tmp-" // begins the name of a page that is being written
)

// key is what a file looks like from outside. Whatever is written to it, or set about it, changes its ctime.
type key struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // nanoseconds
}

func keyOf(st *unix.Stat_t) key {
	return key{st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
}

// page is what is remembered of one directory. A nil page remembers nothing.
type page struct {
	path  string
	slack time.Duration // how long after a change another one may carry the same time
	mu    sync.Mutex
	known map[key]record
	dirty bool
}

type record struct {
	sum  sum
	used bool // in this build
}

// open reads the page of a directory. A page that is missing, broken or of another version is an empty one.
func (m *Memory) open(dir string) *page {
	name := sha256.Sum256([]byte(dir))
	p := &page{path: filepath.Join(m.dir, hex.EncodeToString(name[:16])), slack: granularity(dir), known: map[key]record{}}
	data, err := os.ReadFile(p.path)
	if err != nil {
		return p
	}
	if known, err := parsePage(data); err == nil {
		p.known = known
	}
	return p
}

// granularity is generous: no file system of a machine's own rounds times to more than two ticks of its clock when it
// keeps nanoseconds at all, and those of a server go by another clock.
func granularity(dir string) time.Duration {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return time.Hour
	}
	switch int64(fs.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC:
		return 100 * time.Millisecond
	}
	return time.Minute
}

var errPage = errors.New("broken page of digests")

// parsePage reads a page. Its last bytes are a digest of the others, so that half a page is none.
func parsePage(data []byte) (map[key]record, error) {
	if len(data) < len(magic)+sha256.Size || !bytes.HasPrefix(data, []byte(magic)) {
		return nil, errPage
	}
	end := len(data) - sha256.Size
	if check := sha256.Sum256(data[:end]); !bytes.Equal(check[:], data[end:]) {
		return nil, errPage
	}
	rows := data[len(magic):end]
	if len(rows)%recordSize != 0 || len(rows)/recordSize > maxRecords {
		return nil, errPage
	}
	known := make(map[key]record, len(rows)/recordSize)
	for ; len(rows) > 0; rows = rows[recordSize:] {
		u := func(i int) uint64 { return binary.LittleEndian.Uint64(rows[8*i:]) }
		r := record{}
		copy(r.sum[:], rows[8*6:])
		known[key{u(0), u(1), int64(u(2)), int64(u(3)), int64(u(4))}] = r
	}
	return known, nil
}

func (p *page) get(st *unix.Stat_t) (sum, bool) {
	if p == nil {
		return sum{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	k := keyOf(st)
	r, ok := p.known[k]
	if ok && !r.used {
		r.used = true
		p.known[k] = r
	}
	return r.sum, ok
}

// put remembers a sum unless the file changed so shortly before it was read that a later change may carry the same time.
func (p *page) put(st *unix.Stat_t, s sum, began time.Time) {
	if p == nil {
		return
	}
	slack := p.slack
	if st.Ctim.Nano()%int64(time.Millisecond) == 0 {
		slack = max(slack, 2*time.Second) // perhaps a file system that keeps whole seconds, or two
	}
	if st.Ctim.Nano()+int64(slack) >= began.UnixNano() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[keyOf(st)] = record{sum: s, used: true}
	p.dirty = true
}

// save writes the page if there is news. What the present build did not use stays while there is room.
func (p *page) save() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.dirty {
		return nil
	}
	p.dirty = false
	if err := os.MkdirAll(filepath.Dir(p.path), 0o700); err != nil {
		return err
	}
	if err := p.makeRoom(); err != nil {
		return err
	}
	return replace(p.path, p.encode())
}

// replace writes a file as a whole. Builds of the same directory may do so at the same time: the last one counts.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), unfinished+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // not there any more when all went well
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (p *page) encode() []byte {
	keys := make([]key, 0, len(p.known))
	onlyUsed := len(p.known) > maxRecords/4
	for k, r := range p.known {
		if r.used || !onlyUsed {
			keys = append(keys, k)
		}
	}
	if len(keys) > maxRecords {
		keys = keys[:maxRecords]
	}
	out := make([]byte, 0, len(magic)+len(keys)*recordSize+sha256.Size)
	out = append(out, magic...)
	for _, k := range keys {
		for _, u := range []uint64{k.dev, k.ino, uint64(k.size), uint64(k.mtime), uint64(k.ctime), 0} {
			out = binary.LittleEndian.AppendUint64(out, u)
		}
		s := p.known[k].sum
		out = append(out, s[:]...)
	}
	check := sha256.Sum256(out)
	return append(out, check[:]...)
}

// makeRoom removes the pages that were written longest ago.
func (p *page) makeRoom() error {
	entries, err := os.ReadDir(filepath.Dir(p.path))
	if err != nil || len(entries) < maxPages {
		return err
	}
	type old struct {
		name string
		at   time.Time
	}
	var pages []old
	for _, e := range entries {
		info, err := e.Info()
		switch {
		case err != nil || e.Name() == filepath.Base(p.path):
		case !strings.HasPrefix(e.Name(), unfinished):
			pages = append(pages, old{e.Name(), info.ModTime()})
		case time.Since(info.ModTime()) > time.Hour:
			os.Remove(filepath.Join(filepath.Dir(p.path), e.Name())) // of a killed build
		}
	}
	sort.Slice(pages, func(i, j int) bool { return pages[i].at.Before(pages[j].at) })
	slices.Reverse(pages)
	for _, o := range pages[min(len(pages), maxPages-1):] {
		os.Remove(filepath.Join(filepath.Dir(p.path), o.name))
	}
	return nil
}
