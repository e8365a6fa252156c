package rootfs

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// rich fills the layers with one of everything, by way of overlay itself, so that whiteouts and opaque directories
// are the kernel's own. It returns a Spec with all of them as lower layers.
func rich(t *testing.T, dir string) Spec {
	t.Helper()
	s := newSpec(t, dir, 2)
	low := s.Lower[1]
	for _, d := range []string{"gone", "replaced/sub", "kept", "todir", "mode"} {
		must(t, os.MkdirAll(filepath.Join(low, d), 0o755))
	}
	for _, f := range []string{"gone/x", "replaced/old", "replaced/sub/y", "kept/a", "kept/b", "tofile", "todir/z", "one"} {
		write(t, filepath.Join(low, f), strings.Repeat(f, 100))
	}
	must(t, os.Link(low+"/one", low+"/kept/two"))
	must(t, os.Symlink("/etc/passwd", low+"/link"))
	must(t, os.Symlink("kept", low+"/dirlink"))
	must(t, unix.Mkfifo(low+"/fifo", 0o600))
	must(t, os.Chmod(low+"/one", 0o4755))
	must(t, os.Chown(low+"/kept/a", 7, 8))
	must(t, unix.Setxattr(low+"/kept/b", "user.note", []byte("hello"), 0))
	must(t, unix.Setxattr(low+"/kept/b", "security.capability", v2cap(), 0))
	past := []unix.Timespec{{Sec: 1000}, {Sec: 2000, Nsec: 5}}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, low+"/kept", past, 0))
	must(t, Mount(t.Context(), s))
	root := s.Target
	must(t, os.RemoveAll(root+"/gone"))
	must(t, os.RemoveAll(root+"/replaced"))
	must(t, os.Mkdir(root+"/replaced", 0o700))
	write(t, root+"/replaced/new", "n")
	must(t, os.Remove(root+"/tofile"))
	must(t, os.Mkdir(root+"/tofile", 0o755))
	must(t, os.RemoveAll(root+"/todir"))
	write(t, root+"/todir", "file")
	must(t, os.Remove(root+"/dirlink"))
	must(t, os.Mkdir(root+"/dirlink", 0o755))
	write(t, root+"/dirlink/inside", "must not land in kept")
	must(t, os.Chmod(root+"/mode", 0o1777))
	must(t, Unmount(root))
	s.Lower = append([]string{s.Upper}, s.Lower...)
	s.Upper, s.Work = filepath.Join(dir, "upper2"), filepath.Join(dir, "work2")
	return s
}

// v2cap is cap_net_raw+ep as setcap writes it.
func v2cap() []byte {
	return append([]byte{1, 0, 0, 2, 0, 0x20, 0, 0}, make([]byte, 12)...)
}

// describe lists everything under root that a container can see.
func describe(t *testing.T, root string) string {
	t.Helper()
	var out bytes.Buffer
	inodes := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		rel, _ := filepath.Rel(root, path)
		if rel == "." { // overlay's own is as old as its read-write layer
			st.Mtim = unix.Timespec{}
		}
		fmt.Fprintf(&out, "%s %o %d:%d %d.%d", rel, st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		names, _ := listAttributes(path)
		for _, n := range names {
			if v, err := readAttribute(path, n); err == nil && !strings.Contains(n, "overlay") {
				fmt.Fprintf(&out, " %s=%x", n, v)
			}
		}
		switch {
		case d.Type().IsRegular():
			data, err := os.ReadFile(path)
			must(t, err)
			fmt.Fprintf(&out, " %s", data)
			if st.Nlink > 1 {
				if first, ok := inodes[st.Ino]; ok {
					fmt.Fprintf(&out, " = %s", first)
				}
				inodes[st.Ino] = rel
			}
		case d.Type() == fs.ModeSymlink:
			target, _ := os.Readlink(path)
			fmt.Fprintf(&out, " -> %s", target)
		}
		out.WriteByte('\n')
		return nil
	})
	must(t, err)
	return out.String()
}

// sameTree fails with the first differing line.
func sameTree(t *testing.T, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Errorf("trees differ:\n got %s\nwant %s", g[i], w[i])
			return
		}
	}
	if len(g) != len(w) {
		t.Errorf("%d entries, want %d\n%s\nwant\n%s", len(g), len(w), got, want)
	}
}

// needsIDs skips where the test runs with a single id.
func needsIDs(t *testing.T) {
	if data, _ := os.ReadFile("/proc/self/uid_map"); strings.HasSuffix(strings.TrimSpace(string(data)), " 1") {
		t.Skip("needs more than one id: run the tests as root")
	}
}

// TestVFSAsOverlay: the copy must look like what overlay shows.
func TestVFSAsOverlay(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		needsIDs(t)
		s := rich(t, dir)
		must(t, Mount(t.Context(), s))
		want := describe(t, s.Target)
		must(t, Unmount(s.Target))
		must(t, os.RemoveAll(s.Upper))
		must(t, os.RemoveAll(s.Work))
		s.Driver = VFS
		must(t, Mount(t.Context(), s))
		sameTree(t, describe(t, s.Target), want)
		write(t, s.Target+"/mine", "kept over a restart")
		must(t, Unmount(s.Target))
		must(t, Mount(t.Context(), s))
		wantFile(t, s.Target+"/mine", "kept over a restart")
		must(t, Unmount(s.Target))
		// Killed in the middle of the copy: the next mount starts it anew.
		must(t, os.Remove(s.Work+"/"+vfsDone))
		must(t, Mount(t.Context(), s))
		sameTree(t, describe(t, s.Target), want)
		must(t, Unmount(s.Target))
	})
}

// TestCopyTree copies from an open directory, as the engine does, twice over the same destination.
func TestCopyTree(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/src/sub", 0o755))
	write(t, dir+"/src/sub/file", "x")
	must(t, os.Chmod(dir+"/src", 0o1750))
	must(t, unix.Setxattr(dir+"/src", "user.note", []byte("hello"), 0))
	must(t, os.Mkdir(dir+"/dst", 0o700))
	src, err := os.Open(dir + "/src")
	must(t, err)
	defer src.Close()
	for range 2 {
		must(t, CopyTree(t.Context(), fmt.Sprintf("/proc/self/fd/%d", src.Fd()), dir+"/dst"))
		sameTree(t, describe(t, dir+"/dst"), describe(t, dir+"/src"))
	}
}
