package store

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

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Drivers whose on-disk format is read.
const (
	Overlay = "overlay"
	VFS     = "vfs"
)

// graph is one graph root in the format of one driver.
type graph struct {
	root, driver string
	readOnly     bool
}

func (g graph) imagesFile() string { return filepath.Join(g.root, g.driver+"-images", "images.json") }
func (g graph) layersFile() string { return filepath.Join(g.root, g.driver+"-layers", "layers.json") }

// layerDir is the directory with the layer's files.
func (g graph) layerDir(id string) string {
	if g.driver == VFS {
		return filepath.Join(g.root, VFS, "dir", id)
	}
	return filepath.Join(g.root, Overlay, id, "diff")
}

// graphsOf are the formats that one root may hold.
func graphsOf(root string, readOnly bool) []graph {
	return []graph{{root, Overlay, readOnly}, {root, VFS, readOnly}}
}

// imageRecord is one entry of images.json; layerRecord one of layers.json.
type imageRecord struct {
	ID        string            `json:"id"`
	Digest    string            `json:"digest"`
	Names     []string          `json:"names"`
	History   []string          `json:"names-history"`
	TopLayer  string            `json:"layer"`
	Mapped    []string          `json:"mapped-layers"`
	DataNames []string          `json:"big-data-names"`
	Digests   map[string]string `json:"big-data-digests"`
	Created   time.Time         `json:"created"`
}

type layerRecord struct {
	ID     string         `json:"id"`
	Parent string         `json:"parent"`
	Size   int64          `json:"diff-size"`
	DiffID string         `json:"diff-digest"`
	Flags  map[string]any `json:"flags"`
	Made   time.Time      `json:"created"`
}

// incomplete layers are leftovers of a killed pull; containers/storage deletes them at its next write.
func (l layerRecord) incomplete() bool {
	v, ok := l.Flags["incomplete"].(bool)
	return ok && v
}

func (g graph) images() ([]imageRecord, error) {
	var images []imageRecord
	if err := readJSON(g.imagesFile(), &images); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(images, func(i imageRecord) bool { return i.ID == "" || strings.Contains(i.ID, "/") }), nil
}

func (g graph) layers() (map[string]layerRecord, error) {
	var list []layerRecord
	if err := readJSON(g.layersFile(), &list); err != nil {
		return nil, err
	}
	layers := make(map[string]layerRecord, len(list))
	for _, l := range list {
		if l.ID != "" && !strings.Contains(l.ID, "/") {
			layers[l.ID] = l
		}
	}
	return layers, nil
}

// readJSON reads one of containers/storage's lists. An absent or empty file is an empty list: so a new store looks.
func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if absent(err) || err == nil && len(data) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the image store: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return errdefs.New(errdefs.ErrBroken, "%s is broken (%v); mend it with wherry system check --repair", path, err)
	}
	return nil
}

func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist)
}

// knownDigests are the digests of the image's manifests, the chosen one first.
func (i imageRecord) knownDigests() []string {
	digests := []string{}
	add := func(d string) {
		if d != "" && !slices.Contains(digests, d) {
			digests = append(digests, d)
		}
	}
	add(i.Digest)
	add(i.Digests[manifestKey])
	var rest []string
	for name, d := range i.Digests {
		if strings.HasPrefix(name, manifestKey) {
			rest = append(rest, d)
		}
	}
	slices.Sort(rest)
	for _, d := range rest {
		add(d)
	}
	return digests
}
