package system

import (
	"archive/tar"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// cached is a store of its own, for prunes take all, with a context whose steps take no time.
func cached(t *testing.T) (*testkit.Store, string) {
	t.Helper()
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	return s, recipe(t, map[string]string{"hello": "hello", "Dockerfile": `FROM busybox
COPY hello /hello
RUN --mount=type=cache,id=../../../hostile,target=/c echo kept >> /c/log; cp /c/log /log
RUN echo second > /second
`})
}

func layersOn(s *testkit.Store) int {
	dirs, _ := filepath.Glob(filepath.Join(s.Data, "storage/overlay/*/diff"))
	return len(dirs)
}

// flag: builder prune --all --force
// flag: buildx prune --verbose
func TestBuildCacheAndPrunes(t *testing.T) {
	t.Parallel()
	s, context := cached(t)
	before := layersOn(s)
	build := func() int { return ran(s.Try(t, "build", "--progress", "plain", "-t", "one", context)) }
	if n := build(); n != 2 {
		t.Fatalf("the first build ran %d steps", n)
	}
	s.Must(t, "rmi", "one")
	s.Must(t, "image", "prune", "-f")
	if n := build(); n != 0 {
		t.Errorf("%d steps ran again after rmi and image prune", n)
	}
	// Without --all what the image has, too, stays; the cache directory goes.
	if out := s.Must(t, "builder", "prune", "--force"); strings.Count(out, "\n") != 2 || !strings.Contains(out, "Total:") {
		t.Errorf("prune removed\n%s", out)
	}
	if n := build(); n != 0 {
		t.Errorf("%d steps ran again after a prune without --all", n)
	}
	s.Must(t, "rmi", "one")
	if out := s.Must(t, "buildx", "prune", "--all", "--force", "--verbose"); strings.Count(out, "Description:") < 3 {
		t.Errorf("prune says\n%s", out)
	}
	if n := layersOn(s); n != before {
		t.Errorf("%d layers are left, there were %d", n, before)
	}
	if left := entries(filepath.Join(s.Data, "build/mounts")); len(left) != 0 {
		t.Errorf("left of cache directories: %v", left)
	}
	if n := build(); n != 2 {
		t.Errorf("%d steps ran after the prune", n)
	}
	want(t, "check", s.Must(t, "system", "check"), "No problems found")
	s.Must(t, "system", "prune", "-af")
	if n := layersOn(s); n != 0 {
		t.Errorf("%d layers are left after system prune --all", n)
	}
}

// flag: buildx du --filter --verbose --format
// flag: system df --verbose
// flag: builder prune --filter --keep-storage
// flag: buildx prune --filter --reserved-space --max-used-space --min-free-space --all --force
func TestBuildCacheUsage(t *testing.T) {
	t.Parallel()
	s, context := cached(t)
	s.Must(t, "build", "-q", "-t", "one", context)
	if out := s.Must(t, "buildx", "du"); !strings.Contains(out, "Reclaimable:") || !strings.Contains(out, "Shared:") {
		t.Errorf("du says\n%s", out)
	}
	mounts := s.Must(t, "buildx", "du", "--filter", "type=exec.cachemount", "--format", "{{.Description}} {{.Mutable}}")
	if !strings.HasSuffix(strings.TrimSpace(mounts), "../hostile true") || strings.Contains(strings.TrimSpace(mounts), "\n") {
		t.Errorf("cache directories:\n%s", mounts)
	}
	if out := s.Must(t, "buildx", "du", "--verbose", "--filter", "description~=second"); strings.Count(out, "ID:") != 1 || !strings.Contains(out, "Parents:") {
		t.Errorf("du --verbose says\n%s", out)
	}
	var rows []struct{ Type, TotalCount string }
	for _, line := range strings.Split(s.Must(t, "system", "df", "--format", "json"), "\n") {
		var row struct{ Type, TotalCount string }
		if json.Unmarshal([]byte(line), &row) == nil {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 || rows[len(rows)-1].Type != "Build Cache" || rows[len(rows)-1].TotalCount == "0" {
		t.Errorf("df: %+v", rows)
	}
	if out := s.Must(t, "system", "df", "--verbose"); !strings.Contains(out, "exec.cachemount") {
		t.Errorf("df --verbose says\n%s", out)
	}
	for _, limit := range [][]string{{"--keep-storage", "1GB"}, {"--reserved-space", "1GB", "--max-used-space", "1"}, {"--min-free-space", "1"}, {"--filter", "until=24h"}} {
		if out := s.Must(t, append([]string{"buildx", "prune", "-af"}, limit...)...); strings.Contains(out, "ID") {
			t.Errorf("prune %v removed\n%s", limit, out)
		}
	}
	s.Must(t, "builder", "prune", "-af", "--filter", "type=exec.cachemount")
	if left := entries(filepath.Join(s.Data, "build/mounts")); len(left) != 0 {
		t.Errorf("left of cache directories: %v", left)
	}
	if len(entries(filepath.Join(s.Data, "build/records"))) == 0 {
		t.Error("more went than the filter said")
	}
	s.MustFail(t, 125, "colour", "builder", "prune", "-f", "--filter", "colour=red")
	s.Must(t, "rmi", "one")
	s.Must(t, "buildx", "prune", "-af", "--max-used-space", "1")
	if left := entries(filepath.Join(s.Data, "build/records")); len(left) != 0 {
		t.Errorf("left of records: %v", left)
	}
}

// A prune while a build runs takes nothing that the build has made or found.
func TestBuildBesidePrune(t *testing.T) {
	t.Parallel()
	s, _ := cached(t)
	context := recipe(t, map[string]string{"Dockerfile": `FROM busybox AS first
RUN echo first > /first
FROM busybox AS second
COPY --from=first /first /copy
RUN sleep 1
FROM second
COPY --from=first /first /again
`})
	s.Must(t, "build", "-q", "--target", "first", context) // found by the next
	done := make(chan testkit.Result, 1)
	go func() { done <- s.Try(t, "build", "-t", "one", context) }()
	testkit.Eventually(t, "the step runs", func() bool { return len(entries(filepath.Join(s.Run, "steps"))) > 0 || len(done) > 0 })
	s.Must(t, "builder", "prune", "-af")
	s.Must(t, "image", "prune", "-f")
	if r := <-done; r.Code != 0 {
		t.Fatalf("exit %d\n%s", r.Code, r.Stderr)
	}
	want(t, "the image", s.Must(t, "run", "--rm", "one", "cat", "/copy", "/again"), "first\nfirst")
}

// flag: build --output
func TestBuildReproducibleArchive(t *testing.T) {
	t.Parallel()
	s, context := cached(t)
	epoch := s.With("SOURCE_DATE_EPOCH=1700000000")
	digests := map[string]bool{}
	for range 2 {
		out := filepath.Join(dir(t), "x.tar")
		epoch.Must(t, "build", "-q", "--output", "type=oci,rewrite-timestamp=true,dest="+out, context)
		data := member(t, out, "index.json")
		var index struct{ Manifests []struct{ Digest string } }
		if err := json.Unmarshal(data, &index); err != nil || len(index.Manifests) != 1 {
			t.Fatalf("%s %v", data, err)
		}
		digests[index.Manifests[0].Digest] = true
		s.Must(t, "builder", "prune", "-af")
	}
	if len(digests) != 1 {
		t.Errorf("built twice from nothing: %v", digests)
	}
}

// member is a file of an archive.
func member(t *testing.T, archive, name string) []byte {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for in := tar.NewReader(f); ; {
		h, err := in.Next()
		if err != nil {
			t.Fatalf("%s in %s: %v", name, archive, err)
		}
		if h.Name == name {
			data, err := io.ReadAll(in)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
	}
}
