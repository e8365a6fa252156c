package image

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containers/storage"
)

// collectFiles removes what killed sessions left in containers/storage's directories and it does not find by itself:
// half-written lists, the blobs of images and the directories of layers that no list names, links to nowhere, what it
// mounted to learn of the kernel. The caller knows that nobody else writes to the store.
func (s *Session) collectFiles() error {
	if err := s.collectHalves(); err != nil {
		return err
	}
	known, err := s.knownIDs()
	if err != nil {
		return err
	}
	graph, driver := s.cfg.Dirs.Graph(), s.store.GraphDriverName()
	layers := filepath.Join(graph, driver)
	if driver == "vfs" {
		layers = filepath.Join(layers, "dir")
	}
	return errors.Join(
		removeUnknown(filepath.Join(graph, driver+"-images"), known),
		removeUnknown(filepath.Join(graph, driver+"-layers"), known),
		removeUnknown(filepath.Join(graph, driver+"-containers"), known),
		removeUnknown(layers, known),
		removeProbes(layers),
		removeDeadLinks(filepath.Join(graph, "overlay", "l")),
	)
}

// collectHalves removes images that were being recorded: containers/storage lists an image before its manifest is there, and
// a name comes last.
func (s *Session) collectHalves() error {
	images, err := s.store.Images()
	if err != nil {
		return err
	}
	for i := range images {
		img := &images[i]
		if len(img.Names) > 0 || img.Digest == "" || img.ReadOnly {
			continue
		}
		manifest := storage.ImageDigestManifestBigDataNamePrefix + "-" + img.Digest.String()
		if slices.Contains(img.BigDataNames, manifest) || slices.Contains(img.BigDataNames, storage.ImageDigestBigDataKey) {
			continue
		}
		if _, err := s.store.DeleteImage(img.ID, true); err != nil {
			return err
		}
	}
	return nil
}

// knownIDs are all that the lists name.
func (s *Session) knownIDs() (map[string]bool, error) {
	known := map[string]bool{}
	snapshot, err := s.store.MultiList(storage.MultiListOptions{Images: true, Layers: true, Containers: true})
	if err != nil {
		return nil, err
	}
	for i := range snapshot.Images {
		known[snapshot.Images[i].ID] = true
	}
	for i := range snapshot.Layers {
		known[snapshot.Layers[i].ID] = true
	}
	for i := range snapshot.Containers {
		known[snapshot.Containers[i].ID] = true
	}
	return known, nil
}

// removeUnknown removes temporary lists, and entries that begin with an id that is not known.
func removeUnknown(dir string, known map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		id, _, _ := strings.Cut(e.Name(), ".")
		if strings.HasPrefix(e.Name(), ".tmp-") || isID(id) && !known[id] {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// probes begin the names of the directories in which containers/storage tries what overlay can do here.
var probes = []string{"opaque-bug-check", "metacopy-check", "volatile-check", "compat"}

func removeProbes(layers string) error {
	entries, err := os.ReadDir(layers)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if slices.ContainsFunc(probes, func(p string) bool { return strings.HasPrefix(e.Name(), p) }) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(layers, e.Name())))
		}
	}
	return err
}

func removeDeadLinks(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if _, statErr := os.Stat(path); errors.Is(statErr, fs.ErrNotExist) {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// isID says whether the name is 64 hexadecimal digits.
func isID(name string) bool {
	return len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
}
