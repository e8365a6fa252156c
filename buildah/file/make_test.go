package file

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/content"
)

func mkdirAction(p string, mode int32, parents bool) *pb.FileAction {
	return &pb.FileAction{Action: &pb.FileAction_Mkdir{Mkdir: &pb.FileActionMkDir{Path: p, Mode: mode, MakeParents: parents, Timestamp: -1}}}
}

func mkfileAction(p string, mode int32, data string) *pb.FileAction {
	return &pb.FileAction{Action: &pb.FileAction_Mkfile{Mkfile: &pb.FileActionMkFile{Path: p, Mode: mode, Data: []byte(data), Timestamp: -1}}}
}

func rmAction(p string, wild, absent bool) *pb.FileAction {
	return &pb.FileAction{Action: &pb.FileAction_Rm{Rm: &pb.FileActionRm{Path: p, AllowWildcard: wild, AllowNotFound: absent}}}
}

func symlinkAction(old, at string) *pb.FileAction {
	return &pb.FileAction{Action: &pb.FileAction_Symlink{Symlink: &pb.FileActionSymlink{Oldpath: old, Newpath: at, Timestamp: -1}}}
}

func TestMake(t *testing.T) {
	t.Parallel()
	const tree = "d dir 0755\nf dir/f 0644 F\nf dir/g 0644 G\nl up ../../../outside\nl link dir\nl dangling dir/later\np pipe\nf file 0644 x"
	for _, c := range []struct {
		name string
		a    *pb.FileAction
		want string // what differs afterwards
		err  string
	}{
		{"mkdir", mkdirAction("/new", 0o700, false), "+ new 040700 0:0\n", ""},
		{"mkdir exact mode", mkdirAction("/new", 0o777, false), "+ new 040777 0:0\n", ""},
		{"mkdir there", mkdirAction("/dir", 0o700, false), "", ""},
		{"mkdir without parent", mkdirAction("/a/b", 0o700, false), "", "no such file"},
		{"mkdir with parents", mkdirAction("/a/b", 0o711, true), "+ a 040711 0:0\n+ a/b 040711 0:0\n", ""},
		{"mkdir parents there", mkdirAction("/dir", 0o711, true), "", ""},
		{"mkdir behind a link", mkdirAction("/link/x", 0o700, true), "+ dir/x 040700 0:0\n", ""},
		{"mkdir out", mkdirAction("/up/x", 0o700, true), "+ outside 040700 0:0\n+ outside/x 040700 0:0\n", ""},
		{"mkdir dotdot", mkdirAction("/../../x", 0o700, true), "+ x 040700 0:0\n", ""},
		{"mkdir over a file", mkdirAction("/file/x", 0o700, true), "", "not a directory"},
		{"mkfile", mkfileAction("/dir/new", 0o640, "text"), "+ dir/new 100640 0:0 text\n", ""},
		{"mkfile over a file", mkfileAction("/file", 0o600, "text"), "- file 100644 0:0 x\n+ file 100600 0:0 text\n", ""},
		{"mkfile over a pipe", mkfileAction("/pipe", 0o600, "text"), "- pipe 010600 0:0\n+ pipe 100600 0:0 text\n", ""},
		{"mkfile over a directory", mkfileAction("/dir", 0o600, "text"), "", "is a directory"},
		{"mkfile at the root", mkfileAction("/", 0o600, "text"), "", "is a directory"},
		{"mkfile out", mkfileAction("/up", 0o600, "text"), "+ outside 100600 0:0 text\n", ""},
		{"mkfile behind a dangling link", mkfileAction("/dangling", 0o600, "text"), "+ dir/later 100600 0:0 text\n", ""},
		{"mkfile without parent", mkfileAction("/a/b", 0o600, "text"), "", "no such file"},
		{"symlink", symlinkAction("../x", "/dir/l"), "+ dir/l 120777 0:0 -> ../x\n", ""},
		{"symlink there", symlinkAction("x", "/file"), "", "file exists"},
		{"rm", rmAction("/dir/f", false, false), "- dir/f 100644 0:0 F\n", ""},
		{"rm directory", rmAction("/dir", false, false), "- dir 040755 0:0\n- dir/f 100644 0:0 F\n- dir/g 100644 0:0 G\n", ""},
		{"rm wildcard", rmAction("/d*/[fg]", true, false), "- dir/f 100644 0:0 F\n- dir/g 100644 0:0 G\n", ""},
		{"rm no wildcard", rmAction("/dir/[fg]", false, true), "", ""},
		{"rm link", rmAction("/link", false, false), "- link 120777 0:0 -> dir\n", ""},
		{"rm behind a link", rmAction("/link/f", false, false), "- dir/f 100644 0:0 F\n", ""},
		{"rm absent", rmAction("/nope", false, false), "", "no such file"},
		{"rm absent allowed", rmAction("/nope/x", false, true), "", ""},
		{"rm root", rmAction("/", false, false), "", "no name to remove"},
		{"rm above", rmAction("/..", false, false), "", "no name to remove"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			dir := filepath.Join(parent, "root")
			noError(t, os.Mkdir(dir, 0o755))
			noError(t, os.WriteFile(filepath.Join(parent, "outside"), []byte("safe"), 0o600))
			plant(t, dir, tree)
			before := listing(t, dir, false)
			err := Do(t.Context(), c.a, dir, nil, Users{})
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if err != nil && strings.Contains(err.Error(), parent) {
				t.Errorf("the error names a path of this machine: %v", err)
			}
			if got := differences(before, listing(t, dir, false)); got != c.want {
				t.Errorf("differs by\n%swant\n%s", got, c.want)
			}
			if data, _ := os.ReadFile(filepath.Join(parent, "outside")); string(data) != "safe" {
				t.Error("a file outside was changed")
			}
		})
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	dir, in := t.TempDir(), t.TempDir()
	plant(t, in, "f d/f 0644 x\nl d/l f")
	stamp := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	view, err := content.Open(t.Context(), in, content.Options{})
	noError(t, err)
	for _, a := range []*pb.FileAction{
		{Action: &pb.FileAction_Mkdir{Mkdir: &pb.FileActionMkDir{Path: "/a/b", Mode: 0o755, MakeParents: true, Timestamp: stamp.UnixNano()}}},
		{Action: &pb.FileAction_Mkfile{Mkfile: &pb.FileActionMkFile{Path: "/m", Mode: 0o644, Timestamp: stamp.UnixNano()}}},
		{Action: &pb.FileAction_Symlink{Symlink: &pb.FileActionSymlink{Oldpath: "m", Newpath: "/s", Timestamp: stamp.UnixNano()}}},
		{Action: &pb.FileAction_Copy{Copy: &pb.FileActionCopy{Src: "/", Dest: "/c/d", DirCopyContents: true, CreateDestPath: true, Mode: -1, Timestamp: stamp.UnixNano()}}},
	} {
		noError(t, Do(t.Context(), a, dir, view, Users{}))
	}
	for _, line := range strings.Split(listing(t, dir, true), "\n")[1:] {
		if !strings.HasSuffix(line, " @981173106") {
			t.Errorf("another time: %s", line)
		}
	}
}

func TestOwners(t *testing.T) {
	t.Parallel()
	if oneUser() {
		t.Skip("the user namespace has one user only")
	}
	root, in := t.TempDir(), t.TempDir()
	plant(t, root, "f etc/passwd 0644 app:x:7:8::/:/bin/sh\nf etc/group 0644 team:x:9:")
	plant(t, in, "f f 0644 x")
	linked, escaping := t.TempDir(), t.TempDir()
	plant(t, linked, "f usr/passwd 0644 app:x:7:8::/:/bin/sh\nl etc/passwd ../usr/passwd")
	plant(t, escaping, "l etc/passwd "+strings.Repeat("../", 20)+filepath.Join(root, "etc/passwd")[1:])
	byName := func(name string) *pb.UserOpt {
		return &pb.UserOpt{User: &pb.UserOpt_ByName{ByName: &pb.NamedUserOpt{Name: name}}}
	}
	byID := func(id uint32) *pb.UserOpt { return &pb.UserOpt{User: &pb.UserOpt_ByID{ByID: id}} }
	for _, c := range []struct {
		name  string
		opt   *pb.ChownOpt
		users Users
		want  string
		err   string
	}{
		{"user", &pb.ChownOpt{User: byName("app")}, Users{User: root}, "7:8", ""},
		{"user and group", &pb.ChownOpt{User: byName("app"), Group: byName("team")}, Users{root, root}, "7:9", ""},
		{"id", &pb.ChownOpt{User: byID(5)}, Users{}, "5:5", ""},
		{"ids", &pb.ChownOpt{User: byID(5), Group: byID(6)}, Users{}, "5:6", ""},
		{"unknown", &pb.ChownOpt{User: byName("nobody-knows"), Group: byID(6)}, Users{User: root}, "0:6", ""},
		{"no file", &pb.ChownOpt{User: byName("app")}, Users{User: in}, "0:0", ""},
		{"behind a link", &pb.ChownOpt{User: byName("app")}, Users{User: linked}, "7:8", ""},
		{"behind a link out of the tree", &pb.ChownOpt{User: byName("app")}, Users{User: escaping}, "0:0", ""},
		{"no tree", &pb.ChownOpt{User: byName("app")}, Users{}, "", "cannot be looked up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			view, err := content.Open(t.Context(), in, content.Options{RootOwned: true})
			noError(t, err)
			a := &pb.FileActionCopy{Src: "f", Dest: "/new/f", Owner: c.opt, CreateDestPath: true, Mode: -1, Timestamp: -1}
			err = Do(t.Context(), &pb.FileAction{Action: &pb.FileAction_Copy{Copy: a}}, dir, view, c.users)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			if want := "new 040755 " + c.want + "\nnew/f 100644 " + c.want + " x"; err == nil && !strings.HasSuffix(listing(t, dir, false), want) {
				t.Errorf("%s, want %s", listing(t, dir, false), want)
			}
		})
	}
}

// TestContexts copies from a context, whose files are root's whoever they belong to.
func TestContexts(t *testing.T) {
	t.Parallel()
	in, out := t.TempDir(), t.TempDir()
	plant(t, in, "f a/f 0644 x\nl a/l f\nd a/d 0700\nf skip/f 0644 y\nf .git/x 0644 z")
	noError(t, unix.Chmod(in, 0o700))
	if !oneUser() {
		for _, p := range []string{"a/f", "a/l", "a/d"} {
			noError(t, os.Lchown(filepath.Join(in, p), 5, 6))
		}
	}
	view, err := content.Open(t.Context(), in, content.Options{RootOwned: true, Filter: content.Filter{Exclude: []string{"skip", ".git"}}})
	noError(t, err)
	a := &pb.FileActionCopy{Src: "/", Dest: "/app", DirCopyContents: true, CreateDestPath: true, Mode: -1, Timestamp: -1}
	noError(t, Do(t.Context(), &pb.FileAction{Action: &pb.FileAction_Copy{Copy: a}}, out, view, Users{}))
	want := "app 040755 0:0\napp/a 040755 0:0\napp/a/d 040700 0:0\napp/a/f 100644 0:0 x\napp/a/l 120777 0:0 -> f"
	if got := listing(t, out, false); !strings.HasSuffix(got, want) {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	plain := t.TempDir()
	noError(t, Plain(t.Context(), view, plain))
	if got := listing(t, plain, false); !strings.HasSuffix(got, strings.ReplaceAll(want[len("app 040755 0:0\n"):], "app/", "")) {
		t.Errorf("plain: %s", got)
	}
}

// TestChangedWhileCopied sees that what somebody wrote after the digest was made is not taken for what the digest is of.
func TestChangedWhileCopied(t *testing.T) {
	t.Parallel()
	in := t.TempDir()
	plant(t, in, "f f 0644 old\nf g 0644 same")
	view, err := content.Open(t.Context(), in, content.Options{RootOwned: true, Memory: content.NewMemory(t.TempDir())})
	noError(t, err)
	_, err = view.Digest(t.Context(), content.Selector{})
	noError(t, err)
	do := func() (string, error) {
		out := t.TempDir()
		a := &pb.FileActionCopy{Src: "/", Dest: "/", DirCopyContents: true, CreateDestPath: true, Mode: -1, Timestamp: -1}
		err := Do(t.Context(), &pb.FileAction{Action: &pb.FileAction_Copy{Copy: a}}, out, view, Users{})
		return listing(t, out, false), err
	}
	_, err = do()
	noError(t, err)
	noError(t, os.WriteFile(filepath.Join(in, "f"), []byte("new"), 0o644))
	if got, err := do(); !errors.Is(err, content.ErrChanged) || !strings.Contains(err.Error(), "/f ") || !strings.Contains(got, "f 100644 0:0 new\ng ") {
		t.Errorf("error %v\n%s", err, got)
	}
	noError(t, os.Remove(filepath.Join(in, "f")))
	noError(t, os.Symlink("/etc/passwd", filepath.Join(in, "f")))
	if got, err := do(); !errors.Is(err, content.ErrChanged) || strings.Contains(got, "\nf") || !strings.Contains(got, "\ng ") {
		t.Errorf("error %v for a link in the place of a file\n%s", err, got)
	}
}

// TestSteeringAttributes sees that no file brings in what steers an overlay mount.
func TestSteeringAttributes(t *testing.T) {
	t.Parallel()
	in, out := t.TempDir(), t.TempDir()
	plant(t, in, "f d/f 0644 x")
	for _, name := range []string{"user.mine", "user.overlay.opaque", "user.overlay.redirect"} {
		if err := unix.Setxattr(filepath.Join(in, "d"), name, []byte("y"), 0); err != nil {
			t.Skip("the file system has no attributes of users:", err)
		}
		noError(t, unix.Setxattr(filepath.Join(in, "d/f"), name, []byte("y"), 0))
	}
	view, err := content.Open(t.Context(), in, content.Options{})
	noError(t, err)
	noError(t, Plain(t.Context(), view, out))
	for _, p := range []string{"d", "d/f"} {
		buf := make([]byte, 1000)
		n, err := unix.Listxattr(filepath.Join(out, p), buf)
		noError(t, err)
		if got := string(buf[:n]); got != "user.mine\x00" {
			t.Errorf("%s: attributes %q", p, got)
		}
	}
}
