package system

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// place is where a user's store lies in a test: a file system that root makes and mounts, and the user owns.
type place struct {
	fs      string   // of the kernel
	mkfs    []string // makes it in a file; none: it lives in memory
	bare    bool     // no program fuse-overlayfs for the user
	driver  string   // what wherry finds out
	noAttrs bool     // the file system keeps no extended attributes
}

var places = map[string]place{
	"ext4":  {fs: "ext4", mkfs: []string{"mkfs.ext4", "-q"}, driver: "overlay"},
	"xfs":   {fs: "xfs", mkfs: []string{"mkfs.xfs", "-q"}, driver: "overlay"},
	"btrfs": {fs: "btrfs", mkfs: []string{"mkfs.btrfs", "-q"}, driver: "overlay"},
	"tmpfs": {fs: "tmpfs", driver: "overlay"},
	// Overlay takes no read-write layer on overlay: so are homes inside of containers.
	"overlay, fuse":    {fs: "overlay", driver: "fuse-overlayfs"},
	"overlay, no fuse": {fs: "overlay", driver: "vfs", bare: true},
	// No extended attributes, as on NFS.
	"ramfs, fuse":    {fs: "ramfs", driver: "fuse-overlayfs|vfs", noAttrs: true}, // not with fuse-overlayfs 1.10
	"ramfs, no fuse": {fs: "ramfs", driver: "vfs", bare: true, noAttrs: true},
}

// An ordinary user's containers live on each file system from the import of an image to the last rm, and everything
// about a file survives that.
func TestEachFileSystem(t *testing.T) {
	if os.Getuid() != 0 || os.Getenv("WHERRY_TEST_ROOT") == "" {
		t.Skip("this is for root (WHERRY_TEST_ROOT)")
	}
	if os.Getenv("WHERRY_TEST_USER") == "" {
		t.Skip("no test user to own the store (make test sets WHERRY_TEST_USER)")
	}
	tar := particular(t)
	for name, p := range places {
		t.Run(strings.ReplaceAll(name, ", ", "-"), func(t *testing.T) {
			s := p.store(t)
			said := s.Try(t, "import", "--change", `CMD ["sh"]`, tar, testkit.Image)
			if said.Code != 0 {
				t.Fatalf("import: %d %s", said.Code, said.Stderr)
			}
			life(t, s, p, said.Stderr)
		})
	}
}

// particular is the small image with what file systems differ in.
func particular(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := writeImage(path, nil); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(-1024, io.SeekEnd); err != nil { // over the end's two empty blocks
		t.Fatal(err)
	}
	out := tar.NewWriter(f)
	for _, h := range []tar.Header{
		{Name: "kept/", Typeflag: tar.TypeDir, Mode: 0o2751, Uid: 1000, Gid: 5},
		{Name: "kept/file", Mode: 0o4755, Uid: 1000, Gid: 65534, PAXRecords: map[string]string{"SCHILY.xattr.user.place": "here"}},
		{Name: "kept/same", Typeflag: tar.TypeLink, Linkname: "kept/file", Mode: 0o4755, Uid: 1000, Gid: 65534, PAXRecords: map[string]string{"SCHILY.xattr.user.place": "here"}},
		{Name: "kept/pipe", Typeflag: tar.TypeFifo, Mode: 0o620, Uid: 3, Gid: 4},
		{Name: "gone/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "gone/old", Mode: 0o644},
		{Name: "goes", Mode: 0o644},
	} {
		h.Format = tar.FormatPAX
		if err := out.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(out.Close(), os.Chmod(path, 0o644), os.Chmod(filepath.Dir(path), 0o755), os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

// life goes through what a store does, as a user would; import said what was to be said once.
func life(t *testing.T, s *testkit.Store, p place, said string) {
	if got := s.Must(t, "info", "-f", "{{.Driver}}"); !slices.Contains(strings.Split(p.driver, "|"), got) {
		t.Errorf("driver %s, want %s", got, p.driver)
	}
	run := func(args ...string) string {
		return s.Must(t, append([]string{"run", "--network", "none"}, args...)...)
	}
	first := s.Try(t, "run", "--rm", "--network", "none", testkit.Image, "stat", "-c", "%n %a %u:%g", "/kept", "/kept/file", "/kept/same", "/kept/pipe")
	if first.Code != 0 {
		t.Fatalf("run: %d %s", first.Code, first.Stderr)
	}
	want(t, "the image's files", first.Out(), "/kept 2751 1000:5\n/kept/file 4755 1000:65534\n/kept/same 4755 1000:65534\n/kept/pipe 620 3:4")
	if n := strings.Count(said+first.Stderr, "overlay does not work on"); (n == 1) != (p.driver != "overlay") || n > 1 {
		t.Errorf("said %d times why it is %s:\n%s%s", n, p.driver, said, first.Stderr)
	}

	run("-d", "--name", "ctr", "-v", "vol:/vol", testkit.Image, "sh", "-c", `rm -r /goes /gone; mkdir /gone; touch /gone/new; chown 7:8 /gone/new
ln /gone/new /kept/twin; chown 9:10 /bin/sh; chmod 700 /kept; echo v >/vol/f; echo ready; exec sleep 1000`)
	testkit.Eventually(t, "the log says ready", func() bool { return s.Must(t, "logs", "ctr") == "ready" })
	want(t, "exec", s.Must(t, "exec", "ctr", "sh", "-c", "ls /gone; stat -c %h /kept/same /gone/new"), "new\n2\n2")
	share := filepath.Dir(s.Data)
	s.Must(t, "cp", "ctr:/kept", filepath.Join(share, "out"))
	if info, err := os.Stat(filepath.Join(share, "out", "file")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("cp out of the container: %v %v", info, err)
	}
	s.Must(t, "cp", filepath.Join(share, "out", "file"), "ctr:/in")
	changes := strings.Split(s.Must(t, "diff", "ctr"), "\n")
	for _, change := range []string{"D /goes", "D /gone/old", "A /gone/new", "A /kept/twin", "C /kept", "A /in"} {
		if !slices.Contains(changes, change) {
			t.Errorf("diff lacks %q: %q", change, changes)
		}
	}
	s.Must(t, "commit", "-q", "ctr", "second")
	s.Must(t, "rm", "-f", "-t", "0", "ctr")
	want(t, "the commit's files", run("--rm", "-v", "vol:/vol", "second", "sh", "-c", "ls -d /goes /gone/* 2>/dev/null; stat -c %a /kept; stat -c %a:%h /kept/file /kept/twin; stat -c %u:%g /gone/new /kept/pipe /bin/sh; cat /vol/f"),
		"/gone/new\n700\n4755:2\n644:2\n7:8\n3:4\n0:0\nv")
	exported(t, s, p)
	s.Must(t, "rmi", "second")
	s.Must(t, "volume", "rm", "vol")
	nothingLeft(t, s)
}

// exported looks at what a container of the committed image is made of, through a tar file, and at the image's own.
func exported(t *testing.T, s *testkit.Store, p place) {
	t.Helper()
	dir := filepath.Dir(s.Data)
	s.Must(t, "create", "--name", "made", "--network", "none", "second")
	s.Must(t, "export", "-o", filepath.Join(dir, "made.tar"), "made")
	s.Must(t, "rm", "made")
	got := headers(t, filepath.Join(dir, "made.tar"))
	file, same := got["kept/file"], got["kept/same"]
	if file.Typeflag == tar.TypeLink {
		file, same = same, file
	}
	if same.Typeflag != tar.TypeLink || file.Uid != 1000 || file.Gid != 65534 || file.Mode != 0o4755 {
		t.Errorf("in the export: %+v and its link %+v", file, same)
	}
	if new, twin := got["gone/new"], got["kept/twin"]; (new.Typeflag == tar.TypeLink) == (twin.Typeflag == tar.TypeLink) {
		t.Errorf("in the export: %+v and its link %+v", new, twin)
	}
	if attr := file.PAXRecords["SCHILY.xattr.user.place"]; attr != "here" && !p.noAttrs {
		t.Errorf("the attribute became %q", attr)
	}
	for name, h := range got {
		if base := filepath.Base(name); strings.HasPrefix(base, ".wh.") || base == "goes" || base == "old" {
			t.Errorf("in the export: %s", name)
		}
		for key := range h.PAXRecords {
			if strings.Contains(key, "overlay") || strings.Contains(key, "containers.") {
				t.Errorf("%s has the driver's own attribute %s", name, key)
			}
		}
	}
}

func headers(t *testing.T, path string) map[string]*tar.Header {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	found, in := map[string]*tar.Header{}, tar.NewReader(f)
	for {
		h, err := in.Next()
		if err == io.EOF {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		found[strings.Trim(strings.TrimPrefix(h.Name, "./"), "/")] = h
	}
}

// store is the test user's store in the place.
func (p place) store(t *testing.T) *testkit.Store {
	t.Helper()
	dir, err := os.MkdirTemp("", "wherry-place.")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	top := filepath.Join(dir, "top")
	p.mount(t, dir, top)
	user := os.Getenv("WHERRY_TEST_USER")
	passwd, err := exec.Command("id", "-u", user).Output()
	uid, convErr := strconv.Atoi(strings.TrimSpace(string(passwd)))
	if err := errors.Join(err, convErr, os.Chown(top, uid, -1)); err != nil {
		t.Fatal(err)
	}
	shared := os.Getenv("WHERRY_BIN")
	path := ""
	if p.bare {
		path = "PATH=" + without(t, dir, "fuse-overlayfs")
	}
	drop := filepath.Join(filepath.Dir(shared), "test/setup/drop.sh")
	script := fmt.Sprintf("#!/bin/sh\ncd %s && exec %s /usr/bin/env %s %s \"$@\"\n", top, drop, path, filepath.Join(shared, "wherry"))
	bin := filepath.Join(dir, "wherry")
	if err := os.WriteFile(bin, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &testkit.Store{Bin: bin, Data: filepath.Join(top, "data"), Run: fmt.Sprintf("/run/user/%d/%s", uid, filepath.Base(dir))}
	t.Cleanup(func() {
		s.Try(t, "rm", "-f", "-t", "0", "-a")
		s.Try(t, "system", "migrate")
		os.RemoveAll(s.Run)
	})
	return s
}

// without is a PATH with what wherry executes, but one program.
func without(t *testing.T, dir, program string) string {
	t.Helper()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"crun", "runc", "newuidmap", "newgidmap", "nsenter", "sh", "sleep", "fuse-overlayfs"} {
		if path, err := exec.LookPath(name); err == nil && name != program {
			if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return bin
}

// mount makes the file system and mounts it on top.
func (p place) mount(t *testing.T, dir, top string) {
	t.Helper()
	known, _ := os.ReadFile("/proc/filesystems")
	if !strings.Contains(string(known), "\t"+p.fs+"\n") {
		t.Skipf("this kernel has no %s", p.fs)
	}
	if err := os.Mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"-t", p.fs, p.fs, top}
	if len(p.mkfs) > 0 {
		if _, err := exec.LookPath(p.mkfs[0]); err != nil {
			t.Skipf("%s is not installed", p.mkfs[0])
		}
		disk := filepath.Join(dir, "disk")
		if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 400<<20)); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(p.mkfs[0], append(p.mkfs[1:], disk)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", p.mkfs[0], err, out)
		}
		args = []string{"-t", p.fs, "-o", "loop", disk, top}
	}
	if p.fs == "overlay" {
		for _, name := range []string{"lower", "upper", "work"} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		args = append([]string{"-o", fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir)}, args...)
	}
	if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
		t.Skipf("mount %v: %s", args, out)
	}
	t.Cleanup(func() { unix.Unmount(top, unix.MNT_DETACH) })
}
