package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func sample(t testing.TB) *Store {
	s, d := newStore(t)
	fill(t, d.Graph(), Overlay,
		fakeImage{id: id("busybox"), names: []string{"docker.io/library/busybox:latest", "docker.io/library/busybox:1"}, layers: []string{id("a"), id("b")}},
		fakeImage{id: id("mine"), names: []string{"localhost/mine:latest"}, layers: []string{id("a"), id("c")}},
		fakeImage{id: id("hub"), names: []string{"docker.io/library/both:latest"}, layers: []string{id("a")}},
		fakeImage{id: id("built"), names: []string{"localhost/both:latest"}, layers: []string{id("a")}},
		fakeImage{id: "aaaa" + id("x")[4:], layers: []string{id("a")}},
		fakeImage{id: "aaaa" + id("y")[4:], names: []string{"quay.io/y/y:2"}, layers: []string{id("a")}},
		fakeImage{id: id("scratch"), names: []string{"docker.io/library/nothing:latest"}},
	)
	return s
}

func TestLookup(t *testing.T) {
	s := sample(t)
	busybox := "docker.io/library/busybox@sha256:" + id("manifest"+id("busybox"))
	for _, c := range []struct{ ref, want, name string }{
		{"busybox", id("busybox"), "docker.io/library/busybox:latest"},
		{"busybox:1", id("busybox"), "docker.io/library/busybox:1"},
		{"docker.io/library/busybox", id("busybox"), "docker.io/library/busybox:latest"},
		{busybox, id("busybox"), busybox},
		{"busybox:latest@sha256:" + id("manifest"+id("busybox")), id("busybox"), busybox},
		{"sha256:" + id("manifest"+id("busybox")), id("busybox"), ""},
		{"mine", id("mine"), "localhost/mine:latest"},
		{"localhost/mine", id("mine"), "localhost/mine:latest"},
		{"both", id("built"), "localhost/both:latest"},
		{"docker.io/both", id("hub"), "docker.io/library/both:latest"},
		{id("mine"), id("mine"), ""},
		{id("mine")[:7], id("mine"), ""},
		{"sha256:" + id("mine"), id("mine"), ""},
		{"sha256:" + id("mine")[:9], id("mine"), ""},
		{"nothing", id("scratch"), "docker.io/library/nothing:latest"},
	} {
		for _, round := range []string{"cold", "cached"} {
			img, err := s.Lookup(t.Context(), c.ref)
			if err != nil {
				t.Errorf("%s %s: %v", round, c.ref, err)
				continue
			}
			if img.ID != c.want || img.Ref != c.name || img.Config.Config.Cmd[0] != "sh" || len(img.Lower) != len(img.Layers) {
				t.Errorf("%s %s: got %s %q", round, c.ref, img.ID, img.Ref)
			}
		}
	}
	img, _ := s.Lookup(t.Context(), "busybox")
	if !slices.Equal(img.Layers, []string{id("b"), id("a")}) || img.Size != 2000 || img.Config.Config.Healthcheck.Interval != 3e9 {
		t.Errorf("layers %v size %d config %+v", img.Layers, img.Size, img.Config.Config)
	}
	for _, dir := range img.Lower {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
}

func TestLookupErrors(t *testing.T) {
	s := sample(t)
	for _, c := range []struct {
		ref  string
		kind error
		text string
	}{
		{"busybx", errdefs.ErrNotFound, `image "busybx" is not here (did you mean "busybox"?); wherry pull busybx fetches it`},
		{"busybox:2", errdefs.ErrNotFound, `image "busybox:2" is not here (did you mean "busybox:1"?); wherry pull busybox:2 fetches it`},
		{"entirely-different", errdefs.ErrNotFound, `image "entirely-different" is not here; wherry pull entirely-different fetches it`},
		{"mien", errdefs.ErrNotFound, `image "mien" is not here (did you mean "mine"?); wherry pull mien fetches it`},
		{"aaaa", errdefs.ErrAmbiguous, `is ambiguous: aaaa`},
		{"Bad", errdefs.ErrInvalid, "must be lower case"},
		{"", errdefs.ErrInvalid, "empty"},
		{"quay.io/busybox@sha256:" + id("manifest"+id("busybox")), errdefs.ErrNotFound, "is not here"},
		{id("unknown"), errdefs.ErrNotFound, "is not here"},
		{"sha256:" + id("unknown"), errdefs.ErrNotFound, "is not here"},
	} {
		_, err := s.Lookup(t.Context(), c.ref)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %v with %q", c.ref, err, c.kind, c.text)
		}
	}
}

func TestLookupSeesChanges(t *testing.T) {
	s, d := newStore(t)
	if _, err := s.Lookup(t.Context(), "app"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Fatal(err)
	}
	for _, version := range []string{"one", "two"} {
		fill(t, d.Graph(), Overlay, fakeImage{id: id(version), names: []string{"docker.io/library/app:latest"}, layers: []string{id("a")}})
		for range 2 {
			if img, err := s.Lookup(t.Context(), "app"); err != nil || img.ID != id(version) {
				t.Fatalf("%s: %v %v", version, img, err)
			}
		}
	}
	fill(t, d.Graph(), Overlay)
	if _, err := s.Lookup(t.Context(), "app"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("removed image: %v", err)
	}
}

func TestCacheIsOnlyACache(t *testing.T) {
	s := sample(t)
	if _, err := s.Lookup(t.Context(), "busybox"); err != nil {
		t.Fatal(err)
	}
	if s.cached("busybox") == nil {
		t.Fatal("nothing was remembered")
	}
	good, _ := os.ReadFile(s.cacheFile("busybox"))
	for name, data := range map[string]string{
		"empty": "", "half": string(good[:len(good)/2]), "garbage": "\x00\xff{", "null": "null", "no image": `{"Version":1,"Query":"busybox"}`,
		"newer": strings.Replace(string(good), `"Version":1`, `"Version":2`, 1), "tail": string(good) + "}",
		"another's": strings.Replace(string(good), `"Query":"busybox"`, `"Query":"x"`, 1),
		"unsigned":  `{"Version":1,"Query":"busybox","Image":{"ID":"x"}}`,
	} {
		os.WriteFile(s.cacheFile("busybox"), []byte(data), 0o600)
		if s.cached("busybox") != nil {
			t.Errorf("%s: believed", name)
		}
		if img, err := s.Lookup(t.Context(), "busybox"); err != nil || img.ID != id("busybox") {
			t.Errorf("%s: %v", name, err)
		}
	}
	os.RemoveAll(s.dirs.Cache())
	os.WriteFile(s.dirs.Cache(), nil, 0o600) // cannot be written
	if _, err := s.Lookup(t.Context(), "busybox"); err != nil {
		t.Errorf("no place for the cache: %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	s := sample(t)
	dir := filepath.Join(s.dirs.Cache(), "lookup")
	os.MkdirAll(dir, 0o700)
	for i := range maxCached + 5 {
		os.WriteFile(filepath.Join(dir, id(string(rune(i)))), nil, 0o600)
	}
	if _, err := s.Lookup(t.Context(), "busybox"); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 10 {
		t.Errorf("%d files are kept", len(entries))
	}
}

func TestBrokenStores(t *testing.T) {
	for name, breakIt := range map[string]func(s *Store, g graph){
		"images.json half":   func(_ *Store, g graph) { put(t, g.imagesFile(), []byte(`[{"id":"a`)) },
		"images.json newer":  func(_ *Store, g graph) { put(t, g.imagesFile(), []byte(`{"version":7}`)) },
		"layers.json broken": func(_ *Store, g graph) { put(t, g.layersFile(), []byte("\x00\x01")) },
		"layer not listed":   func(_ *Store, g graph) { put(t, g.layersFile(), []byte("[]")) },
		"layer incomplete": func(_ *Store, g graph) {
			put(t, g.layersFile(), []byte(`[{"id":"`+id("b")+`","flags":{"incomplete":true}}]`))
		},
		"layer dir missing": func(_ *Store, g graph) { os.RemoveAll(g.layerDir(id("a"))) },
		"loop": func(_ *Store, g graph) {
			put(t, g.layersFile(), []byte(`[{"id":"`+id("b")+`","parent":"`+id("b")+`"}]`))
		},
		"config missing": func(_ *Store, g graph) { os.RemoveAll(filepath.Join(g.root, "overlay-images", id("busybox"))) },
		"config garbage": func(_ *Store, g graph) {
			put(t, filepath.Join(g.root, "overlay-images", id("busybox"), blobFile("sha256:"+id("busybox"))), []byte("{"))
		},
		"images.json directory": func(_ *Store, g graph) { os.Remove(g.imagesFile()); os.Mkdir(g.imagesFile(), 0o755) },
	} {
		s := sample(t)
		g := graph{root: s.dirs.Graph(), driver: Overlay}
		breakIt(s, g)
		_, err := s.Lookup(t.Context(), "busybox")
		if err == nil || strings.Contains(err.Error(), "\n") || errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		problems, err := s.Problems(t.Context())
		if err != nil || len(problems) == 0 {
			t.Errorf("%s: problems %v, %v", name, problems, err)
		}
		s.Images(t.Context()) // no panic
		t.Logf("%s: %v", name, err)
	}
}

func TestGarbageRecordsAreSkipped(t *testing.T) {
	s := sample(t)
	g := graph{root: s.dirs.Graph(), driver: Overlay}
	put(t, g.imagesFile(), []byte(`[{},null,{"id":"../../etc","names":["docker.io/library/evil:latest"]},{"id":"`+id("busybox")+`","layer":"`+id("b")+`","future":{"a":1}}]`))
	images, err := s.Images(t.Context())
	if err != nil || len(images) != 1 {
		t.Errorf("%v %v", images, err)
	}
}
