package system

import (
	"archive/tar"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// flag: build --jobs
func TestBuildJobs(t *testing.T) {
	t.Parallel()
	step := "RUN --mount=type=cache,id=jobs,target=/m mkdir /m/busy && sleep 0.2 && rmdir /m/busy\n"
	context := recipe(t, map[string]string{"Dockerfile": "FROM busybox AS a\n" + step + "FROM busybox AS b\nRUN true\n" + step +
		"FROM scratch\nCOPY --from=a /bin/busybox /a\nCOPY --from=b /bin/busybox /b\n"})
	shared.Must(t, "build", "-q", "--jobs", "1", context) // two at a time would meet in /m/busy
}

// flag: build --pull
func TestBuildPull(t *testing.T) {
	t.Parallel()
	here := recipe(t, map[string]string{"Dockerfile": "FROM busybox\n"})
	gone := recipe(t, map[string]string{"Dockerfile": "FROM localhost:1/no/such/image\n"})
	shared.Must(t, "build", "-q", "--pull=never", here)
	shared.Must(t, "build", "-q", "--pull=missing", here)
	failing(t, 1, "no registry is asked", "build", "--pull=never", gone)
	local := built(t)
	shared.Must(t, "tag", "busybox", "localhost:1/"+local)
	t.Cleanup(func() { shared.Try(t, "rmi", "localhost:1/"+local) })
	tagged := recipe(t, map[string]string{"Dockerfile": "FROM localhost:1/" + local + "\n"})
	shared.Must(t, "build", "-q", tagged)
	for _, asks := range []string{"--pull", "--pull=always"} { // the registry is asked although the image is here
		failing(t, 1, "localhost:1", "build", asks, tagged)
	}
}

// flag: build --load --rm --force-rm --push
func TestBuildOutputsTogether(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"})
	name, tarball := built(t), filepath.Join(dir(t), "x.tar")
	shared.Must(t, "build", "-q", "--load", "--rm", "--force-rm", "-o", "type=tar,dest="+tarball, "-t", name, context)
	if info, err := os.Stat(tarball); err != nil || info.Size() == 0 {
		t.Error("-o: no archive")
	}
	shared.Must(t, "image", "exists", name)
	want(t, "containers that the steps left", shared.Must(t, "ps", "-aq", "--filter", "ancestor="+name), "")
	failing(t, 1, "localhost:1", "build", "--push", "-t", "localhost:1/no/registry", context)
}

// flag: build --arch --os --variant --platform
func TestBuildPlatforms(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"f": "x", "Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY f /$TARGETARCH\n"})
	name := build(t, context, "--os", "linux", "--arch", "arm", "--variant", "v6")
	want(t, "what the image is for", imageField(t, name, "{{.Os}}/{{.Architecture}}/{{.Variant}}"), "linux/arm/v6")
	out := filepath.Join(dir(t), "out")
	shared.Must(t, "build", "-q", "--platform", "linux/amd64,linux/arm64", "-o", out, context)
	for _, arch := range []string{"amd64", "arm64"} {
		if _, err := os.Stat(filepath.Join(out, "linux_"+arch, arch)); err != nil {
			t.Errorf("files for %s: %v", arch, err)
		}
	}
	failing(t, 125, "excludes", "build", "--platform", "linux/amd64", "--arch", runtime.GOARCH, context)
}

// flag: build --ssh
func TestBuildSSH(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"Dockerfile": "FROM busybox\nRUN --mount=type=ssh,uid=7,mode=0640 stat -Lc '%F %u %a' $SSH_AUTH_SOCK > /seen\nRUN [ -z \"$SSH_AUTH_SOCK\" ]\n"})
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	key := file(t, "key", string(pem.EncodeToMemory(block)))
	name := build(t, context, "--ssh", "default="+key)
	want(t, "what the step saw", inside2(t, name, "cat /seen"), "socket 7 640")
	failing(t, 125, "no-such-key", "build", "--ssh", "default=no-such-key", context)
}

// flag: build --allow
func TestBuildAllow(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"Dockerfile": "FROM busybox\nRUN --network=host true\n"})
	failing(t, 1, "network.host is not allowed", "build", context)
	shared.Must(t, "build", "-q", "--allow", "network.host", context)
}

// flag: build --http-proxy --dns --dns-search --dns-option
func TestBuildSurroundings(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo \"$http_proxy\" > /seen; grep -v '^#' /etc/resolv.conf >> /seen\n"})
	with := shared.With("http_proxy=http://proxy.example:1")
	name := built(t)
	with.Must(t, "build", "-q", "-t", name, "--dns", "192.0.2.1", "--dns-search", "example.com", "--dns-option", "ndots:3", context)
	got := inside2(t, name, "cat /seen")
	for _, text := range []string{"http://proxy.example:1\n", "nameserver 192.0.2.1", "search example.com", "options ndots:3"} {
		if !strings.Contains(got, text) {
			t.Errorf("%q is missing in\n%s", text, got)
		}
	}
	if env := imageField(t, name, "{{.Config.Env}}"); strings.Contains(env, "proxy") {
		t.Error("the proxy is in the image")
	}
	with.Must(t, "build", "-q", "--no-cache", "-t", name, "--http-proxy=false", context)
	if strings.Contains(inside2(t, name, "cat /seen"), "proxy.example") {
		t.Error("--http-proxy=false: the step has the proxy")
	}
}

// flag: build --progress --logfile
func TestBuildProgress(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo of the step\n"})
	log := filepath.Join(dir(t), "log")
	r := shared.Try(t, "build", "--no-cache", "--logfile", log, context)
	if data, _ := os.ReadFile(log); r.Code != 0 || r.Stderr != "" || !strings.Contains(string(data), " of the step") {
		t.Errorf("--logfile: exit %d, stderr %q, file:\n%s", r.Code, r.Stderr, data)
	}
	for _, quiet := range []string{"none", "quiet"} {
		if r := shared.Try(t, "build", "--progress", quiet, context); r.Code != 0 || r.Stderr != "" {
			t.Errorf("--progress %s: exit %d, stderr %q", quiet, r.Code, r.Stderr)
		}
	}
	r = shared.Try(t, "build", "--progress", "rawjson", "--no-cache", context)
	lines := json.NewDecoder(strings.NewReader(r.Stderr))
	steps := 0
	for {
		var s struct{ Vertexes, Logs []any }
		err := lines.Decode(&s)
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("--progress rawjson: %v\n%s", err, r.Stderr)
		}
		steps += len(s.Vertexes)
	}
	if steps == 0 {
		t.Error("--progress rawjson: no step")
	}
	failing(t, 1, "is no terminal", "build", "--progress", "tty", context)
}

// flag: build --format --attest --provenance --sbom
func TestBuildStatements(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"})
	written := func(flags ...string) string {
		t.Helper()
		out := filepath.Join(dir(t), "x.tar")
		shared.Must(t, append(append([]string{"build", "-q", "--build-arg", "PASS=not-to-be-told", "-o", "type=oci,dest=" + out}, flags...), context)...)
		return blobs(t, out)
	}
	for format, kind := range map[string]string{"oci": "vnd.oci.image.manifest", "docker": "vnd.docker.distribution.manifest"} {
		if !strings.Contains(written("--format", format), kind) {
			t.Errorf("--format %s: no manifest of type %s", format, kind)
		}
	}
	short := written("--provenance", "mode=min")
	if !strings.Contains(short, "https://slsa.dev/provenance/v1") || strings.Contains(short, "not-to-be-told") {
		t.Error("--provenance mode=min: there is no statement, or it tells arguments")
	}
	long := written("--attest", "type=provenance,mode=max")
	if !strings.Contains(long, "llbDefinition") || !strings.Contains(long, "not-to-be-told") {
		t.Error("--attest type=provenance,mode=max: the steps or the arguments are missing")
	}
	if plain := written("--provenance", "false"); strings.Contains(plain, "slsa.dev") {
		t.Error("--provenance false: there is a statement")
	}
	failing(t, 1, "want min or max", "build", "--provenance", "mode=none", context)

	scanner := built(t) + "-scanner"
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", scanner) })
	shared.Must(t, "build", "-q", "-t", scanner, recipe(t, map[string]string{"scan": `#!/bin/sh
echo '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":{"name":"found-'$(ls $BUILDKIT_SCAN_SOURCE/bin/busybox | wc -l)'"}}' > $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json
`, "Dockerfile": "FROM busybox\nCOPY --chmod=755 scan /scan\nENTRYPOINT [\"/scan\"]\n"}))
	if found := written("--sbom", "generator="+scanner); !strings.Contains(found, "found-1") || !strings.Contains(found, "https://spdx.dev/Document") {
		t.Error("--sbom: what the scanner found is not in the image")
	}
}

// blobs is everything small in an archive.
func blobs(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all strings.Builder
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return all.String()
		} else if err != nil {
			t.Fatal(err)
		}
		if h.Size < 1<<20 {
			io.Copy(&all, r)
		}
	}
}
