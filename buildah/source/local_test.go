package source

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/solver/pb"
	"github.com/tonistiigi/fsutil"

	"github.com/wherry-containers/wherry/buildah/content"
)

func list(patterns ...string) string {
	text, _ := json.Marshal(patterns)
	return string(text)
}

// names lists the files of a view.
func names(t *testing.T, v *content.View) []string {
	t.Helper()
	var out []string
	var walk func(*content.Entry)
	walk = func(e *content.Entry) {
		children, err := v.List(e)
		noError(t, err)
		for _, c := range children {
			out = append(out, c.Path())
			walk(c)
		}
	}
	walk(v.Top())
	return out
}

// TestLocal has the same directory looked at and sent: what a build sees is the same.
func TestLocal(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "context")
	write(t, dir, map[string]string{
		"a": "A", "b.txt": "B", "dir/c": "C", "dir/d.txt": "D", "dir/deep/e": "E", "skip/f": "F", "skip/keep/g": "G",
		"link": "-> dir/c", "dlink": "-> dir", "out": "-> ../../../etc/passwd", "abs": "-> /dir/d.txt", ".dockerignore": "skip",
	})
	noError(t, os.Chmod(dir, 0o700))
	noError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o700))
	for _, c := range []struct {
		name  string
		attrs map[string]string
		want  string
	}{
		{"all", nil, `["/.dockerignore","/a","/abs","/b.txt","/dir","/dir/c","/dir/d.txt","/dir/deep","/dir/deep/e","/dlink","/empty","/link","/out","/skip","/skip/f","/skip/keep","/skip/keep/g"]`},
		{"exclude", map[string]string{pb.AttrExcludePatterns: list("skip", "**/*.txt", "!skip/keep")}, `["/.dockerignore","/a","/abs","/dir","/dir/c","/dir/deep","/dir/deep/e","/dlink","/empty","/link","/out","/skip","/skip/keep","/skip/keep/g"]`},
		{"include", map[string]string{pb.AttrIncludePatterns: list("dir/deep", "*.txt")}, `["/b.txt","/dir","/dir/deep","/dir/deep/e"]`},
		{"follow", map[string]string{pb.AttrFollowPaths: list("link", "abs", "nope")}, `["/abs","/dir","/dir/c","/dir/d.txt","/link"]`},
		{"follow a link above", map[string]string{pb.AttrFollowPaths: list("out", "dlink/deep")}, `["/dir","/dir/deep","/dir/deep/e","/dlink","/out"]`},
		{"follow all", map[string]string{pb.AttrFollowPaths: list("."), pb.AttrExcludePatterns: list("skip", "dir", "*l*", "out", "empty")}, `["/.dockerignore","/a","/abs","/b.txt"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Identify(&pb.SourceOp{Identifier: "local://context", Attrs: c.attrs}, nil)
			noError(t, err)
			var digests []string
			for _, sent := range []bool{false, true, true} {
				env := newEnv(t)
				files, err := fsutil.NewFS(dir)
				noError(t, err)
				attach(t, env, filesync.NewFSSyncProvider(filesync.StaticDirSource{"context": files}))
				if !sent {
					env.Local = func(string, string) (string, bool) { return dir, true }
				}
				tr, err := s.Fetch(t.Context(), env)
				noError(t, err)
				got, _ := json.Marshal(names(t, tr.View))
				if string(got) != c.want {
					t.Errorf("sent %v:\n%s, want\n%s", sent, got, c.want)
				}
				if sent == (tr.Dir == dir) {
					t.Errorf("sent %v, but the directory is %s", sent, tr.Dir)
				}
				d, err := tr.View.Digest(t.Context())
				noError(t, err)
				digests = append(digests, d.String())
			}
			if digests[0] != digests[1] || digests[1] != digests[2] {
				t.Errorf("digests differ: %v", digests)
			}
		})
	}
}

// TestLocalTwice has a directory sent twice: what was removed is gone, what came is there, and two builds at a time do
// not share the place.
func TestLocalTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"a": "A", "b": "B"})
	env := newEnv(t)
	files, err := fsutil.NewFS(dir)
	noError(t, err)
	attach(t, env, filesync.NewFSSyncProvider(filesync.StaticDirSource{"context": files}))
	s, err := Identify(&pb.SourceOp{Identifier: "local://context"}, nil)
	noError(t, err)
	var release []func()
	env.Hold = func(r func()) { release = append(release, r) }
	first, err := s.Fetch(t.Context(), env)
	noError(t, err)
	beside, err := s.Fetch(t.Context(), env)
	noError(t, err)
	if first.Dir == beside.Dir {
		t.Error("two builds at a time share a directory")
	}
	for _, r := range release {
		r()
	}
	noError(t, os.Remove(filepath.Join(dir, "a")))
	write(t, dir, map[string]string{"c": "C"})
	again, err := s.Fetch(t.Context(), env)
	noError(t, err)
	// Whether it is one of the two depends on forks of other tests, whose children hold the locks for a moment.
	if exists(filepath.Join(again.Dir, "a")) || read(t, again, "c") != "C" {
		t.Errorf("in %s after %s: %v", again.Dir, first.Dir, names(t, again.View))
	}
}

func TestLocalWithoutSession(t *testing.T) {
	t.Parallel()
	s, err := Identify(&pb.SourceOp{Identifier: "local://context"}, nil)
	noError(t, err)
	_, err = s.Fetch(context.Background(), newEnv(t))
	says(t, err, "no session")
	env := newEnv(t)
	attach(t, env, filesync.NewFSSyncProvider(filesync.StaticDirSource{}))
	_, err = s.Fetch(t.Context(), env)
	says(t, err, "no access allowed")
}
