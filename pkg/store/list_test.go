package store

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/layout"
)

func TestImages(t *testing.T) {
	s, d := newStore(t)
	fill(t, d.Graph(), Overlay,
		fakeImage{id: id("old"), layers: []string{id("a")}, age: time.Hour},
		fakeImage{id: id("new"), layers: []string{id("a"), id("b")}})
	images, err := s.Images(t.Context())
	if err != nil || len(images) != 2 || images[0].ID != id("new") || images[0].Size != 2000 || images[1].Size != 1000 {
		t.Fatalf("%+v %v", images, err)
	}
	if err := s.ReadConfig(&images[0]); err != nil {
		t.Fatal(err)
	}
	steps := images[0].History()
	if len(steps) != 3 || steps[0].CreatedBy != "two" || steps[0].Layer != id("b") || steps[1].Layer != "" || steps[2].Layer != id("a") {
		t.Errorf("history %+v", steps)
	}
	if data, err := s.ManifestBlob(&images[0]); err != nil || !strings.Contains(string(data), "config") {
		t.Errorf("manifest %s %v", data, err)
	}
	os.RemoveAll(graph{root: d.Graph(), driver: Overlay}.layersFile())
	if images, err = s.Images(t.Context()); err != nil || len(images) != 0 {
		t.Errorf("broken images are listed: %v %v", images, err)
	}
}

func TestAdditionalStores(t *testing.T) {
	d := layout.Dirs{Data: t.TempDir()}
	over, full, broken := t.TempDir(), t.TempDir(), t.TempDir()
	fill(t, over, Overlay, fakeImage{id: id("over"), names: []string{"docker.io/library/over:latest"}, layers: []string{id("a"), id("b")}})
	fill(t, full, VFS, fakeImage{id: id("full"), names: []string{"docker.io/library/full:latest"}, layers: []string{id("a"), id("v")}})
	put(t, filepath.Join(broken, "overlay-images/images.json"), []byte("{"))
	// Our own image stands on a layer of the additional store.
	fill(t, d.Graph(), Overlay, fakeImage{id: id("own"), names: []string{"docker.io/library/own:latest"}, layers: []string{id("b"), id("c")}})
	put(t, graph{root: d.Graph(), driver: Overlay}.layersFile(), []byte(`[{"id":"`+id("c")+`","parent":"`+id("b")+`","diff-size":5}]`))
	os.RemoveAll(filepath.Join(d.Graph(), "overlay", id("b")))

	s := withConf(t, d, over, full, "relative/is/ignored", t.TempDir())
	for name, lower := range map[string][]string{
		"own":  {filepath.Join(d.Graph(), "overlay", id("c"), "diff"), filepath.Join(over, "overlay", id("b"), "diff"), filepath.Join(over, "overlay", id("a"), "diff")},
		"over": {filepath.Join(over, "overlay", id("b"), "diff"), filepath.Join(over, "overlay", id("a"), "diff")},
		"full": {filepath.Join(full, "vfs/dir", id("v"))},
	} {
		for range 2 {
			img, err := s.Lookup(t.Context(), name)
			if err != nil || strings.Join(img.Lower, " ") != strings.Join(lower, " ") || img.ReadOnly != (name != "own") {
				t.Errorf("%s: %+v %v", name, img, err)
			}
		}
	}
	if images, err := s.Images(t.Context()); err != nil || len(images) != 3 {
		t.Errorf("%v %v", images, err)
	}
	if s.cached("over") == nil {
		t.Error("an additional store's image is not remembered")
	}
	// The same name in our own store must win from now on.
	fill(t, d.Graph(), Overlay, fakeImage{id: id("over2"), names: []string{"docker.io/library/over:latest"}, layers: []string{id("z")}})
	if img, err := s.Lookup(t.Context(), "over"); err != nil || img.ID != id("over2") {
		t.Errorf("own image does not win: %v %v", img, err)
	}
	s = withConf(t, d, broken, full)
	if img, err := s.Lookup(t.Context(), "full"); err != nil || img.ID != id("full") {
		t.Errorf("a broken store hides the next: %v", err)
	}
	if _, err := s.Lookup(t.Context(), "nowhere"); !errors.Is(err, errdefs.ErrBroken) || !strings.Contains(err.Error(), broken) {
		t.Errorf("the broken store is not named: %v", err)
	}
	if problems, err := s.Problems(t.Context()); err != nil || len(problems) != 1 || problems[0].Graph != broken {
		t.Errorf("%v %v", problems, err)
	}
}

// TestImagesLock needs two processes: the test starts itself as the other one.
func TestImagesLock(t *testing.T) {
	if dir := os.Getenv("STORE_TEST_HOLD"); dir != "" {
		Open(layout.Dirs{Data: dir}).WithImagesShared(context.Background(), func() error {
			os.Stdout.WriteString("held\n")
			os.Stdin.Read(make([]byte, 1))
			return nil
		})
		return
	}
	s, d := newStore(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestImagesLock$")
	cmd.Env = append(os.Environ(), "STORE_TEST_HOLD="+d.Data)
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	out.Read(make([]byte, 5))
	none := func() error { return nil }
	if err := s.WithImagesShared(t.Context(), none); err != nil {
		t.Errorf("two creators: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.WithImagesExclusive(ctx, func() error { t.Error("both hold it"); return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("remover did not wait: %v", err)
	}
	cmd.Process.Kill()
	if err := s.WithImagesExclusive(t.Context(), none); err != nil {
		t.Errorf("a killed holder keeps the lock: %v", err)
	}
}
