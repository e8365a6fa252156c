package layers

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containers/storage"
	carchive "github.com/containers/storage/pkg/archive"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/rootfs"
)

// eachDriver runs a test on each way to keep layers.
func eachDriver(t *testing.T, test func(t *testing.T, f *fixture)) {
	for _, driver := range []string{rootfs.Overlay, rootfs.Fuse, rootfs.VFS} {
		t.Run(driver, func(t *testing.T) { test(t, newFixture(t, driver)) })
	}
}

// entries lists a layer's tar stream: names, and what they are.
func (f *fixture) entries(id string) []string {
	f.t.Helper()
	r, err := f.Tar(id)
	f.must(err)
	defer r.Close()
	var list []string
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		f.must(err)
		data, err := io.ReadAll(in)
		f.must(err)
		line := fmt.Sprintf("%s %o", h.Name, h.Mode)
		switch h.Typeflag {
		case tar.TypeLink, tar.TypeSymlink:
			line += " -> " + h.Linkname
		case tar.TypeReg:
			line += " " + string(data)
		}
		list = append(list, line)
	}
}

func (f *fixture) tree(stack []string) map[string]string {
	f.t.Helper()
	m, err := f.Mount(f.t.Context(), stack)
	f.must(err)
	defer m.Close()
	found := map[string]string{}
	f.must(filepath.WalkDir(m.Root(), func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			data, err := os.ReadFile(path)
			rel, _ := filepath.Rel(m.Root(), path)
			found[rel] = string(data)
			return err
		}
		return err
	}))
	return found
}

func (f *fixture) wantTree(stack []string, want map[string]string) {
	f.t.Helper()
	if got := f.tree(stack); !maps.Equal(got, want) {
		f.t.Errorf("tree %v, want %v", got, want)
	}
}

// sound tells whether a layer is what it says of itself: digest, size, and the library's own reading of it.
func (f *fixture) sound(id string) {
	f.t.Helper()
	info, err := f.Layer(id)
	f.must(err)
	none := carchive.Uncompressed
	theirs, err := f.lib.Diff("", id, &storage.DiffOptions{Compression: &none})
	f.must(err)
	defer theirs.Close()
	ours, err := f.Tar(id)
	f.must(err)
	defer ours.Close()
	for who, r := range map[string]io.Reader{"library": theirs, "ours": ours} {
		sum := sha256.New()
		n, err := io.Copy(sum, r)
		f.must(err)
		if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != info.DiffID.String() || n != info.Size {
			f.t.Errorf("%s: %s with %d bytes, recorded are %s, %d", who, got, n, info.DiffID, info.Size)
		}
	}
}

func TestCommit(t *testing.T) {
	eachDriver(t, func(t *testing.T, f *fixture) {
		one := f.step(nil, files(map[string]string{"a": "1", "dir/b": "2", "dir/deep/c": "3"}))
		two := f.step(one, files(map[string]string{"dir/b": "changed", "new": "4"}))
		f.wantTree(one, map[string]string{"a": "1", "dir/b": "2", "dir/deep/c": "3"})
		f.wantTree(two, map[string]string{"a": "1", "dir/b": "changed", "dir/deep/c": "3", "new": "4"})
		info, err := f.Layer(two[1])
		f.must(err)
		if len(two) != 2 || two[0] != one[0] || info.Parent != one[0] || two[1] != ChainID(one[0], info.DiffID) {
			t.Errorf("%v on %v: %+v", two, one, info)
		}
		for _, id := range two {
			f.sound(id)
		}
		if got := f.entries(two[1]); !slices.Equal(got, []string{"dir/ 755", "dir/b 644 changed", "new 644 4"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestWhiteouts(t *testing.T) {
	eachDriver(t, func(t *testing.T, f *fixture) {
		base := f.step(nil, files(map[string]string{"gone": "1", "dir/x": "2", "dir/y": "3", "kept/z": "4", "sub/one": "5", "sub/two": "6"}))
		stack := f.step(base, func(root string) error {
			return errors.Join(os.Remove(root+"/gone"), os.RemoveAll(root+"/dir"), os.Mkdir(root+"/dir", 0o700),
				write(root, map[string]string{"dir/y": "new"}), os.RemoveAll(root+"/sub"), os.Remove(root+"/kept/z"),
				write(root, map[string]string{"made": ""}), os.Remove(root+"/made"))
		})
		f.wantTree(stack, map[string]string{"dir/y": "new"})
		want := []string{"dir/ 700", "dir/.wh.x 0 ", "dir/y 644 new", ".wh.gone 0 ", "kept/ 755", "kept/.wh.z 0 ", ".wh.sub 0 "}
		if got := f.entries(stack[1]); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		f.sound(stack[1])
	})
}

func TestUnchangedIsLeftOut(t *testing.T) {
	f := newFixture(t, rootfs.Overlay)
	base := f.step(nil, files(map[string]string{"dir/a": "1", "dir/b": "2", "other/c": "3"}))
	stack := f.step(base, func(root string) error {
		// Both come into the upper directory as they were.
		return errors.Join(os.Chmod(root+"/dir/a", 0o644), os.Chmod(root+"/other", 0o755), os.Chmod(root+"/dir/b", 0o600))
	})
	if got := f.entries(stack[1]); !slices.Equal(got, []string{"dir/ 755", "dir/b 600 2"}) {
		t.Errorf("%q", got)
	}
	empty := f.step(stack, func(string) error { return nil })
	if got := f.entries(empty[2]); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestKinds(t *testing.T) {
	eachDriver(t, func(t *testing.T, f *fixture) {
		when := time.Unix(1500000000, 123456789)
		stack := f.step(nil, func(root string) error {
			sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(sock)
			long := strings.Repeat("n", 200)
			err = errors.Join(write(root, map[string]string{"b": "linked", long: "long", "ü": "u", "\xff": "raw"}),
				os.Link(root+"/b", root+"/a"), os.Symlink("/else/where", root+"/link"), unix.Mkfifo(root+"/pipe", 0o600),
				unix.Bind(sock, &unix.SockaddrUnix{Name: root + "/sock"}), os.Chtimes(root+"/b", when, when), unix.Chmod(root+"/ü", 0o4755))
			if err == nil {
				unix.Setxattr(root+"/b", "user.mine", []byte("x"), 0)
			}
			return err
		})
		want := []string{"a 644 linked", "b 644 -> a", "link 777 -> /else/where", strings.Repeat("n", 200) + " 644 long", "pipe 600", "ü 4755 u", "\xff 644 raw"}
		if got := f.entries(stack[0]); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		f.sound(stack[0])
		m, err := f.Mount(t.Context(), stack)
		f.must(err)
		defer m.Close()
		info, err := os.Stat(m.Root() + "/b")
		f.must(err)
		if info.ModTime().Unix() != when.Unix() {
			t.Errorf("time %v", info.ModTime())
		}
	})
}

// Layers of the same content are one, whoever makes them, and have the name a pull would give them.
func TestSharedWithPulled(t *testing.T) {
	f := newFixture(t, rootfs.Overlay)
	same := func(root string) error {
		return errors.Join(write(root, map[string]string{"a": "1"}), os.Chtimes(root+"/a", time.Unix(1, 0), time.Unix(1, 0)))
	}
	one, two := f.step(nil, same), f.step(nil, same)
	if !slices.Equal(one, two) {
		t.Errorf("%v %v", one, two)
	}
	list, err := f.lib.Layers()
	f.must(err)
	if len(list) != 1 || list[0].ID != list[0].UncompressedDigest.Encoded() {
		t.Errorf("%+v", list)
	}
	entries, _ := os.ReadDir(filepath.Join(f.dirs.Graph(), "overlay", "staging"))
	if len(entries) != 0 {
		t.Errorf("left in staging: %v", entries)
	}
}

func TestEpoch(t *testing.T) {
	f := newFixture(t, rootfs.Overlay)
	epoch := time.Unix(1000, 0)
	make := func(when time.Time) []string {
		d, err := f.Begin(t.Context(), nil)
		f.must(err)
		f.must(write(d.Root(), map[string]string{"a/b": "1", "old": ""}))
		f.must(os.Chtimes(d.Root()+"/old", time.Unix(5, 0), time.Unix(5, 0)))
		f.must(os.Chtimes(d.Root()+"/a/b", when, when))
		stack, err := d.Commit(t.Context(), Info{Epoch: &epoch})
		f.must(err)
		return stack
	}
	one := make(time.Now())
	if two := make(time.Now().Add(time.Hour)); !slices.Equal(one, two) {
		t.Errorf("%v, later %v", one, two)
	}
	r, err := f.Tar(one[0])
	f.must(err)
	defer r.Close()
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err != nil {
			break
		}
		want := epoch
		if h.Name == "old" {
			want = time.Unix(5, 0)
		}
		if !h.ModTime.Equal(want) {
			t.Errorf("%s %v", h.Name, h.ModTime)
		}
	}
}

// Any stack can be mounted; a chain is made of it only when it is asked for.
func TestChain(t *testing.T) {
	eachDriver(t, func(t *testing.T, f *fixture) {
		base := f.step(nil, files(map[string]string{"base": "1", "x/y": "2"}))
		side := f.step(nil, files(map[string]string{"side": "3"}))
		over := f.step(base, func(root string) error {
			return errors.Join(os.RemoveAll(root+"/x"), os.Mkdir(root+"/x", 0o755), write(root, map[string]string{"x/z": "4"}))
		})
		stack := []string{base[0], side[0], over[1]}
		want := map[string]string{"base": "1", "side": "3", "x/z": "4"}
		f.wantTree(stack, want)
		top, err := f.Chain(t.Context(), stack)
		f.must(err)
		chain, err := f.Ancestry(top)
		f.must(err)
		if len(chain) != 3 || chain[0] != base[0] || chain[1] == side[0] {
			t.Errorf("%v of %v", chain, stack)
		}
		f.wantTree(chain, want)
		for _, id := range chain {
			f.sound(id)
		}
		again, err := f.Chain(t.Context(), chain)
		if err != nil || again != top {
			t.Error(again, err)
		}
		// A step on a stack that is no chain.
		more := f.step(stack, files(map[string]string{"more": "5"}))
		want["more"] = "5"
		f.wantTree(more, want)
		if top, err := f.Chain(t.Context(), nil); top != "" || err != nil {
			t.Error(top, err)
		}
	})
}

func TestDiff(t *testing.T) {
	eachDriver(t, func(t *testing.T, f *fixture) {
		base := f.step(nil, files(map[string]string{"a": "1", "b": "2"}))
		upper := f.step(base, files(map[string]string{"c": "3"}))
		own, err := f.Diff(t.Context(), base, upper)
		f.must(err)
		if !slices.Equal(own, upper[1:]) {
			t.Errorf("%v of %v", own, upper)
		}
		other := f.step(nil, files(map[string]string{"b": "other", "d": "4"}))
		diff, err := f.Diff(t.Context(), upper, other)
		f.must(err)
		if got := f.entries(diff[0]); !slices.Equal(got, []string{".wh.a 0 ", "b 644 other", ".wh.c 0 ", "d 644 4"}) {
			t.Errorf("%q", got)
		}
		f.wantTree(diff, map[string]string{"b": "other", "d": "4"}) // alone there is nothing that it could hide
		f.wantTree(append(slices.Clone(upper), diff...), map[string]string{"b": "other", "d": "4"})
	})
}

func TestGoneLayer(t *testing.T) {
	f := newFixture(t, rootfs.Overlay)
	missing := strings.Repeat("0", 64)
	for name, do := range map[string]func() error{
		"begin": func() error { _, err := f.Begin(t.Context(), []string{missing}); return err },
		"mount": func() error { _, err := f.Mount(t.Context(), []string{missing}); return err },
		"chain": func() error { _, err := f.Chain(t.Context(), []string{missing}); return err },
		"layer": func() error { _, err := f.Layer(missing); return err },
		"hold":  func() error { return f.Hold(t.Context(), []string{missing}) },
	} {
		if err := do(); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMountIsShared(t *testing.T) {
	f := newFixture(t, rootfs.Overlay)
	stack := f.step(f.step(nil, files(map[string]string{"a": "1"})), files(map[string]string{"b": "2"}))
	one, err := f.Mount(t.Context(), stack)
	f.must(err)
	two, err := f.Mount(t.Context(), stack)
	f.must(err)
	if one.Root() != two.Root() {
		t.Error("mounted twice")
	}
	f.must(one.Close())
	f.must(one.Close())
	if _, err := os.Stat(two.Root() + "/b"); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(two.Root()+"/c", nil, 0o644); !errors.Is(err, unix.EROFS) {
		t.Errorf("written to: %v", err)
	}
	f.must(two.Close())
	if _, err := os.Stat(two.Root()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

func TestManyLayers(t *testing.T) {
	f := newFixture(t, rootfs.Overlay)
	var stack []string
	want := map[string]string{}
	for i := range 40 {
		name := fmt.Sprint("file", i)
		stack = f.step(stack, files(map[string]string{name: name}))
		want[name] = name
	}
	f.wantTree(stack, want)
}

// Layers of an additional store are stood on where they are.
func TestAdditionalStore(t *testing.T) {
	other := newFixture(t, rootfs.Overlay)
	base := other.step(nil, files(map[string]string{"below": "1", "gone": "2"}))
	conf := filepath.Join(t.TempDir(), "storage.conf")
	other.must(os.WriteFile(conf, []byte("[storage]\ndriver = \"overlay\"\n[storage.options]\nadditionalimagestores = [\""+other.dirs.Graph()+"\"]\n"), 0o600))
	t.Setenv("CONTAINERS_STORAGE_CONF", conf)
	dir := t.TempDir()
	f := &fixture{t: t, dirs: layout.Dirs{Data: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run")}}
	f.lib = openLibrary(t, f.dirs, rootfs.Overlay, "overlay.imagestore="+other.dirs.Graph())
	defer f.lib.Shutdown(true)
	f.reopen(rootfs.Overlay)
	defer f.Close()
	stack := f.step(base, func(root string) error {
		return errors.Join(os.Remove(root+"/gone"), write(root, map[string]string{"above": "3"}))
	})
	f.wantTree(stack, map[string]string{"below": "1", "above": "3"})
	if !buildcache.LayerThere(f.dirs, base[0]) {
		t.Error("the cache does not see the layer below")
	}
	top, err := f.Chain(t.Context(), stack)
	f.must(err)
	if top != stack[1] {
		t.Errorf("%s of %v", top, stack)
	}
	r, err := f.Tar(base[0])
	f.must(err)
	r.Close()
}
