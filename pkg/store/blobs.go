package store

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// manifestKey is the key, or the start of it, of every blob that is a manifest.
const manifestKey = "manifest"

// maxBlob bounds a manifest or configuration; registries refuse manifests above 4 MiB.
const maxBlob = 32 << 20

// ManifestBlob is the image's manifest as it was pulled.
func (s *Store) ManifestBlob(img *Image) ([]byte, error) {
	return readManifest(img.graph(), img.ID, img.Digest)
}

// ListBlob is one of the manifests that the image is known by (Digests): its own, or the index that it was chosen from.
func (s *Store) ListBlob(img *Image, digest string) ([]byte, error) {
	return readBlob(img.graph(), img.ID, manifestKey+"-"+digest)
}

// ConfigBlob is the image's configuration as its maker wrote it.
func (s *Store) ConfigBlob(img *Image) ([]byte, error) {
	return readConfigBlob(img.graph(), img.ID, img.Digest)
}

// ReadConfig fills Config of an image that Images listed.
func (s *Store) ReadConfig(img *Image) error {
	config, err := readConfig(img.graph(), imageRecord{ID: img.ID, Digest: img.Digest})
	if err != nil {
		return imageBroken(img, err)
	}
	img.Config = config
	return nil
}

func (i *Image) graph() graph { return graph{i.Graph, i.Driver, i.ReadOnly} }

// HistoryStep is one row of `history`, newest first.
type HistoryStep struct {
	History
	Size  int64  // bytes of the layer the step made, unpacked
	Layer string // its id; empty where the step made none
}

// History joins the image's steps with its layers. The image comes from Lookup, or from Images with ReadConfig.
func (i *Image) History() []HistoryStep {
	steps := make([]HistoryStep, 0, len(i.Config.History))
	layer := len(i.Layers) - 1 // bottom first, as the history
	for _, h := range i.Config.History {
		step := HistoryStep{History: h}
		if !h.EmptyLayer && layer >= 0 {
			step.Layer, step.Size = i.Layers[layer], i.Sizes[layer]
			layer--
		}
		steps = append(steps, step)
	}
	for ; layer >= 0; layer-- { // layers without history: an imported file system
		steps = append(steps, HistoryStep{History: History{Created: &i.Created}, Layer: i.Layers[layer], Size: i.Sizes[layer]})
	}
	slices.Reverse(steps)
	return steps
}

func readConfig(g graph, rec imageRecord) (Config, error) {
	var config Config
	data, err := readConfigBlob(g, rec.ID, rec.Digest)
	if err != nil {
		return config, err
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return config, errdefs.New(errdefs.ErrBroken, "the configuration of image %s is not valid: %v", short(rec.ID), err)
	}
	return config, nil
}

// readConfigBlob tries the key that nearly every image has, and asks the manifest for the others.
func readConfigBlob(g graph, id, digest string) ([]byte, error) {
	data, err := readBlob(g, id, "sha256:"+id)
	if !absent(err) {
		return data, err
	}
	manifest, err := readManifest(g, id, digest)
	if err != nil {
		return nil, err
	}
	var m struct {
		Config struct {
			Digest string `json:"digest"`
		} `json:"config"`
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return nil, errdefs.New(errdefs.ErrBroken, "the manifest of image %s is not valid: %v", short(id), err)
	}
	if m.Config.Digest == "" {
		return nil, errdefs.New(errdefs.ErrUnsupported, "image %s has Docker's manifest schema 1, which is not supported (pull it anew from a current registry)", short(id))
	}
	return readBlob(g, id, m.Config.Digest)
}

func readManifest(g graph, id, digest string) ([]byte, error) {
	data, err := readBlob(g, id, manifestKey)
	if absent(err) && digest != "" {
		return readBlob(g, id, manifestKey+"-"+digest)
	}
	return data, err
}

func readBlob(g graph, id, key string) ([]byte, error) {
	path := filepath.Join(g.root, g.driver+"-images", id, blobFile(key))
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the image store: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxBlob {
		return nil, errdefs.New(errdefs.ErrBroken, "%s is not a file of at most %d bytes", path, maxBlob)
	}
	return os.ReadFile(path)
}

// blobFile is containers/storage's file name for a key: the key itself if it is made of digits, lower-case letters
// and dots, up to a last character that may be anything (its loop stops there), else "=" and base64.
func blobFile(key string) string {
	for i, ch := range key {
		plain := ch == '.' || ch >= '0' && ch <= '9' || ch >= 'a' && ch <= 'z'
		last := i+utf8.RuneLen(ch) >= len(key)
		if !plain && !last {
			return "=" + base64.StdEncoding.EncodeToString([]byte(key))
		}
	}
	if strings.ContainsRune(key, '/') {
		return "=" + base64.StdEncoding.EncodeToString([]byte(key))
	}
	return key
}
