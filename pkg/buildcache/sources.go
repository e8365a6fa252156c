package buildcache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/layout"
)

// SourcesDir holds what builds have fetched: a directory for each kind, and in it one for each source, which builds that
// use it hold by a lock.
func SourcesDir(d layout.Dirs) string { return filepath.Join(d.Cache(), "sources") }

// SourceAbout is the file in a source's directory that says what it is, for people.
const SourceAbout = "about"

// sourceKinds are the directories of sources.
var sourceKinds = []struct{ dir, kind, description string }{
	{"local", KindLocal, "context"},
	{"git", KindGit, "git repository"},
	{"git-trees", KindGit, "git checkout"},
	{"http", KindHTTP, "download"},
	{"http-trees", KindHTTP, "downloaded file"},
	{"tmp", KindInternal, "left by a killed build"},
}

// sourceEntries lists what builds have fetched.
func sourceEntries(d layout.Dirs) ([]*Entry, error) {
	var list []*Entry
	for _, k := range sourceKinds {
		parent := filepath.Join(SourcesDir(d), k.dir)
		dirs, err := os.ReadDir(parent)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("list the sources of builds: %w", err)
		}
		for _, dir := range dirs {
			if info, err := dir.Info(); err == nil {
				list = append(list, sourceEntry(filepath.Join(parent, dir.Name()), k.kind, k.description, info))
			}
		}
	}
	return list, nil
}

func sourceEntry(place, kind, description string, info fs.FileInfo) *Entry {
	sum := sha256.Sum256([]byte(place))
	e := &Entry{ID: hex.EncodeToString(sum[:])[:idLength], Kind: kind, Description: description, Created: info.ModTime(), LastUsed: info.ModTime(),
		Uses: 1, Size: treeSize(place), source: true, paths: []string{place}}
	e.Private = e.Size
	if about, err := os.ReadFile(filepath.Join(place, SourceAbout)); err == nil && len(about) < 1000 {
		e.Description += " " + strings.TrimSpace(string(about))
	}
	if f, err := os.Open(place); err == nil {
		e.InUse = errors.Is(TryFlock(f, unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
		f.Close()
	}
	return e
}
