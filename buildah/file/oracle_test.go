package file

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/solver/pb"
	fscopy "github.com/tonistiigi/fsutil/copy"

	"github.com/wherry-containers/wherry/buildah/content"
)

// asBuildKit copies as BuildKit does, by the library that BuildKit uses.
func asBuildKit(src, dst string, a *pb.FileActionCopy) error {
	var at *time.Time
	if a.Timestamp != -1 {
		stamp := time.Unix(0, a.Timestamp)
		at = &stamp
	}
	opt := func(ci *fscopy.CopyInfo) {
		ci.IncludePatterns, ci.ExcludePatterns, ci.Utime = a.IncludePatterns, a.ExcludePatterns, at
		if a.ModeStr != "" {
			ci.ModeStr = a.ModeStr
		} else if m := int(a.Mode); m != -1 {
			ci.Mode = &m
		}
		ci.CopyDirContents, ci.FollowLinks, ci.AlwaysReplaceExistingDestPaths = a.DirCopyContents, a.FollowSymlink, a.AlwaysReplaceExistingDestPaths
		ci.Chown = func(old *fscopy.User) (*fscopy.User, error) { return old, nil }
	}
	names := []string{cleanPath(a.Src)}
	if a.AllowWildcard {
		var err error
		if names, err = fscopy.ResolveWildcards(src, names[0], a.FollowSymlink); err != nil {
			return err
		}
		if len(names) == 0 && !a.AllowEmptyWildcard {
			return fmt.Errorf("%s not found", a.Src)
		}
	}
	for _, name := range names {
		if err := fscopy.Copy(context.Background(), src, name, dst, cleanPath(a.Dest), opt); err != nil {
			return err
		}
	}
	return nil
}

const oracleSource = `
f a.txt 0644 A
f b.txt 0640 B
f exec 4755 x
d dir 0750
f dir/f 0600 F
f dir/g.md 0644 G
d dir/sub 2755
f dir/sub/deep.md 0604 D
d dir/sub/empty 0711
l dir/up ../a.txt
l dir/out ../../../../etc/passwd
l link a.txt
l dirlink dir
l abs /dir/sub
l broken nowhere
l loop loop
h hard a.txt
h hard.txt a.txt
f dir/one 0644 linked
h dir/sub/two dir/one
h dir/hard2 a.txt
p pipe
f dir2/f 0600 F2
d dir2/only 0700
f dir/[x]y 0644 odd
`

const oracleTarget = `
d there 0705
f there/f 0600 old
d there/sub 0700
f there/sub/deep.md 0600 old
f file 0600 old
l linked there
l abslink /there
l out ../../../escape
l dangling made/later
d w 0755
l w/dir ../there
d w/a.txt 0755
d kind 0755
f kind/sub 0644 file-where-a-directory-comes
`

// TestAsBuildKit copies with many combinations of these and compares the trees, or that both refuse. WHERRY_TEST_FULL=1
// takes all of them, which lasts minutes.
func TestAsBuildKit(t *testing.T) {
	sources := []string{"a.txt", "/dir", "dir/", "dir/.", "/", "link", "dirlink", "abs/deep.md", "dirlink/sub", "*.txt", "dir*", "d*/f", "*/sub", "lin?",
		"hard", "pipe", "broken", "missing", "exec", "dir/up", "dir/out", "zzz*", `dir/\[x\]y`, "dir/[[]x*", "loop", "../a.txt", "dir2"}
	dests := []string{"/", "there", "there/", "new", "new/", "new/deep/x", "file", "linked", "linked/", "abslink/y", "out/z", "dangling", "dangling/q/", "w/", "kind", "there/."}
	type variant struct {
		name string
		set  func(*pb.FileActionCopy)
	}
	variants := []variant{
		{"plain", func(*pb.FileActionCopy) {}},
		{"copy", func(a *pb.FileActionCopy) { a.FollowSymlink, a.DirCopyContents, a.AllowWildcard = true, true, true }},
		{"wild", func(a *pb.FileActionCopy) { a.AllowWildcard, a.AllowEmptyWildcard = true, true }},
		{"include", func(a *pb.FileActionCopy) { a.DirCopyContents, a.IncludePatterns = true, []string{"**/*.md", "f"} }},
		{"exclude", func(a *pb.FileActionCopy) {
			a.DirCopyContents, a.ExcludePatterns = true, []string{"sub", "!sub/deep.md", "g*"}
		}},
		{"both", func(a *pb.FileActionCopy) {
			a.AllowWildcard, a.IncludePatterns, a.ExcludePatterns = true, []string{"dir/sub", "sub/**", "*.txt"}, []string{"**/empty"}
		}},
		{"mode", func(a *pb.FileActionCopy) { a.Mode, a.Timestamp, a.FollowSymlink = 0o6751, 1234567890e9, true }},
		{"symbolic", func(a *pb.FileActionCopy) { a.ModeStr, a.DirCopyContents = "u=rwX,go-w,+t", true }},
		{"replace", func(a *pb.FileActionCopy) { a.AlwaysReplaceExistingDestPaths, a.DirCopyContents = true, true }},
	}
	in := t.TempDir()
	plant(t, in, oracleSource)
	age(t, in)
	full := os.Getenv("WHERRY_TEST_FULL") != ""
	for i, v := range variants {
		for j, src := range sources {
			t.Run(v.name+" "+src, func(t *testing.T) {
				t.Parallel()
				for k, dest := range dests {
					if !full && (i+3*j+k)%16 != 0 {
						continue
					}
					a := &pb.FileActionCopy{Src: src, Dest: dest, Mode: -1, Timestamp: -1, CreateDestPath: true}
					v.set(a)
					compareWithBuildKit(t, in, a)
				}
			})
		}
	}
}

func compareWithBuildKit(t *testing.T, in string, a *pb.FileActionCopy) {
	t.Helper()
	dir := t.TempDir()
	var trees, errs [2]string
	for i, do := range []func(string) error{
		func(to string) error { return asBuildKit(in, to, a) },
		func(to string) error {
			view, err := content.Open(t.Context(), in, content.Options{})
			noError(t, err)
			defer view.Close()
			return Do(t.Context(), &pb.FileAction{Action: &pb.FileAction_Copy{Copy: a}}, to, view, Users{})
		},
	} {
		to := filepath.Join(dir, fmt.Sprint("out", i))
		noError(t, os.Mkdir(to, 0o755))
		plant(t, to, oracleTarget)
		age(t, to)
		if err := do(to); err != nil {
			errs[i] = err.Error()
		}
		trees[i] = listing(t, to, false)
	}
	if (errs[0] == "") != (errs[1] == "") {
		t.Errorf("copy %v\nBuildKit: %q\nwherry:   %q", a, errs[0], errs[1])
	} else if errs[0] == "" && trees[0] != trees[1] {
		t.Errorf("copy %v\n%s", a, differences(trees[0], trees[1]))
	}
	if _, err := os.Lstat(filepath.Join(dir, "escape")); err == nil {
		t.Errorf("copy %v: a link led out of the tree", a)
	}
}

func differences(want, got string) string {
	var b strings.Builder
	in := func(all, line string) bool { return strings.Contains("\n"+all+"\n", "\n"+line+"\n") }
	for _, l := range strings.Split(want, "\n") {
		if !in(got, l) {
			b.WriteString("- " + l + "\n")
		}
	}
	for _, l := range strings.Split(got, "\n") {
		if !in(want, l) {
			b.WriteString("+ " + l + "\n")
		}
	}
	return b.String()
}
