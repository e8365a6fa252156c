package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestSelected(t *testing.T) {
	all := func() []row { return []row{{name: "ps0"}, {name: "ps100"}, {name: "run"}, {name: "rund"}} }
	for _, c := range []struct{ words, want string }{
		{"", "ps0 ps100 run rund"}, {"ps", "ps0 ps100"}, {"run", "run"}, {"ps0 rund", "ps0 rund"}, {"none", ""},
	} {
		var names []string
		for _, r := range selected(all(), strings.Fields(c.words)) {
			names = append(names, r.name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%q selects %q, want %q", c.words, got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median %v, want %v", got, c.want)
		}
	}
}

func TestReportSaysWhatIsMissed(t *testing.T) {
	rep := &report{columns: []string{"wherry", "podman", "crun"}}
	fast := row{name: "run", title: "run", limit: 18 * time.Millisecond, against: noSlowerThan("crun")}
	for _, c := range []struct {
		r       row
		medians map[string]float64
		want    string
	}{
		{fast, map[string]float64{"wherry": 14, "podman": 140, "crun": 25}, "yes"},
		{fast, map[string]float64{"wherry": 19, "podman": 140, "crun": 25}, "no: over the limit"},
		{fast, map[string]float64{"wherry": 17, "crun": 16}, "no: slower than crun"},
		{fast, map[string]float64{"podman": 140}, "no: not measured"},
		{row{name: "growth"}, map[string]float64{"wherry": 18, fresh: 17}, "yes"},
		{row{name: "growth"}, map[string]float64{"wherry": 34, fresh: 17}, "no: +100 %"},
	} {
		rep.add(c.r, c.medians)
		if last := rep.lines[len(rep.lines)-1]; last[len(last)-1] != c.want {
			t.Errorf("%s %v: %q, want %q", c.r.name, c.medians, last[len(last)-1], c.want)
		}
	}
}

func TestWriteKeepsTheRestOfTheReadme(t *testing.T) {
	dir := t.TempDir()
	readme, doc := filepath.Join(dir, "README.md"), filepath.Join(dir, "bench.md")
	rep := &report{columns: []string{"wherry"}}
	if err := os.WriteFile(readme, []byte("top\n"+openMark+"\nold\n"+closeMark+"\nend\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := rep.write(doc, readme); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	if !strings.HasPrefix(got, "top\n"+openMark) || !strings.HasSuffix(got, closeMark+"\nend\n") || strings.Contains(got, "old") {
		t.Errorf("README is now %q", got)
	}
	if err := os.WriteFile(readme, []byte("no marks"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := rep.write(doc, readme); err == nil {
		t.Error("a README without marks is no error")
	}
}

func TestAgentAnswers(t *testing.T) {
	var out strings.Builder
	in := strings.NewReader(`{"Argvs":[["echo","hi"]]}{"Argvs":[["false"]]}{"Argvs":[["true"],["true"]],"Parallel":2}`)
	if err := serve(in, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], `"Output":"hi"`) || !strings.Contains(lines[1], "exit status 1") ||
		!strings.Contains(lines[2], `"Error":""`) {
		t.Errorf("answers: %q", lines)
	}
}

func TestLayoutIsWhole(t *testing.T) {
	dir := t.TempDir()
	if err := writeLayout(dir, 2, 1000); err != nil {
		t.Fatal(err)
	}
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	if err != nil || len(blobs) != 4 {
		t.Errorf("blobs %q, %v: want two layers, config and manifest", blobs, err)
	}
	for _, blob := range blobs {
		data, err := os.ReadFile(blob)
		if err != nil {
			t.Fatal(err)
		}
		if sum := digest.FromBytes(data).Encoded(); sum != filepath.Base(blob) {
			t.Errorf("blob %s has the digest %s", filepath.Base(blob), sum)
		}
	}
}
