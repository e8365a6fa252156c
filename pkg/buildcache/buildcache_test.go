package buildcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/layout"
)

func dirs(t testing.TB) layout.Dirs {
	dir := t.TempDir()
	return layout.Dirs{Data: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run")}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// idOf is the id of a layer, or a key.
func idOf(n int) string { return fmt.Sprintf("%04x%060d", n, 0) }

func write(t testing.TB, path string, content any) {
	t.Helper()
	data, err := json.Marshal(content)
	must(t, err)
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, data, 0o600))
}

// fill makes layers 1 to n of 100 bytes each, a chain, and images on some of them.
func fill(t testing.TB, d layout.Dirs, n int, images ...int) {
	t.Helper()
	var layers, list []map[string]any
	for i := 1; i <= n; i++ {
		l := map[string]any{"id": idOf(i), "diff-size": 100}
		if i > 1 {
			l["parent"] = idOf(i - 1)
		}
		layers = append(layers, l)
		must(t, os.MkdirAll(filepath.Join(d.Graph(), "overlay", idOf(i), "diff"), 0o700))
	}
	for _, top := range images {
		list = append(list, map[string]any{"id": idOf(1000 + top), "layer": idOf(top)})
	}
	write(t, filepath.Join(d.Graph(), "overlay-layers", "layers.json"), layers)
	write(t, filepath.Join(d.Graph(), "overlay-images", "images.json"), list)
}

// record writes the record of a step that made the layer n on those below it, used some hours ago.
func record(t testing.TB, d layout.Dirs, n int, hours int) {
	t.Helper()
	var stack []string
	for i := 1; i <= n; i++ {
		stack = append(stack, idOf(i))
	}
	r := Record{Outputs: [][]string{stack}, Kind: KindRegular, Description: fmt.Sprint("step ", n), Created: time.Now().Add(-100 * time.Hour)}
	must(t, Write(d, idOf(n), r))
	when := time.Now().Add(-time.Duration(hours) * time.Hour)
	must(t, os.Chtimes(filepath.Join(recordsDir(d), idOf(n)), when, when))
}

func TestRecord(t *testing.T) {
	d := dirs(t)
	if _, err := Read(d, idOf(1)); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	record(t, d, 2, 5)
	r, err := Read(d, idOf(2))
	must(t, err)
	if r.Uses != 0 || time.Since(r.LastUsed) < 4*time.Hour || !slices.Equal(r.Layers(), []string{idOf(1), idOf(2)}) {
		t.Errorf("%+v", r)
	}
	r.Use()
	r.Use()
	if r, err = Read(d, idOf(2)); err != nil || r.Uses != 2 || time.Since(r.LastUsed) > time.Minute {
		t.Errorf("%+v %v", r, err)
	}
	must(t, Write(d, idOf(2), *r))
	if list, err := Records(d); err != nil || len(list) != 1 || list[0].Uses != 0 {
		t.Errorf("%+v %v", list, err)
	}
}

// What is no record of ours counts as none, and never leads out of the store.
func TestHostileRecords(t *testing.T) {
	d := dirs(t)
	must(t, os.MkdirAll(recordsDir(d), 0o700))
	for i, text := range []string{"", "{", "null", `{"Version":99}`, `{"Version":1,"Outputs":[["../../x"]]}`, `{"Version":1,"Outputs":[["` + strings.Repeat("A", 64) + `"]]}`} {
		must(t, os.WriteFile(filepath.Join(recordsDir(d), idOf(i)), []byte(text), 0o600))
		if _, err := Read(d, idOf(i)); !errors.Is(err, ErrNone) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, key := range []string{"", "../x", "a/b", "x"} {
		if _, err := Read(d, key); !errors.Is(err, ErrNone) {
			t.Errorf("%q: %v", key, err)
		}
		if err := Write(d, key, Record{}); err == nil {
			t.Errorf("%q is taken", key)
		}
	}
	if err := Write(d, idOf(1), Record{Outputs: [][]string{{"../x"}}}); err == nil {
		t.Error("a path is taken for a layer")
	}
	if left := Leftovers(d, true); len(left) != 6 {
		t.Errorf("%+v", left)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"Version":1,"Outputs":[["` + idOf(1) + `"]]}` + "\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "r")
		must(t, os.WriteFile(path, data, 0o600))
		if r, err := readRecord(path); err == nil {
			for _, id := range r.Layers() {
				if len(id) != 64 || !isHex(id) {
					t.Errorf("layer %q", id)
				}
			}
		}
	})
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"until=24h", "id~=a", "type!=x", "inuse", "=", "~="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if match, err := ParseFilters([]string{text}, time.Now()); err == nil {
			match(&Entry{ID: "x"})
		}
	})
}

func plan(t *testing.T, d layout.Dirs, o PruneOptions) string {
	t.Helper()
	list, err := Plan(t.Context(), d, o)
	must(t, err)
	var names []string
	for _, e := range list {
		names = append(names, strings.TrimPrefix(e.Description, "step "))
	}
	return strings.Join(names, " ")
}

func TestPlan(t *testing.T) {
	d := dirs(t)
	fill(t, d, 5, 2) // an image stands on 2; layer 1 came with it
	for n, hours := range map[int]int{2: 50, 3: 40, 4: 30, 5: 20} {
		record(t, d, n, hours)
	}
	for _, c := range []struct {
		o    PruneOptions
		want string
	}{
		{PruneOptions{}, "3 4 5"},
		{PruneOptions{All: true}, "2 3 4 5"},
		{PruneOptions{All: true, Unused: 35 * time.Hour}, "2 3"},
		{PruneOptions{All: true, Filters: []string{"until=35h"}}, "2 3"},
		{PruneOptions{All: true, Filters: []string{"description~=[35]"}}, "3 5"},
		{PruneOptions{All: true, Filters: []string{"description==step 4"}}, "4"},
		{PruneOptions{All: true, Filters: []string{"shared", "type=regular"}}, "2"},
		{PruneOptions{All: true, Filters: []string{"type!=regular"}}, ""},
		{PruneOptions{All: true, Filters: []string{"inuse"}}, ""},
		// Layers 3 to 5 take 300 bytes. What something stands on cannot make room.
		{PruneOptions{All: true, MaxUsed: 300}, ""},
		{PruneOptions{All: true, MaxUsed: 299}, "5"},
		{PruneOptions{All: true, MaxUsed: 150}, "5 4"},
		{PruneOptions{All: true, MaxUsed: 1, Reserved: 300}, ""},
		{PruneOptions{All: true, MinFree: 1}, ""},
		{PruneOptions{All: true, MinFree: 1 << 60}, "5 4 3"},
	} {
		if got := plan(t, d, c.o); got != c.want {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
	}
	for _, bad := range []string{"", "x=y", "until=then", "until!=1h", "id~=["} {
		if _, err := ParseFilters([]string{bad}, time.Now()); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestList(t *testing.T) {
	d := dirs(t)
	fill(t, d, 3, 2)
	record(t, d, 2, 2)
	record(t, d, 3, 1)
	place := filepath.Join(MountsDir(d), idOf(7)+"-0")
	must(t, os.MkdirAll(filepath.Join(place, "data"), 0o700))
	must(t, os.WriteFile(filepath.Join(place, "data", "x"), make([]byte, 5000), 0o600))
	must(t, WriteMount(place, "go"))
	list, err := List(t.Context(), d)
	must(t, err)
	got := map[string]*Entry{}
	for _, e := range list {
		got[e.Description] = e
	}
	if e := got["step 2"]; e == nil || e.Size != 100 || !e.Shared || e.Private != 0 {
		t.Errorf("%+v", e)
	}
	if e := got["step 3"]; e == nil || e.Size != 100 || e.Shared || !slices.Equal(e.Parents, []string{idOf(1)[:idLength], idOf(2)[:idLength]}) {
		t.Errorf("%+v", e)
	}
	if e := got["cache directory go"]; e == nil || e.Kind != KindMount || e.Size < 4096 || e.InUse {
		t.Errorf("%+v", e)
	}
	if e := got["layer of an image below"]; e == nil || e.Size != 100 || !e.Shared {
		t.Errorf("%+v", e)
	}
	if total, free := Total(list); total != free || total < 100+4096 || total > 100+3*4096 {
		t.Errorf("%d %d", total, free)
	}
}

// What a living process holds is not planned; what a dead one held is.
func TestLease(t *testing.T) {
	d := dirs(t)
	fill(t, d, 3)
	record(t, d, 3, 1)
	lease, err := OpenLease(d)
	must(t, err)
	must(t, lease.Hold(t.Context(), []string{idOf(1), idOf(2), idOf(3)}))
	must(t, lease.Hold(t.Context(), []string{idOf(1)}))
	if got := plan(t, d, PruneOptions{All: true}); got != "" {
		t.Errorf("planned while it is in use: %q", got)
	}
	if needed, err := Needed(d); err != nil || len(needed) != 3 {
		t.Errorf("%v %v", needed, err)
	}
	must(t, os.Remove(filepath.Join(recordsDir(d), idOf(3))))
	if needed, err := Needed(d); err != nil || len(needed) != 3 {
		t.Errorf("without the record: %v %v", needed, err)
	}
	must(t, lease.Release())
	if needed, err := Needed(d); err != nil || len(needed) != 0 {
		t.Errorf("after the release: %v %v", needed, err)
	}
	must(t, lease.Hold(t.Context(), []string{idOf(3)}))
	if needed, err := Needed(d); err != nil || len(needed) != 1 {
		t.Errorf("held again: %v %v", needed, err)
	}
	must(t, lease.Close())
	must(t, lease.Close())
	if needed, err := Needed(d); err != nil || len(needed) != 0 {
		t.Errorf("after the lease: %v %v", needed, err)
	}
	dead := filepath.Join(leasesDir(d), "lease-dead")
	must(t, os.WriteFile(dead, []byte(idOf(2)+"\n"), 0o600))
	if held, err := Held(d); err != nil || len(held) != 0 {
		t.Errorf("%v %v", held, err)
	}
	if _, err := os.Lstat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead lease is still there: %v", err)
	}
}

func TestRemove(t *testing.T) {
	d := dirs(t)
	fill(t, d, 2)
	record(t, d, 2, 1)
	list, err := Plan(t.Context(), d, PruneOptions{All: true})
	must(t, err)
	removed, layers, err := Remove(d, list)
	if err != nil || len(removed) != 1 || !slices.Equal(layers, []string{idOf(1), idOf(2)}) {
		t.Errorf("%v %v %v", removed, layers, err)
	}
	if rest, err := Records(d); err != nil || len(rest) != 0 {
		t.Errorf("%v %v", rest, err)
	}
}

func TestLocked(t *testing.T) {
	d := dirs(t)
	inside, running := make(chan bool), 0
	for range 4 {
		go func() {
			err := Locked(t.Context(), d, "x", func() error {
				if running++; running > 1 {
					t.Error("two at a time")
				}
				time.Sleep(5 * time.Millisecond)
				running--
				return nil
			})
			inside <- err == nil
		}()
	}
	for range 4 {
		if !<-inside {
			t.Error("not run")
		}
	}
	if entries, _ := os.ReadDir(locksDir(d)); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}
