package source

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/solver/pb"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/buildcache"
)

// TestSweep sees that trees go when nobody has used them for long, and not while somebody does.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"used", "old", "fresh", ".new-left", ".new-fresh"} {
		noError(t, os.MkdirAll(filepath.Join(dir, name, "files"), 0o755))
		age := time.Duration(0)
		if name != "fresh" && name != ".new-fresh" {
			age = keptFor + time.Hour
		}
		at := time.Now().Add(-age)
		noError(t, os.Chtimes(filepath.Join(dir, name), at, at))
	}
	f, err := os.Open(filepath.Join(dir, "used"))
	noError(t, err)
	defer f.Close()
	noError(t, unix.Flock(int(f.Fd()), unix.LOCK_SH))
	sweep(dir)
	entries, _ := os.ReadDir(dir)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got := fmt.Sprint(left); got != "[.new-fresh fresh used]" {
		t.Errorf("left: %s", got)
	}
}

// TestPruned sees that the build cache lists what was fetched, and that a prune takes it when no build uses it.
func TestPruned(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	var release []func()
	env.Hold = func(r func()) { release = append(release, r) }
	context := t.TempDir()
	write(t, context, map[string]string{"a": "A"})
	files, err := fsutil.NewFS(context)
	noError(t, err)
	attach(t, env, filesync.NewFSSyncProvider(filesync.StaticDirSource{"context": files}))
	w := newWeb(t, "text", nil)
	local, err := Identify(&pb.SourceOp{Identifier: "local://context"}, nil)
	noError(t, err)
	for _, s := range []Source{local, w.source(t, "/f", nil)} {
		_, err := s.Fetch(t.Context(), env)
		noError(t, err)
	}
	describe := func() (kinds []string, used int) {
		entries, err := buildcache.List(t.Context(), env.Dirs)
		noError(t, err)
		for _, e := range entries {
			kinds = append(kinds, e.Kind+" "+e.Description)
			if e.InUse {
				used++
			}
		}
		sort.Strings(kinds)
		return kinds, used
	}
	want := fmt.Sprintf("[source.http download %s/f source.http downloaded file source.local context context]", w.URL)
	if kinds, used := describe(); fmt.Sprint(kinds) != want || used != 3 {
		t.Errorf("%v, %d in use, want %s", kinds, used, want)
	}
	prune := func() {
		plan, err := buildcache.Plan(t.Context(), env.Dirs, buildcache.PruneOptions{})
		noError(t, err)
		_, _, err = buildcache.Remove(env.Dirs, plan)
		noError(t, err)
	}
	prune()
	if kinds, _ := describe(); len(kinds) != 3 {
		t.Errorf("a prune took what a build uses: %v", kinds)
	}
	for _, r := range release {
		r()
	}
	prune()
	if kinds, _ := describe(); len(kinds) != 0 {
		t.Errorf("left: %v", kinds)
	}
}
