package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// layers are two trees of a test; whiteouts are files whose name says so, for that takes no rights.
func layers(t *testing.T) (upper, lower string, l Layers) {
	upper, lower = t.TempDir(), t.TempDir()
	return upper, lower, Layers{Upper: open(t, upper), Lower: open(t, lower),
		Whiteout: func(name string, _ *unix.Stat_t) (string, bool) { return strings.CutPrefix(name, ".wh.") },
		Opaque: func(dir int) bool {
			return unix.Faccessat(dir, ".wh..wh..opq", unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == nil
		},
		Hidden: func(path string) bool { return path == "/proc" || path == "/run/secrets" || path == "/etc/hosts" },
	}
}

func lines(changes []Change) string {
	var b strings.Builder
	for _, c := range changes {
		b.WriteString(string(c.Kind) + " " + c.Path + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

func TestChanges(t *testing.T) {
	for name, c := range map[string]struct {
		upper, lower []string // with / at the end: a directory
		full         bool
		want         string
	}{
		"nothing":           {nil, []string{"a"}, false, ""},
		"added":             {[]string{"new", "d/deep/f"}, []string{"d/x"}, false, "C /d\nA /d/deep\nA /d/deep/f\nA /new"},
		"changed":           {[]string{"d/x"}, []string{"d/x", "d/y"}, false, "C /d\nC /d/x"},
		"deleted":           {[]string{"d/.wh.x"}, []string{"d/x", "d/y"}, false, "C /d\nD /d/x"},
		"opaque":            {[]string{"d/.wh..wh..opq", "d/x"}, []string{"d/x", "d/y", "d/z/f"}, false, "C /d\nC /d/x\nD /d/y\nD /d/z"},
		"file to directory": {[]string{"d/new"}, []string{"d"}, false, "C /d\nA /d/new"},
		"directory to file": {[]string{"d"}, []string{"d/old"}, false, "C /d"},
		"full":              {[]string{"same", "new"}, []string{"same", "gone", "proc/x"}, true, "D /gone\nA /new"},
		"made by runtime":   {[]string{"proc/", "run/secrets/", "etc/hosts"}, []string{"etc/passwd"}, false, ""},
		"beside the made":   {[]string{"run/secrets/", "run/mine"}, nil, false, "A /run\nA /run/mine"},
	} {
		t.Run(name, func(t *testing.T) {
			upper, lower, l := layers(t)
			fillLayer(t, upper, c.upper, "changed")
			fillLayer(t, lower, c.lower, "of the lower tree")
			l.Full = c.full
			got, err := Changes(l)
			if err != nil || lines(got) != c.want {
				t.Errorf("got (%v)\n%s\nwant\n%s", err, lines(got), c.want)
			}
		})
	}
}

// fillLayer makes files with a content that each tree has of its own, but for one that is the same in both.
func fillLayer(t *testing.T, dir string, names []string, content string) {
	for _, n := range names {
		switch {
		case strings.HasSuffix(n, "/"):
			os.MkdirAll(dir+"/"+n, 0o755)
		case n == "same":
			write(t, dir+"/same", "same")
			os.Chtimes(dir+"/same", time.Unix(0, 0), time.Unix(0, 0))
		default:
			write(t, dir+"/"+n, content)
		}
	}
}

func TestPackChanges(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/etc/new", "x")
	os.Link(root+"/etc/new", root+"/etc/second")
	var b bytes.Buffer
	p := NewPacker(&b, Options{})
	changes := []Change{{"/etc", 'C'}, {"/etc/gone", 'D'}, {"/etc/new", 'A'}, {"/etc/second", 'A'}, {"/vanished/f", 'A'}, {"/etc/vanished", 'A'}}
	if err := errors.Join(p.Changes(context.Background(), open(t, root), changes), p.Close()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for in := tar.NewReader(&b); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(h.Typeflag)+h.Name+h.Linkname)
	}
	if want := "5etc/ 0etc/.wh.gone 0etc/new 1etc/secondetc/new"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
