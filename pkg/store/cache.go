package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
)

const (
	cacheVersion = 1
	// maxCached bounds the number of remembered lookups; beyond it all are dropped, for they cost little to make.
	maxCached = 2048
)

// signature tells one version of a file from another: containers/storage replaces its lists by rename.
type signature struct {
	Path  string
	Inode uint64 // 0: the file does not exist
	Size  int64
	Sec   int64
	Nsec  int64
}

func sign(path string) signature {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return signature{Path: path}
	}
	return signature{Path: path, Inode: st.Ino, Size: st.Size, Sec: int64(st.Mtim.Sec), Nsec: int64(st.Mtim.Nsec)}
}

func unchanged(signed []signature) bool {
	for _, s := range signed {
		if sign(s.Path) != s {
			return false
		}
	}
	return true
}

// answer is a remembered lookup. It holds as long as every list that was read for it is unchanged.
type answer struct {
	Version int
	Query   string // guards against a collision or a file put in the wrong place
	Signed  []signature
	Image   *Image
}

func (s *Store) cacheFile(ref string) string {
	sum := sha256.Sum256([]byte(ref))
	return filepath.Join(s.dirs.Cache(), "lookup", hex.EncodeToString(sum[:16]))
}

// cached is the remembered image, or nil when there is none that still holds. Whatever is wrong with the file, the
// answer is to look again.
func (s *Store) cached(ref string) *Image {
	data, err := os.ReadFile(s.cacheFile(ref))
	if err != nil {
		return nil
	}
	var a answer
	if lazyjson.Unmarshal(data, &a) != nil || a.Version != cacheVersion || a.Query != ref || a.Image == nil || len(a.Signed) == 0 {
		return nil
	}
	// The root may have moved with its cache.
	if a.Signed[0].Path != (graph{root: s.dirs.Graph(), driver: Overlay}).imagesFile() || !unchanged(a.Signed) {
		return nil
	}
	return a.Image
}

// remember keeps the answer for the next lookup. Nobody needs it: an error is no error.
func (s *Store) remember(ref string, img *Image, signed []signature) {
	data, err := lazyjson.Marshal(answer{Version: cacheVersion, Query: ref, Signed: signed, Image: img})
	if err != nil {
		return
	}
	path := s.cacheFile(ref)
	err = atomicfile.Write(path, data, 0o600, atomicfile.Volatile)
	if errors.Is(err, os.ErrNotExist) {
		if os.MkdirAll(filepath.Dir(path), 0o700) == nil {
			err = atomicfile.Write(path, data, 0o600, atomicfile.Volatile)
		}
	}
	if err == nil {
		s.trimCache(filepath.Dir(path))
	}
}

func (s *Store) trimCache(dir string) {
	// The size of a directory grows with its entries, by 20 bytes (tmpfs) to 64 (btrfs) for names as ours: so the full
	// listing is rare.
	info, err := os.Stat(dir)
	if err != nil || info.Size() < 16*maxCached {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) <= maxCached {
		return
	}
	for _, e := range entries {
		os.Remove(filepath.Join(dir, e.Name()))
	}
}
