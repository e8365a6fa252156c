package run_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/solver/pb"

	"github.com/wherry-containers/wherry/buildah/run"
)

// tree lists what is in a directory, links not followed.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if path != dir {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func (b *bench) source(files ...string) string {
	b.Helper()
	dir := b.TempDir()
	for _, f := range files {
		b.must(os.MkdirAll(filepath.Join(dir, filepath.Dir(f)), 0o755))
		b.must(os.WriteFile(filepath.Join(dir, f), []byte(f), 0o644))
	}
	return dir
}

func TestMounts(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	src := b.source("a/file", "b")
	cache := b.TempDir()
	s := sh(`cat /src/a/file /one; cat rel/file; touch /src/x 2>/dev/null || echo " ro"
touch /rw/kept /cache/kept; cat /run/secrets/key; stat -c %a:%u:%g:%F /run/secrets/key
grep -c " /big tmpfs .*size=1024k" /proc/mounts; stat -c %a /big /tmp`)
	s.Meta.Cwd = "/work"
	s.Mounts = []run.Mount{
		{Target: "/src", Source: src, ReadOnly: true},
		{Target: "/one", Source: src, Selector: "b", ReadOnly: true},
		{Target: "rel", Source: src, Selector: "/a", ReadOnly: true},
		{Target: "/rw", Source: src, Selector: "a"},
		{Target: "/cache", Type: pb.MountType_CACHE, Source: cache},
		{Target: "/run/secrets/key", Type: pb.MountType_SECRET, Data: []byte("secret\n"), Mode: 0o440, UID: 5, GID: 6},
		{Target: "/big", Type: pb.MountType_TMPFS, Size: 1 << 20},
		{Target: "/tmp", Type: pb.MountType_TMPFS},
	}
	want := "a/filebа/file ro\nsecret\n440:5:6:regular file\n1\n1777\n1777"
	want = strings.ReplaceAll(want, "а", "a")
	if out := b.output(s); out != want {
		t.Errorf("%q, want %q", out, want)
	}
	if got := tree(t, cache); got != "kept" {
		t.Errorf("cache: %s", got)
	}
	if _, err := os.Stat(filepath.Join(src, "a/kept")); err != nil {
		t.Error(err)
	}
	if got := tree(t, b.root); strings.Contains(got, "kept") || strings.Contains(got, "key") {
		t.Errorf("in the layer: %s", got)
	}
}

// TestLayerIsAsBuildKitLeavesIt: mount points that the root did not have are gone, directories made for them stay unless
// asked, those of the system stay, and nothing else has changed.
func TestLayerIsAsBuildKitLeavesIt(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	b.must(os.Symlink("../run/resolve/stub.conf", b.in("etc/resolv.conf")))
	b.must(os.Chtimes(b.in("etc"), old, old))
	before := tree(t, b.root)
	s := sh("cat /etc/hosts /etc/resolv.conf >/dev/null; cat /etc/deep/er/x; cp -r /kept/. /tmp 2>/dev/null; true")
	src := b.source("x")
	s.Mounts = []run.Mount{{Target: "/etc/deep/er", Source: src}, {Target: "/file", Source: src, Selector: "x"}}
	b.output(s)
	got := strings.Split(tree(t, b.root), " ")
	added := []string{}
	for _, name := range got {
		if !strings.Contains(" "+before+" ", " "+name+" ") {
			added = append(added, name)
		}
	}
	if want := "dev etc/deep proc run run/resolve sys"; strings.Join(added, " ") != want {
		t.Errorf("added %v, want %s", added, want)
	}
	if info, err := os.Stat(b.in("etc")); err != nil || !info.ModTime().Equal(old) {
		t.Errorf("/etc: %v %v", info.ModTime(), err)
	}

	os.RemoveAll(b.in("etc/deep"))
	os.RemoveAll(b.in("run"))
	s.Meta.RemoveMountStubsRecursive = true
	b.output(s)
	if got := tree(t, b.root); strings.Contains(got, "deep") || strings.Contains(got, "resolve") {
		t.Errorf("not removed: %s", got)
	}
}

// TestUsedMountPointsStay: what the step makes of a mount point after all is in the layer.
func TestUsedMountPointsStay(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	src := b.source("x")
	s := sh("true")
	s.Mounts = []run.Mount{{Target: "/there", Source: src}, {Target: "/etc/hosts", Source: src, Selector: "x"}}
	b.must(os.Mkdir(b.in("there"), 0o700))
	b.must(os.WriteFile(b.in("etc/hosts"), nil, 0o644))
	b.output(s)
	if got := tree(t, b.root); !strings.Contains(got, "there") || !strings.Contains(got, "etc/hosts") {
		t.Errorf("what the image had is gone: %s", got)
	}
}
