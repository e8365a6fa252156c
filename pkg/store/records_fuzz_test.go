package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/layout"
)

// What containers/storage's lists say may be anything: no id leads out of the store, and nothing panics.
func FuzzRecords(f *testing.F) {
	f.Add([]byte(`[{"id":"aa","names":["docker.io/library/x:1"],"layer":"bb","big-data-sizes":{"sha256:aa":1}}]`), []byte(`[{"id":"bb","parent":"cc","diff-size":1},{"id":"cc","parent":"bb"}]`))
	f.Add([]byte(`[{"id":"../x","layer":"/etc"}]`), []byte(`{}`))
	dirs := layout.Dirs{Data: f.TempDir(), Run: f.TempDir()}
	f.Fuzz(func(t *testing.T, images, layers []byte) {
		for file, data := range map[string][]byte{"overlay-images/images.json": images, "overlay-layers/layers.json": layers} {
			path := filepath.Join(dirs.Graph(), file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := Open(dirs)
		list, _ := s.Images(context.Background())
		for _, img := range list {
			if strings.Contains(img.ID, "/") || img.ID == "" {
				t.Errorf("image %q", img.ID)
			}
		}
		if img, err := s.Lookup(context.Background(), "x:1"); err == nil {
			for _, dir := range img.Lower {
				if !strings.HasPrefix(dir, dirs.Graph()) {
					t.Errorf("layer at %s", dir)
				}
			}
		}
	})
}
