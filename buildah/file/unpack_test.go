package file

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/moby/buildkit/solver/pb"
	"github.com/ulikunitz/xz"

	"github.com/wherry-containers/wherry/buildah/content"
)

func tarOf(t testing.TB, entries ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		body := ""
		if h.Typeflag == 0 || h.Typeflag == tar.TypeReg {
			h.Typeflag, body = tar.TypeReg, h.Uname
			h.Uname, h.Size = "", int64(len(body))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		h.ModTime = time.Unix(1e9, 0)
		noError(t, w.WriteHeader(h))
		_, err := io.WriteString(w, body)
		noError(t, err)
	}
	noError(t, w.Close())
	return b.Bytes()
}

// entry is a file; its text goes in Uname till the header is written.
func entry(name, text string) *tar.Header { return &tar.Header{Name: name, Uname: text} }

func link(kind byte, name, target string) *tar.Header {
	return &tar.Header{Typeflag: kind, Name: name, Linkname: target}
}

func unpackInto(t *testing.T, dir, dest string, archive []byte, owner *pb.ChownOpt) error {
	t.Helper()
	in := t.TempDir()
	noError(t, os.WriteFile(filepath.Join(in, "a.tar"), archive, 0o644))
	view, err := content.Open(t.Context(), in, content.Options{RootOwned: true})
	noError(t, err)
	a := &pb.FileActionCopy{Src: "/a.tar", Dest: dest, Owner: owner, FollowSymlink: true, DirCopyContents: true, CreateDestPath: true,
		AllowWildcard: true, AttemptUnpackDockerCompatibility: true, Mode: -1, Timestamp: -1}
	return Do(t.Context(), &pb.FileAction{Action: &pb.FileAction_Copy{Copy: a}}, dir, view, Users{})
}

func TestUnpackCompressed(t *testing.T) {
	t.Parallel()
	plain := tarOf(t, entry("d/f", "text"), link(tar.TypeSymlink, "l", "d/f"), &tar.Header{Typeflag: tar.TypeDir, Name: "e/", Mode: 0o1777})
	const want = "out/d 040755 0:0\nout/d/f 100644 0:0 text\nout/e 041777 0:0\nout/l 120777 0:0 -> d/f"
	pack := func(make func(io.Writer) (io.WriteCloser, error)) []byte {
		var b bytes.Buffer
		w, err := make(&b)
		noError(t, err)
		_, err = w.Write(plain)
		noError(t, err)
		noError(t, w.Close())
		return b.Bytes()
	}
	for name, archive := range map[string][]byte{
		"plain": plain,
		"gzip":  pack(func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }),
		"xz":    pack(func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }),
		"zstd":  pack(func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }),
		"bzip2": bzip2Of,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			noError(t, unpackInto(t, dir, "/out/", archive, nil))
			got := listing(t, dir, false)
			if name == "bzip2" {
				if !strings.HasSuffix(got, "out/f 100644 0:0 b") {
					t.Errorf("%s", got)
				}
			} else if !strings.HasSuffix(got, want) {
				t.Errorf("%s\nwant\n%s", got, want)
			}
		})
	}
}

// bzip2Of is a tar archive of one file f with the text b, by tar -cj.
var bzip2Of = []byte("\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xaf\x2e\x91\x17\x00\x00\x3b\x7b\x90\xe9\x00\x00\x40\x40\x00\x7f\x80\x00\x00\xf1\x00\x9e\x00\x04\x00\x00\x08\x20\x00\x54\x44\x34\x1a\x00\x00\xd0\x6d\x4a\x3d\x4f\x50\x0d\x3d\x43\x40\x7d\xe2\xae\x30\xe2\xac\x02\x25\xf6\x65\xdd\xf4\x68\x42\x61\x31\x4b\x10\x6e\xc8\xe5\xe5\x91\x6c\xa5\xd7\x4e\x65\x38\x64\x45\x8f\x12\x50\x60\xf5\x60\xe8\x76\xc4\x6b\x03\x38\xa1\x1f\x17\x72\x45\x38\x50\x90\xaf\x2e\x91\x17")

func TestUnpackNoArchive(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"text": []byte("text"), "empty": nil, "gzip of text": []byte("\x1f\x8b\x08 no gzip"), "zeros": make([]byte, 1024), "zstd": []byte("\x28\xb5\x2f\xfdxxxx"),
		"xz": []byte("\xfd7zXZ\x00xxxx"), "bzip2": []byte("BZh9xxxx"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			noError(t, unpackInto(t, dir, "/out/", data, nil))
			got, err := os.ReadFile(filepath.Join(dir, "out/a.tar"))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// TestUnpackHostile has archives that try to write elsewhere.
func TestUnpackHostile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		archive []byte
		want    string // among what is there afterwards
		err     string
	}{
		{"above", tarOf(t, entry("../../escape", "x")), "", "leads out"},
		{"absolute", tarOf(t, entry("/etc/f", "x")), "out/etc/f 100644 0:0 x", ""},
		{"through a link above", tarOf(t, link(tar.TypeSymlink, "l", "../../.."), entry("l/escape", "x")), "out/escape 100644 0:0 x", ""},
		{"through an absolute link", tarOf(t, link(tar.TypeSymlink, "l", "/"), entry("l/escape", "x")), "out/escape 100644 0:0 x", ""},
		{"through a link that is there", tarOf(t, entry("there/f", "x")), "out/outside/f 100644 0:0 x", ""},
		{"over a link", tarOf(t, link(tar.TypeSymlink, "l", "../../outside"), entry("l", "x")), "out/l 100644 0:0 x", ""},
		{"hard link above", tarOf(t, link(tar.TypeLink, "h", "../../outside")), "", "leads out"},
		{"hard link through a link", tarOf(t, link(tar.TypeSymlink, "l", "../.."), link(tar.TypeLink, "h", "l/outside")), "", "which is no file"},
		{"device", tarOf(t, &tar.Header{Typeflag: tar.TypeBlock, Name: "sda", Devmajor: 8}, entry("f", "x")), "out/f 100644 0:0 x", ""},
		{"file over a directory", tarOf(t, entry("dir", "x")), "out/dir 100644 0:0 x", ""},
		{"directory over a file", tarOf(t, entry("f", "x"), &tar.Header{Typeflag: tar.TypeDir, Name: "f/", Mode: 0o755}), "out/f 040755 0:0", ""},
		{"mode of a directory that is there", tarOf(t, &tar.Header{Typeflag: tar.TypeDir, Name: "dir/", Mode: 0o711}), "out/dir 040711 0:0", ""},
		{"attribute of overlay", tarOf(t, &tar.Header{Name: "f", PAXRecords: map[string]string{"SCHILY.xattr.user.overlay.redirect": "/etc", "SCHILY.xattr.trusted.x": "y"}}), "out/f 100644 0:0", ""},
		{"cut", tarOf(t, entry("f", strings.Repeat("x", 2000)))[:1100], "", "tar"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			dir := filepath.Join(parent, "root")
			plant(t, dir, "f out/dir/f 0644 x\nd out/outside 0755\nl out/there ../../../outside")
			noError(t, os.Mkdir(filepath.Join(parent, "outside"), 0o755))
			noError(t, os.WriteFile(filepath.Join(parent, "outside/file"), nil, 0o600))
			before := listing(t, parent, false)
			err := unpackInto(t, dir, "/out", c.archive, nil)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if got := listing(t, dir, false); c.want != "" && !strings.Contains("\n"+got, "\n"+c.want) {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			for _, line := range strings.Split(differences(before, listing(t, parent, false)), "\n") {
				if line != "" && !strings.Contains(line, " root/out") {
					t.Errorf("outside of the destination: %s", line)
				}
			}
			if data, _ := os.ReadFile("/proc/self/mounts"); len(data) > 0 && err == nil && c.name == "attribute of overlay" {
				checkNoSteering(t, filepath.Join(dir, "out/f"))
			}
		})
	}
}

func checkNoSteering(t *testing.T, p string) {
	t.Helper()
	f, err := os.Open(p)
	noError(t, err)
	defer f.Close()
	if a, err := content.Attributes(int(f.Fd())); err != nil || len(a) > 0 {
		t.Errorf("attributes %v, %v", a, err)
	}
}

func FuzzDecompress(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08"))
	f.Add([]byte("BZh9"))
	f.Add([]byte("\xfd7zXZ\x00"))
	f.Add([]byte("\x28\xb5\x2f\xfd"))
	f.Add([]byte("\x50\x2a\x4d\x18"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, done, err := decompress(bytes.NewReader(data))
		if err != nil {
			return
		}
		defer done()
		_, _ = io.CopyN(io.Discard, r, 1<<20)
	})
}
