package layers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/containers/storage"

	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// victim makes layers until it is killed.
func victim(place string) int {
	dirs := layout.Dirs{Data: filepath.Join(place, "data"), Run: filepath.Join(place, "run")}
	lib, err := storage.GetStore(storage.StoreOptions{GraphRoot: dirs.Graph(), RunRoot: dirs.GraphRun(), GraphDriverName: "overlay", GraphDriverOptions: []string{"overlay.skip_mount_home=true"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := Open(context.Background(), Options{Dirs: dirs, Storage: lib, Driver: "overlay"})
	for i := 0; err == nil; i++ {
		err = churn(s, i)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func churn(s *Store, i int) error {
	ctx := context.Background()
	var stacks [][]string
	for j := range 2 {
		var stack []string
		for range 2 {
			d, err := s.Begin(ctx, stack)
			if err != nil {
				return err
			}
			if err := write(d.Root(), map[string]string{fmt.Sprint(i, j, len(stack)): "x", "same": fmt.Sprint(i)}); err != nil {
				return err
			}
			if stack, err = d.Commit(ctx, Info{}); err != nil {
				return err
			}
		}
		stacks = append(stacks, stack)
	}
	_, err := s.Chain(ctx, append(stacks[0], stacks[1]...))
	return err
}

// Whenever a build is killed, every layer that is there is whole, and the next one leaves nothing of it.
func TestKilledAtAnyTime(t *testing.T) {
	f := newFixture(t, "overlay")
	place := filepath.Dir(f.dirs.Data)
	for range 8 {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "_LAYERS_TEST_VICTIM="+place)
		f.must(cmd.Start())
		time.Sleep(time.Duration(30+rand.IntN(150)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
	}
	list, err := f.lib.Layers()
	f.must(err)
	if len(list) == 0 {
		t.Fatal("the victims made no layer")
	}
	f.reopen("overlay")
	if list, err = f.lib.Layers(); err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i].Flags["incomplete"] == true {
			continue // the next command that writes to the store removes it
		}
		f.sound(list[i].ID)
	}
	staging := filepath.Join(f.dirs.Graph(), "overlay", "staging")
	old := time.Now().Add(-time.Hour)
	entries, err := os.ReadDir(staging)
	f.must(err)
	for _, e := range entries {
		f.must(os.Chtimes(filepath.Join(staging, e.Name()), old, old))
	}
	f.reopen("overlay")
	if entries, err = os.ReadDir(staging); err != nil || len(entries) != 0 {
		t.Errorf("left in staging: %v %v", entries, err)
	}
	if left := buildcache.Leftovers(f.dirs, true); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	if entries, err = os.ReadDir(buildcache.RunDir(f.dirs)); err != nil || len(entries) != 1 {
		t.Errorf("mount points: %v %v", entries, err)
	}
}

// A living build's draft is nobody's to sweep.
func TestSweepSparesTheLiving(t *testing.T) {
	f := newFixture(t, "overlay")
	d, err := f.Begin(t.Context(), nil)
	f.must(err)
	old := time.Now().Add(-time.Hour)
	f.must(os.Chtimes(d.place, old, old))
	second, err := Open(t.Context(), Options{Dirs: f.dirs, Storage: f.lib, Driver: "overlay"})
	f.must(err)
	f.must(second.Close())
	f.must(os.WriteFile(d.Root()+"/x", nil, 0o644))
	if _, err := d.Commit(t.Context(), Info{}); err != nil {
		t.Error(err)
	}
}

// Two that commit the same content at the same time get one whole layer.
func TestCommitTogether(t *testing.T) {
	f := newFixture(t, "overlay")
	when := time.Unix(1, 0)
	errs := make(chan error)
	for range 6 {
		go func() {
			d, err := f.Begin(t.Context(), nil)
			if err == nil {
				err = write(d.Root(), map[string]string{"a": "1"})
			}
			if err == nil {
				err = os.Chtimes(d.Root()+"/a", when, when)
			}
			if err == nil {
				_, err = d.Commit(t.Context(), Info{})
			}
			errs <- err
		}()
	}
	for range 6 {
		f.must(<-errs)
	}
	list, err := f.lib.Layers()
	f.must(err)
	if len(list) != 1 {
		t.Errorf("%d layers", len(list))
	}
	f.sound(list[0].ID)
}
