package buildcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/pkg/layout"
)

// Mount is a directory of RUN --mount=type=cache. It is <hash of the id>-<number>/, locked by who uses it, with the files
// in data/ and, once it is whole, a file info, which is written to at each use.
type Mount struct {
	ID       string // as the Dockerfile says, for people
	Created  time.Time
	LastUsed time.Time `json:"-"`
	Uses     int       `json:"-"`
	Name     string    `json:"-"` // of the directory
}

const mountInfo = "info"

// MountMade tells whether a cache directory is whole.
func MountMade(place string) bool {
	_, err := os.Lstat(filepath.Join(place, mountInfo))
	return err == nil
}

// UseMount notes a use of a cache directory. False: it is not whole.
func UseMount(place string) bool {
	f, err := os.OpenFile(filepath.Join(place, mountInfo), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return false
	}
	f.WriteString("\n")
	return f.Close() == nil
}

// WriteMount says that a cache directory is whole.
func WriteMount(place, id string) error {
	data, err := json.Marshal(Mount{ID: id, Created: time.Now()})
	if err != nil {
		return err
	}
	return replace(filepath.Join(place, mountInfo), data)
}

// Mounts lists the cache directories.
func Mounts(d layout.Dirs) ([]Mount, error) {
	entries, err := os.ReadDir(MountsDir(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the cache directories of builds: %w", err)
	}
	var all []Mount
	for _, e := range entries {
		m := Mount{Name: e.Name()}
		path := filepath.Join(MountsDir(d), e.Name(), mountInfo)
		info, err := os.Lstat(path)
		if err == nil {
			data, err := os.ReadFile(path)
			if err == nil && json.Unmarshal(data, &m) == nil {
				m.Uses = len(data) - len(strings.TrimRight(string(data), "\n"))
			}
			m.LastUsed = info.ModTime()
		}
		all = append(all, m)
	}
	return all, nil
}
