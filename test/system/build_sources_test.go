package system

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestBuildCopies has the forms of COPY, and who the files belong to afterwards.
func TestBuildCopies(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{
		"a.txt": "A", "b.txt": "B", "d/f": "F", "d/sub/g.md": "G", "d/sub/h.c": "H", "x/y/z": "Z", "x/y/skip": "S",
		"Dockerfile": `FROM busybox AS base
RUN mkdir -p /there /etc && echo app:x:7:8::/:/bin/sh >> /etc/passwd && echo team:x:9: >> /etc/group && ln -s /there /linked
FROM base
COPY *.txt /all/
COPY d /d
COPY d/ /linked/
COPY --parents d/./sub/*.md x/y/z /parents/
COPY --exclude=**/*.c --exclude=f d /excluded/
COPY --chown=app:team --chmod=u=rw,go= a.txt /owned/
COPY --chown=app a.txt /own
COPY --link --chmod=0711 a.txt /new/linked
COPY <<EOT /here
text
EOT
COPY --from=base /etc/passwd /from/
`})
	image := build(t, context)
	for _, c := range []struct{ what, command, want string }{
		{"wildcards", "ls /all", "a.txt\nb.txt"},
		{"a directory", "find /d | sort | tr '\\n' ' '", "/d /d/f /d/sub /d/sub/g.md /d/sub/h.c "},
		{"behind a link of the image", "test -L /linked && cat /there/f", "F"},
		{"--parents", "find /parents -type f | sort | tr '\\n' ' '", "/parents/sub/g.md /parents/x/y/z "},
		{"--exclude", "find /excluded -type f", "/excluded/sub/g.md"},
		{"--chown, --chmod", "stat -c '%u:%g %a' /owned/a.txt", "7:9 600"},
		{"the directory made for it", "stat -c '%u:%g %a' /owned", "7:9 755"},
		{"--chown of a user alone", "stat -c '%u:%g' /own", "7:8"},
		{"--link", "stat -c '%u %a' /new/linked", "0 711"},
		{"a here document", "cat /here", "text"},
		{"--from", "tail -n 1 /from/passwd | cut -d: -f1", "app"},
		{"owner of a context's files", "stat -c %u:%g /d/f", "0:0"},
	} {
		want(t, c.what, inside2(t, image, c.command), c.want)
	}
}

// gzippedTar is a tar archive, compressed by gzip.
func gzippedTar(t *testing.T, headers ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range headers {
		text := h.Gname // the text of a file, till its header is written
		h.Gname, h.Size = "", int64(len(text))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(text))
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

// TestBuildAdds has archives, downloads and repositories as sources of ADD.
func TestBuildAdds(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		sent.Add(1)
		fmt.Fprint(w, "web")
	}))
	defer web.Close()
	git := gitServer(t, map[string]string{"file": "git", "sub/Dockerfile": "FROM busybox\nCOPY only /only\n", "sub/only": "sub"})
	const sum = "sha256:b2efcf8f5d0d7fdb7a3b6ccd4ec7ae1e3a3c0f2e8d0d3a1b2c3d4e5f60718293"
	context := recipe(t, map[string]string{"Dockerfile": "FROM busybox\nADD a.tgz /unpacked/\nADD " + web.URL + "/dir/name.txt /web/\nADD " + git + " /git\nADD --keep-git-dir=true " + git + " /kept\n"})
	archive := gzippedTar(t, &tar.Header{Name: "f", Mode: 0o640, Uid: 3, Gid: 4, Gname: "tar"}, &tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../../.."}, &tar.Header{Name: "l/escape", Mode: 0o644, Gname: "in"})
	if err := os.WriteFile(filepath.Join(context, "a.tgz"), archive, 0o644); err != nil {
		t.Fatal(err)
	}
	image := build(t, context)
	for _, c := range []struct{ what, command, want string }{
		{"an archive", "cat /unpacked/f && stat -c ' %u:%g %a' /unpacked/f", "tar 3:4 640"},
		{"a link in it that leads above", "cat /unpacked/escape; test ! -e /escape", "in"},
		{"a download", "cat /web/name.txt && stat -c ' %a' /web/name.txt", "web 600"},
		{"a repository", "cat /git/file; test ! -e /git/.git", "git"},
		{"with its .git", "ls -d /kept/.git", "/kept/.git"},
	} {
		if got := inside2(t, image, c.command); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	if shared.Must(t, "build", "-q", context); sent.Load() != 1 {
		t.Errorf("the download was sent %d times", sent.Load())
	}
	name := built(t)
	shared.Must(t, "build", "-q", "-t", name, git+"#main:sub")
	want(t, "a repository as the context", inside2(t, name, "cat /only"), "sub")
	bad := recipe(t, map[string]string{"Dockerfile": "FROM busybox\nADD --checksum=" + sum + " " + web.URL + "/other /w\n"})
	failing(t, 1, "as demanded", "build", "--progress", "plain", bad)
}

// gitServer serves a repository with one commit and returns its URL.
func gitServer(t *testing.T, files map[string]string) string {
	t.Helper()
	out, err := exec.Command("git", "--exec-path").Output()
	backend := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, statErr := os.Stat(backend); err != nil || statErr != nil {
		t.Skip("git with its http-backend is not installed")
	}
	root := recipe(t, map[string]string{})
	repo := filepath.Join(root, "repo.git")
	if err := os.Rename(recipe(t, files), repo); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "x"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = repo
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	server := httptest.NewServer(&cgi.Handler{Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}})
	t.Cleanup(server.Close)
	return server.URL + "/repo.git"
}

// TestBuildHostileContext has links in a context that lead out of it: nothing of this machine gets into the image.
func TestBuildHostileContext(t *testing.T) {
	t.Parallel()
	outside := recipe(t, map[string]string{"secret": "s3cret", "Dockerfile": "FROM busybox\nRUN echo outside > /outside\n", "ignore": "kept\n"})
	context := recipe(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY . /c/\n", "kept": "K"})
	up := strings.Repeat("../", strings.Count(context, "/")+3)
	for name, target := range map[string]string{"file": outside + "/secret", "dir": outside, "relative": up + outside[1:] + "/secret", "environ": "/proc/self/environ", ".dockerignore": outside + "/ignore"} {
		if err := os.Symlink(target, filepath.Join(context, name)); err != nil {
			t.Fatal(err)
		}
	}
	image := build(t, context)
	want(t, "what a link leads to", inside2(t, image, "grep -rs s3cret /c | wc -l"), "0")
	want(t, "the links themselves", inside2(t, image, "test -L /c/file && test -L /c/dir && echo both"), "both")
	want(t, "a .dockerignore elsewhere", inside2(t, image, "cat /c/kept"), "K")
	for _, from := range []string{"file", "dir/secret", "relative", "environ"} {
		bad := filepath.Join(context, "Dockerfile."+strings.ReplaceAll(from, "/", "-"))
		if err := os.WriteFile(bad, []byte("FROM busybox\nCOPY "+from+" /x\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		failing(t, 1, "not found", "build", "--progress", "plain", "-f", bad, context)
	}
}
