package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/layout"
)

func newCache(t *testing.T) (*Cache, layout.Dirs) {
	dir := t.TempDir()
	d := layout.Dirs{Data: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run")}
	c := Open(d)
	t.Cleanup(func() { c.Close() })
	return c, d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRecords(t *testing.T) {
	c, d := newCache(t)
	key := digest.FromString("key")
	layer := digest.FromString("layer").Encoded()
	if r, err := c.Get(key); r != nil || err != nil {
		t.Error(r, err)
	}
	must(t, c.Put(key, Record{Outputs: [][]string{{layer}, nil}, Description: "step"}))
	if r, err := c.Get(key); r != nil || err != nil {
		t.Errorf("its layers are not there: %v %v", r, err)
	}
	must(t, os.MkdirAll(filepath.Join(d.Graph(), "overlay", layer, "diff"), 0o700))
	r, err := c.Get(key)
	if err != nil || r == nil || r.Description != "step" || len(r.Outputs) != 2 || r.Outputs[0][0] != layer || r.Kind != buildcache.KindRegular {
		t.Fatal(r, err)
	}
	if needed, err := buildcache.Held(d); err != nil || !needed[layer] {
		t.Errorf("not held: %v %v", needed, err)
	}
	must(t, c.Close())
	if needed, err := buildcache.Held(d); err != nil || needed[layer] {
		t.Errorf("still held: %v %v", needed, err)
	}
	for _, bad := range []digest.Digest{"", "x", "sha256:../../x"} {
		if _, err := c.Get(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
		if err := c.Put(bad, Record{}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// Several write the same record and read it meanwhile: each sees a whole one.
func TestPutTogether(t *testing.T) {
	c, _ := newCache(t)
	key := digest.FromString("key")
	must(t, c.Put(key, Record{Description: strings.Repeat("x", 10000)}))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 20 {
				if i%2 == 0 {
					if err := c.Put(key, Record{Description: strings.Repeat("x", 10000)}); err != nil {
						t.Error(err)
					}
				} else if r, err := c.Get(key); err != nil || r == nil || len(r.Description) != 10000 {
					t.Error(r, err)
				}
			}
		})
	}
	all.Wait()
}

func TestContent(t *testing.T) {
	c, d := newCache(t)
	stack := []string{strings.Repeat("a", 64), strings.Repeat("b", 64)}
	selectors := []string{"", "/x", "a b\nc", "\x00\xff", strings.Repeat("long", 1000)}
	for i, s := range selectors {
		if _, ok := c.Content(stack, s); ok {
			t.Errorf("%q is known", s)
		}
		c.PutContent(stack, s, digest.FromString(fmt.Sprint(i)))
	}
	for _, reader := range []*Cache{c, Open(d)} {
		for i, s := range selectors {
			if got, ok := reader.Content(stack, s); !ok || got != digest.FromString(fmt.Sprint(i)) {
				t.Errorf("%q: %v %v", s, got, ok)
			}
		}
		if _, ok := reader.Content(stack[:1], "/x"); ok {
			t.Error("another stack has the same contents")
		}
	}
	files, err := os.ReadDir(buildcache.ContentDir(d))
	must(t, err)
	path := filepath.Join(buildcache.ContentDir(d), files[0].Name())
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, data[:len(data)-10], 0o600)) // a killed writer's
	if _, ok := Open(d).Content(stack, "/x"); !ok {
		t.Error("half a line spoils the others")
	}
	if _, ok := Open(d).Content(stack, selectors[4]); ok {
		t.Error("half a digest counts")
	}
}

func TestDirs(t *testing.T) {
	c, d := newCache(t)
	hostile := "../../../etc\x00\n/" + strings.Repeat("x", 5000)
	one, err := c.Dir(t.Context(), hostile, Shared)
	must(t, err)
	must(t, os.WriteFile(one.Path()+"/f", nil, 0o600))
	two, err := c.Dir(t.Context(), hostile, Shared)
	must(t, err)
	if two.Path() != one.Path() || !strings.HasPrefix(one.Path(), buildcache.MountsDir(d)) {
		t.Errorf("%s %s", one.Path(), two.Path())
	}
	private, err := c.Dir(t.Context(), hostile, Private)
	must(t, err)
	if private.Path() == one.Path() {
		t.Error("a private directory is shared")
	}
	again, err := c.Dir(t.Context(), hostile, Private)
	must(t, err)
	if again.Path() == private.Path() || again.Path() == one.Path() {
		t.Error("a private directory is shared")
	}
	for _, dir := range []*Dir{one, two, private, again} {
		must(t, dir.Close())
	}
	back, err := c.Dir(t.Context(), hostile, Private)
	must(t, err)
	if _, err := os.Stat(back.Path() + "/f"); err != nil {
		t.Errorf("what was there is gone: %v", err)
	}
	must(t, back.Close())
}

func TestLockedDirs(t *testing.T) {
	c, _ := newCache(t)
	one, err := c.Dir(t.Context(), "id", Locked)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Dir(ctx, "id", Locked); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("did not wait: %v", err)
	}
	got := make(chan string)
	go func() {
		two, err := c.Dir(t.Context(), "id", Locked)
		if err != nil {
			t.Error(err)
			got <- ""
			return
		}
		got <- two.Path()
		two.Close()
	}()
	path := one.Path()
	must(t, one.Close())
	if second := <-got; second != path {
		t.Errorf("%s after %s", second, path)
	}
}

// The content that a directory begins with is made once, also when several want it, and again when its maker failed.
func TestDirFrom(t *testing.T) {
	c, _ := newCache(t)
	fail := errors.New("no")
	if _, err := c.DirFrom(t.Context(), "id", Shared, func(dir string) error {
		return errors.Join(os.WriteFile(dir+"/half", nil, 0o600), fail)
	}); !errors.Is(err, fail) {
		t.Error(err)
	}
	var mu sync.Mutex
	made := 0
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			d, err := c.DirFrom(t.Context(), "id", Shared, func(dir string) error {
				mu.Lock()
				made++
				mu.Unlock()
				return os.WriteFile(dir+"/begun", nil, 0o600)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(d.Path() + "/begun"); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(d.Path() + "/half"); err == nil {
				t.Error("what a failed maker left is there")
			}
			d.Close()
		})
	}
	all.Wait()
	if made != 1 {
		t.Errorf("made %d times", made)
	}
}

func FuzzContents(f *testing.F) {
	f.Add("a b\n\"/x\" sha256:" + strings.Repeat("0", 64) + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "c")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		for _, d := range readContents(path, []string{"a", "b"}) {
			if d.Validate() != nil {
				t.Errorf("%q", d)
			}
		}
	})
}
