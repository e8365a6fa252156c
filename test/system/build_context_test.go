package system

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// buildFrom builds with something on standard input.
func buildFrom(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	name := built(t)
	cmd := shared.Command(t.Context(), append([]string{"build", "-q", "-t", name}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %v: %v\n%s", args, err, out)
	}
	return name
}

// flag: build --file --build-context --ignorefile
func TestBuildContexts(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{
		"kept": "kept", "dropped": "dropped", "sub/dropped": "x", "sub/kept": "y", ".dockerignore": "**/dropped\n",
		"Dockerfile": "FROM busybox\nCOPY . /c/\n", "other/Build": "FROM busybox\nCOPY kept /k\n", "own": "FROM busybox\nCOPY . /c/\n", "own.dockerignore": "kept\n",
	})
	list := func(image string) string {
		return inside2(t, image, "cd /c && find . -type f | grep -v -e ocker -e own -e other | sort | tr '\\n' ' '")
	}
	want(t, ".dockerignore", list(build(t, context)), "./kept ./sub/kept ")
	want(t, "an ignore file of the Dockerfile's name", list(build(t, context, "-f", filepath.Join(context, "own"))), "./dropped ./sub/dropped ./sub/kept ")
	want(t, "--ignorefile", list(build(t, context, "--ignorefile", file(t, "ign", "sub\n"))), "./dropped ./kept ")
	want(t, "--file elsewhere", inside2(t, build(t, context, "-f", filepath.Join(context, "other/Build")), "cat /k"), "kept")

	podmans := recipe(t, map[string]string{"Containerfile": "FROM busybox\nCOPY . /c/\n", "a": "a", "b": "b", ".containerignore": "b\n"})
	want(t, "Containerfile, .containerignore", inside2(t, build(t, podmans), "ls /c"), "Containerfile\na")

	further := recipe(t, map[string]string{"f": "further"})
	named := recipe(t, map[string]string{"Dockerfile": "FROM base\nCOPY --from=more f /f\n"})
	image := build(t, named, "--build-context", "more="+further, "--build-context", "base=docker-image://busybox")
	want(t, "--build-context", inside2(t, image, "cat /f"), "further")
}

// flag: build --file
func TestBuildStdin(t *testing.T) {
	t.Parallel()
	dockerfile := []byte("FROM busybox\nRUN echo stdin > /x\n")
	want(t, "a Dockerfile on standard input, no context", inside2(t, buildFrom(t, dockerfile, "-"), "cat /x"), "stdin")
	context := recipe(t, map[string]string{"f": "context"})
	want(t, "--file -", inside2(t, buildFrom(t, []byte("FROM busybox\nCOPY f /x\n"), "-f", "-", context), "cat /x"), "context")

	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, text := range map[string]string{"f": "archived", "Dockerfile": "FROM busybox\nCOPY f /x\n", "Second": "FROM busybox\nCOPY f /y\n"} {
		w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))})
		w.Write([]byte(text))
	}
	w.Close()
	want(t, "a tar archive as the context", inside2(t, buildFrom(t, archive.Bytes(), "-"), "cat /x"), "archived")
	want(t, "another Dockerfile in it", inside2(t, buildFrom(t, archive.Bytes(), "-f", "Second", "-"), "cat /y"), "archived")
}

// flag: build --output --iidfile --metadata-file --quiet --annotation --tag
func TestBuildResults(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"f": "x", "Dockerfile": "FROM scratch\nCOPY f /d/f\n"})
	name, out := built(t), dir(t)
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", name+"-2:tag") })
	id := shared.Must(t, "build", "-q", "-t", name, "-t", name+"-2:tag", "--iidfile", filepath.Join(out, "iid"), "--metadata-file", filepath.Join(out, "meta"), context)
	want(t, "the id", "sha256:"+strings.TrimPrefix(imageField(t, name, "{{.Id}}"), "sha256:"), id)
	want(t, "the second name's image", imageField(t, name+"-2:tag", "{{.Id}}"), imageField(t, name, "{{.Id}}"))
	iid, _ := os.ReadFile(filepath.Join(out, "iid"))
	want(t, "--iidfile", string(iid), id)
	var meta map[string]any
	data, _ := os.ReadFile(filepath.Join(out, "meta"))
	if err := json.Unmarshal(data, &meta); err != nil || meta["containerimage.config.digest"] != id {
		t.Errorf("--metadata-file: %v\n%s", err, data)
	}

	shared.Must(t, "build", "-q", "-o", filepath.Join(out, "local"), context)
	if text, _ := os.ReadFile(filepath.Join(out, "local/d/f")); string(text) != "x" {
		t.Error("-o DIR: the file is not there")
	}
	oci := filepath.Join(out, "oci.tar")
	shared.Must(t, "build", "-q", "-o", "type=oci,dest="+oci, "-t", name, "--annotation", "k=v", context)
	if list, err := exec.Command("tar", "tf", oci).Output(); err != nil || !strings.Contains(string(list), "index.json") {
		t.Errorf("-o type=oci: %v\n%s", err, list)
	}
	cmd := shared.Command(t.Context(), "build", "-q", "-o", "-", context)
	tarball, err := cmd.Output()
	if err != nil || !bytes.Contains(tarball, []byte("d/f")) {
		t.Errorf("-o -: %v", err)
	}
}

// flag: build --call --check
func TestBuildCalls(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"Dockerfile": "# A tool\nFROM busybox AS tool\n# WHO is greeted\nARG WHO=you\nFROM tool\nfrom busybox as odd\n"})
	for args, text := range map[string]string{
		"--call targets": "tool", "--call outline --target tool": "is greeted", "--call targets,format=json": `"name": "tool"`,
	} {
		if got := shared.Must(t, append(append([]string{"build"}, strings.Fields(args)...), context)...); !strings.Contains(got, text) {
			t.Errorf("build %s: %q is missing in\n%s", args, text, got)
		}
	}
	r := shared.Try(t, "build", "--check", context)
	if r.Code != 1 || !strings.Contains(r.Stdout, "ConsistentInstructionCasing") || !strings.Contains(r.Stdout, "Dockerfile:6") {
		t.Errorf("--check: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// flag: build --squash --squash-all --layers
func TestBuildSquash(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"f": "x", "Dockerfile": "FROM busybox\nCOPY f /a\nRUN rm /a; rm -r /home; echo b > /b; ln /b /c\nRUN echo d > /etc/d\nENV A=1\n"})
	for flag, layers := range map[string]string{"--squash": "2", "--squash-all": "1", "--layers=true": "4"} {
		name := built(t)
		shared.Must(t, "build", "-q", flag, "-t", name, context)
		want(t, flag+": layers", imageField(t, name, "{{len .RootFS.Layers}}"), layers)
		want(t, flag+": files", inside2(t, name, "cat /b /etc/d; ls -d /a /home 2>/dev/null; [ /b -ef /c ] && echo linked; echo $A"), "b\nd\nlinked\n1")
		if n := strings.Count(shared.Must(t, "history", "--no-trunc", name), "# buildkit"); n != 3 {
			t.Errorf("%s: the history has %d steps, want 3", flag, n)
		}
	}
	failing(t, 125, "--no-cache, and --squash", "build", "--layers=false", context)
}

// flag: build --timestamp --source-date-epoch --rewrite-timestamp
func TestBuildReproducible(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"f": "x", "Dockerfile": "FROM busybox\nCOPY f /a\nRUN date > /dev/null; echo b > /b\n"})
	name := built(t)
	once := func(args ...string) string {
		return shared.Must(t, append(append([]string{"build", "-q", "--no-cache", "-t", name}, args...), context)...)
	}
	first := once("--timestamp", "1000000000")
	os.Chtimes(filepath.Join(context, "f"), time.Now(), time.Now())
	want(t, "the same again, at another time", once("--timestamp", "1000000000"), first)
	want(t, "times of files", inside2(t, name, "stat -c %Y /a /b"), "1000000000\n1000000000")
	want(t, "when the image was made", imageField(t, name, "{{.Created}}"), "2001-09-09T01:46:40Z")
	want(t, "the same by other flags", once("--source-date-epoch", "1000000000", "--rewrite-timestamp"), first)
	name = built(t)
	want(t, "SOURCE_DATE_EPOCH", func() string {
		with := shared.With("SOURCE_DATE_EPOCH=1000000000")
		with.Must(t, "build", "-q", "--no-cache", "-t", name, context)
		return imageField(t, name, "{{.Created}}")
	}(), "2001-09-09T01:46:40Z")
}
