package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mine lets the tests run as anybody.
func mine(int, int) (int, int) { return os.Getuid(), os.Getgid() }

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

// sample makes a tree with every kind of file that anybody may make.
func sample(t *testing.T) string {
	dir := t.TempDir()
	write(t, dir+"/plain", "content")
	write(t, dir+"/sub/deep/file", "deep")
	write(t, dir+"/big", strings.Repeat("0123456789abcdef", 20000))
	for _, err := range []error{
		os.Chmod(dir+"/plain", 0o640|os.ModeSetuid),
		os.Symlink("/nowhere", dir+"/link"),
		os.Link(dir+"/plain", dir+"/sub/second"),
		os.Truncate(dir+"/sub/deep/file", 10<<20),
		unix.Mkfifo(dir+"/pipe", 0o600),
		os.Chmod(dir+"/sub", 0o711),
		os.Chtimes(dir+"/plain", time.Unix(1000, 5), time.Unix(2000, 7)),
		os.Chtimes(dir+"/sub", time.Unix(1000, 5), time.Unix(3000, 7)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func checkSample(t *testing.T, dir string) {
	t.Helper()
	if got := read(t, dir+"/plain"); got != "content" {
		t.Errorf("plain holds %q", got)
	}
	if got := read(t, dir+"/big"); len(got) != 320000 || !strings.HasSuffix(got, "cdef") {
		t.Errorf("big holds %d bytes", len(got))
	}
	if target, _ := os.Readlink(dir + "/link"); target != "/nowhere" {
		t.Errorf("link leads to %q", target)
	}
	one, err1 := os.Lstat(dir + "/plain")
	two, err2 := os.Lstat(dir + "/sub/second")
	if err1 != nil || err2 != nil || !os.SameFile(one, two) {
		t.Errorf("the hard link is a file of its own (%v, %v)", err1, err2)
	}
	if one.Mode() != 0o640|os.ModeSetuid || !one.ModTime().Equal(time.Unix(2000, 7)) {
		t.Errorf("plain has %v, %v", one.Mode(), one.ModTime())
	}
	if sub, _ := os.Lstat(dir + "/sub"); sub.Mode().Perm() != 0o711 || !sub.ModTime().Equal(time.Unix(3000, 7)) {
		t.Errorf("sub has %v, %v", sub.Mode(), sub.ModTime())
	}
	if pipe, err := os.Lstat(dir + "/pipe"); err != nil || pipe.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("pipe: %v", err)
	}
	sparse, err := os.Lstat(dir + "/sub/deep/file")
	if err != nil || sparse.Size() != 10<<20 {
		t.Fatalf("sparse: %v", err)
	}
}

func TestCopyKeepsEverything(t *testing.T) {
	src, dst := sample(t), t.TempDir()
	if err := Copy(context.Background(), open(t, src), open(t, dst), "copy", Options{Owner: mine}); err != nil {
		t.Fatal(err)
	}
	checkSample(t, dst+"/copy")
	st, _ := os.Lstat(dst + "/copy/sub/deep/file")
	if sys := st.Sys().(*syscall.Stat_t); sys.Blocks > 64 {
		t.Errorf("the hole became %d blocks", sys.Blocks)
	}
	if names, _ := os.ReadDir(dst + "/copy"); len(names) != 5 {
		t.Errorf("left behind: %v", names)
	}
}

func TestCopyUnites(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	write(t, src+"/same", "new")
	write(t, src+"/d/added", "x")
	write(t, dst+"/same", "old")
	write(t, dst+"/d/kept", "y")
	os.Chmod(dst+"/d", 0o700)
	if err := Copy(context.Background(), open(t, src), open(t, dst), ".", Options{Owner: mine}); err != nil {
		t.Fatal(err)
	}
	if read(t, dst+"/same") != "new" || read(t, dst+"/d/added") != "x" || read(t, dst+"/d/kept") != "y" {
		t.Error("the trees were not united")
	}
	if info, _ := os.Stat(dst + "/d"); info.Mode().Perm() != 0o700 {
		t.Errorf("the directory that was there has mode %v", info.Mode())
	}
}

func TestCopyFileAndDirectory(t *testing.T) {
	for _, over := range []bool{false, true} {
		src, dst := t.TempDir(), t.TempDir()
		write(t, src+"/f", "file")
		write(t, src+"/d/x", "inside")
		write(t, dst+"/f/old", "was a directory")
		write(t, dst+"/d", "was a file")
		for _, name := range []string{"f", "d"} {
			err := Copy(context.Background(), open(t, src+"/"+name), open(t, dst), name, Options{Owner: mine, Overwrite: over})
			if over != (err == nil) || !over && !errors.Is(err, ErrKind) {
				t.Errorf("overwrite %v, %s: %v", over, name, err)
			}
		}
		if over && (read(t, dst+"/f") != "file" || read(t, dst+"/d/x") != "inside") {
			t.Error("not overwritten")
		}
		if !over && (read(t, dst+"/f/old") == "" || read(t, dst+"/d") == "") {
			t.Error("something was overwritten")
		}
	}
}

// A link in the destination is replaced, never followed.
func TestCopyDoesNotFollowLinksOfDestination(t *testing.T) {
	src, dst, outside := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, src+"/f", "new")
	write(t, src+"/d/x", "new")
	write(t, outside+"/f", "mine")
	os.Symlink(outside+"/f", dst+"/f")
	os.Symlink(outside, dst+"/d")
	if err := Copy(context.Background(), open(t, src), open(t, dst), ".", Options{Owner: mine}); !errors.Is(err, ErrKind) {
		t.Errorf("a directory was copied through a link: %v", err)
	}
	if err := Copy(context.Background(), open(t, src), open(t, dst), ".", Options{Owner: mine, Overwrite: true}); err != nil {
		t.Error(err)
	}
	if read(t, outside+"/f") != "mine" {
		t.Error("the file behind the link was written")
	}
	if names, _ := os.ReadDir(outside); len(names) != 1 {
		t.Errorf("written behind the link: %v", names)
	}
}

func TestCopyIntoItselfEnds(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a/f", "x")
	if err := Copy(context.Background(), open(t, dir), open(t, dir+"/a"), "copy", Options{Owner: mine}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/a/copy/a/copy"); err == nil {
		t.Error("the copy was copied, too")
	}
}

func TestPackAndUnpack(t *testing.T) {
	src, dst := sample(t), t.TempDir()
	unix.Setxattr(src+"/plain", "user.note", []byte("kept"), 0)
	var stream bytes.Buffer
	all := func(string) bool { return true }
	p := NewPacker(&stream, Options{Attribute: all})
	if err := errors.Join(p.Tree(context.Background(), open(t, src), "top"), p.Close()); err != nil {
		t.Fatal(err)
	}
	os.Mkdir(dst+"/into", 0o755)
	opts := Options{Owner: mine, Attribute: func(name string) bool { return name == "user.note" }}
	if err := Unpack(context.Background(), &stream, open(t, dst), "/into", opts); err != nil {
		t.Fatal(err)
	}
	checkSample(t, dst+"/into/top")
	buf := make([]byte, 10)
	if n, err := unix.Getxattr(dst+"/into/top/plain", "user.note", buf); err == nil && string(buf[:n]) != "kept" {
		t.Errorf("the attribute is %q", buf[:n])
	}
}

// Through a file the kernel moves the data.
func TestPackToFile(t *testing.T) {
	src := t.TempDir()
	write(t, src+"/odd", strings.Repeat("x", 100001))
	out, err := os.Create(t.TempDir() + "/x.tar")
	if err != nil {
		t.Fatal(err)
	}
	p := NewPacker(out, Options{})
	if err := errors.Join(p.Tree(context.Background(), open(t, src+"/odd"), "odd"), p.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	in := tar.NewReader(strings.NewReader(read(t, out.Name())))
	if h, err := in.Next(); err != nil || h.Size != 100001 {
		t.Fatal(h, err)
	}
	if n, err := io.Copy(io.Discard, in); n != 100001 || err != nil {
		t.Error(n, err)
	}
	if _, err := in.Next(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func stream(headers ...tar.Header) *bytes.Buffer {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		h.Mode |= 0o644
		w.WriteHeader(&h)
		w.Write(bytes.Repeat([]byte("!"), int(h.Size)))
	}
	w.Close()
	return &b
}

func TestUnpackHostile(t *testing.T) {
	outside := t.TempDir()
	write(t, outside+"/f", "mine")
	for name, c := range map[string]struct {
		headers []tar.Header
		fails   string
	}{
		"parent":            {[]tar.Header{{Name: "../f", Size: 1}}, "out of the destination"},
		"deep parent":       {[]tar.Header{{Name: "a/../../f", Size: 1}}, "out of the destination"},
		"absolute":          {[]tar.Header{{Name: outside + "/f", Size: 1}}, ""},
		"through a link":    {[]tar.Header{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: outside}, {Name: "l/f", Size: 1}}, "a file of that name"},
		"through relative":  {[]tar.Header{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../../../../../.." + outside}, {Name: "l/f", Size: 1}}, "a file of that name"},
		"over a link":       {[]tar.Header{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: outside + "/f"}, {Name: "l", Size: 1}}, ""},
		"hard link outside": {[]tar.Header{{Name: "h", Typeflag: tar.TypeLink, Linkname: "../../f"}}, "out of the destination"},
		"hard link to link": {[]tar.Header{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: outside + "/f"}, {Name: "h", Typeflag: tar.TypeLink, Linkname: "l"}, {Name: "h", Size: 1}}, ""},
		"hard link to dir":  {[]tar.Header{{Name: "d", Typeflag: tar.TypeDir}, {Name: "h", Typeflag: tar.TypeLink, Linkname: "d"}}, "no file"},
		"device":            {[]tar.Header{{Name: "dev", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}, ""},
		"itself":            {[]tar.Header{{Name: "./", Typeflag: tar.TypeDir, Mode: 0o777}, {Name: ".", Typeflag: tar.TypeSymlink, Linkname: outside}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			os.Mkdir(root+"/into", 0o750)
			var skipped atomic.Int64
			err := Unpack(context.Background(), stream(c.headers...), open(t, root), "into", Options{Owner: mine, SkipDevices: true, Skipped: &skipped})
			if c.fails == "" && err != nil && !errors.Is(err, unix.ENOENT) || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
			if read(t, outside+"/f") != "mine" {
				t.Fatal("the file outside was written")
			}
			if names, _ := os.ReadDir(outside); len(names) != 1 {
				t.Fatalf("written outside: %v", names)
			}
			if name == "device" && skipped.Load() != 1 {
				t.Error("the device was not left out")
			}
			if info, _ := os.Stat(root + "/into"); info.Mode().Perm() != 0o750 {
				t.Errorf("the destination's mode became %v", info.Mode())
			}
		})
	}
}

// A header can promise more than there is, and more than the disk holds.
func TestUnpackHugeSizes(t *testing.T) {
	root := t.TempDir()
	var b bytes.Buffer
	tar.NewWriter(&b).WriteHeader(&tar.Header{Name: "huge", Size: 1 << 60, Mode: 0o644, Typeflag: tar.TypeReg})
	err := Unpack(context.Background(), &b, open(t, root), ".", Options{Owner: mine})
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("error %v, want ENOSPC", err)
	}
	b.Reset()
	tar.NewWriter(&b).WriteHeader(&tar.Header{Name: "short", Size: 1000, Mode: 0o644, Typeflag: tar.TypeReg})
	b.WriteString("too little")
	if err := Unpack(context.Background(), &b, open(t, root), ".", Options{Owner: mine}); err == nil {
		t.Error("a stream that was cut off is whole")
	}
	if names, _ := os.ReadDir(root); len(names) != 0 {
		t.Errorf("half files: %v", names)
	}
}

func TestUnpackCompressed(t *testing.T) {
	for magic, advice := range map[string]string{"\xfd7zXZ\x00": "xz -dc", "\x28\xb5\x2f\xfd": "zstd -dc", "no tar at all": "no tar stream"} {
		err := Unpack(context.Background(), strings.NewReader(magic+strings.Repeat("x", 600)), open(t, t.TempDir()), ".", Options{})
		if err == nil || !strings.Contains(err.Error(), advice) {
			t.Errorf("%q: %v", magic, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(stream(tar.Header{Name: "a/b", Size: 3}, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "a"}).Bytes())
	f.Add(stream(tar.Header{Name: "../x"}, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "/a"}).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		os.Mkdir(parent+"/root", 0o755)
		os.Mkdir(parent+"/root/into", 0o755)
		root := open(t, parent+"/root")
		Unpack(context.Background(), bytes.NewReader(data), root, "into", Options{Owner: mine, SkipDevices: true})
		if names, _ := os.ReadDir(parent); len(names) != 1 {
			t.Fatalf("written outside of the root: %v", names)
		}
		filepath.WalkDir(parent, func(p string, _ os.DirEntry, _ error) error {
			os.Chmod(p, 0o700) // so that the test's directory can be removed
			return nil
		})
	})
}
