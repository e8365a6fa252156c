package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/layout"
)

// fakeImage describes an image to put into a store on disk.
type fakeImage struct {
	id     string
	names  []string
	layers []string // bottom first
	age    time.Duration
}

func id(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func put(t testing.TB, path string, content any) {
	t.Helper()
	data, ok := content.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil { // as containers/storage does
		t.Fatal(err)
	}
}

// fill writes images into the graph root in the driver's format.
func fill(t testing.TB, root, driver string, images ...fakeImage) {
	t.Helper()
	g := graph{root: root, driver: driver}
	var recs []map[string]any
	var layers []map[string]any
	seen := map[string]bool{}
	for _, img := range images {
		parent := ""
		for _, l := range img.layers {
			if !seen[l] {
				seen[l] = true
				layers = append(layers, map[string]any{"id": l, "parent": parent, "diff-size": 1000})
				if err := os.MkdirAll(g.layerDir(l), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			parent = l
		}
		digest := "sha256:" + id("manifest"+img.id)
		recs = append(recs, map[string]any{
			"id": img.id, "names": img.names, "layer": parent, "digest": digest,
			"big-data-names":   []string{"manifest", "sha256:" + img.id},
			"big-data-digests": map[string]string{"manifest": digest, "manifest-" + digest: digest},
			"created":          time.Unix(1700000000, 0).Add(-img.age),
		})
		put(t, filepath.Join(root, driver+"-images", img.id, blobFile("sha256:"+img.id)), map[string]any{
			"os": "linux", "architecture": "amd64",
			"config":  map[string]any{"Env": []string{"A=b"}, "Cmd": []string{"sh"}, "Healthcheck": map[string]any{"Test": []string{"CMD", "true"}, "Interval": 3e9}},
			"history": []map[string]any{{"created_by": "one"}, {"created_by": "ENV", "empty_layer": true}, {"created_by": "two"}},
		})
		put(t, filepath.Join(root, driver+"-images", img.id, blobFile("manifest")), map[string]any{"config": map[string]any{"digest": "sha256:" + img.id}})
	}
	put(t, g.layersFile(), layers)
	put(t, g.imagesFile(), recs)
}

func newStore(t testing.TB) (*Store, layout.Dirs) {
	t.Helper()
	d := layout.Dirs{Data: t.TempDir()}
	s := Open(d)
	s.conf = func() string { return "" }
	return s, d
}

func withConf(t testing.TB, d layout.Dirs, roots ...string) *Store {
	t.Helper()
	data, _ := json.Marshal(roots)
	path := filepath.Join(d.Data, "storage.conf")
	put(t, path, []byte("[storage]\ndriver = \"overlay\"\n[storage.options]\nadditionalimagestores = "+string(data)+"\n"))
	s := Open(d)
	s.conf = func() string { return path }
	return s
}

// thousand are n images of five layers, three of them shared by all.
func thousand(n int) []fakeImage {
	images := make([]fakeImage, n)
	for i := range images {
		name := fmt.Sprintf("img%d", i)
		images[i] = fakeImage{id: id(name), names: []string{"docker.io/library/" + name + ":latest"},
			layers: []string{id("l1"), id("l2"), id("l3"), id("l4" + name), id("l5" + name)}}
	}
	return images
}
