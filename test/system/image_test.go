package system

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// entry is one file of an image made for a test: a directory when its name ends in /, a link when link is set.
type entry struct {
	name, link, content string
	mode                int64
	uid, gid            int
}

// image imports the small image with other or further entries, and returns its name. Changes are Dockerfile lines.
func image(t *testing.T, entries []entry, changes ...string) string {
	t.Helper()
	name := "made-" + strings.NewReplacer("/", "-").Replace(strings.ToLower(t.Name())) + "-" + strconv.Itoa(os.Getpid())
	path := filepath.Join(dir(t), "image.tar")
	if err := writeImage(path, entries); err != nil {
		t.Fatal(err)
	}
	args := []string{"import"}
	for _, change := range changes {
		args = append(args, "--change", change)
	}
	shared.Must(t, append(args, path, name)...)
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", name) })
	return name
}

func writeImage(path string, entries []entry) (err error) {
	base, err := os.Open(filepath.Join(filepath.Dir(shared.Data), "busybox.tar"))
	if err != nil {
		return err
	}
	defer base.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := tar.NewWriter(f)
	if err := copyOthers(out, tar.NewReader(base), entries); err != nil {
		return err
	}
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: e.mode, Uid: e.uid, Gid: e.gid, Size: int64(len(e.content)), Typeflag: tar.TypeReg}
		switch {
		case e.link != "":
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.link, 0o777
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		io.WriteString(out, e.content)
	}
	return out.Close()
}

// copyOthers copies what entries do not replace.
func copyOthers(out *tar.Writer, in *tar.Reader, entries []entry) error {
	replaced := map[string]bool{}
	for _, e := range entries {
		replaced[strings.Trim(e.name, "/")] = true
	}
	for {
		h, err := in.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if replaced[strings.Trim(strings.TrimPrefix(h.Name, "./"), "/")] {
			continue
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
}
