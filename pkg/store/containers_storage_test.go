//go:build containers_image_openpgp

package store

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containers/storage"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/layout"
)

// TestContainersStorage reads what the library itself wrote.
func TestContainersStorage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the library needs root or its own user namespace")
	}
	d := layout.Dirs{Data: t.TempDir(), Run: t.TempDir()}
	lib, err := storage.GetStore(storage.StoreOptions{GraphRoot: d.Graph(), RunRoot: d.GraphRun(), GraphDriverName: "overlay"})
	if err != nil {
		t.Skip("no overlay here:", err)
	}
	defer lib.Shutdown(true)
	top, layers := "", []string{}
	for range 4 {
		l, err := lib.CreateLayer("", top, nil, "", false, nil)
		if err != nil {
			t.Fatal(err)
		}
		top = l.ID
		layers = append([]string{top}, layers...)
	}
	config := []byte(`{"os":"linux","architecture":"amd64","config":{"Cmd":["sh"]}}`)
	manifest := []byte(`{"config":{"digest":"` + digest.FromBytes(config).String() + `"}}`)
	sum := func(data []byte) (digest.Digest, error) { return digest.FromBytes(data), nil }
	// The id is not the configuration's digest, so that the manifest must be asked.
	img, err := lib.CreateImage(id("x"), []string{"docker.io/library/real:latest"}, top, "", &storage.ImageOptions{Digest: digest.FromBytes(manifest)})
	if err != nil {
		t.Fatal(err)
	}
	for key, data := range map[string][]byte{"manifest": manifest, digest.FromBytes(config).String(): config, "signature-ab": []byte("s"), "odd/key": []byte("o"), "é": []byte("e"), "a/": []byte("u")} {
		if err := lib.SetImageBigData(img.ID, key, data, sum); err != nil {
			t.Errorf("the library refuses key %q: %v", key, err)
		}
	}
	s := Open(d)
	s.conf = func() string { return "" }
	got, err := s.Lookup(t.Context(), "real")
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != img.ID || !slices.Equal(got.Layers, layers) || got.Config.Config.Cmd[0] != "sh" || got.Digest != img.Digest.String() {
		t.Errorf("%+v", got)
	}
	for i, dir := range got.Lower {
		if want := filepath.Join(d.Graph(), "overlay", layers[i], "diff"); dir != want {
			t.Errorf("%s, want %s", dir, want)
		}
	}
	for key, want := range map[string]string{"signature-ab": "s", "odd/key": "o", "é": "e"} {
		if data, err := readBlob(got.graph(), got.ID, key); err != nil || string(data) != want {
			t.Errorf("%q: %q %v", key, data, err)
		}
	}
	if _, err := lib.DeleteImage(img.ID, true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lookup(t.Context(), "real"); err == nil {
		t.Error("found after its deletion")
	}
}
