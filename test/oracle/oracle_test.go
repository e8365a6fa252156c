package oracle

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

var store *testkit.Store

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("BUILDKIT_ADDR") == "" {
		return m.Run()
	}
	s, done, err := testkit.Open("bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer done()
	store = s
	return m.Run()
}

// recipe is one file of testdata: lines of options, then the context.
type recipe struct {
	opts []string // build-arg:NAME=VALUE, target=NAME, ... as buildctl takes them
	dir  string
}

// base is the name of the one image that the recipes may stand on.
func base() string { return os.Getenv("ORACLE_REGISTRY") + "/busybox" }

// unpack writes a recipe's context. Directives: opt K=V; mode OCTAL PATH; link TARGET PATH; dir PATH.
func unpack(t *testing.T, path string) recipe {
	t.Helper()
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := recipe{dir: t.TempDir()}
	for _, f := range a.Files {
		data := strings.ReplaceAll(string(f.Data), "@BASE@", base())
		target := filepath.Join(r.dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(string(a.Comment)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		first, name, _ := strings.Cut(rest, " ")
		var err error
		switch word {
		case "opt":
			r.opts = append(r.opts, rest)
		case "mode":
			var mode uint64
			if mode, err = strconv.ParseUint(first, 8, 32); err == nil {
				err = os.Chmod(filepath.Join(r.dir, name), os.FileMode(mode)) //nolint:gosec // as the recipe says
			}
		case "link":
			err = os.Symlink(first, filepath.Join(r.dir, name))
		case "dir":
			err = os.MkdirAll(filepath.Join(r.dir, rest), 0o755)
		}
		if err != nil {
			t.Fatalf("%s: %s: %v", path, line, err)
		}
	}
	return r
}

// flags are the options as wherry takes them.
func (r recipe) flags(t *testing.T) (flags []string) {
	t.Helper()
	for _, o := range r.opts {
		key, value, _ := strings.Cut(o, "=")
		kind, name, _ := strings.Cut(key, ":")
		switch kind {
		case "build-arg", "label", "build-context":
			flags = append(flags, "--"+kind, name+"="+value)
		case "target", "platform":
			flags = append(flags, "--"+kind, value)
		case "filename":
			flags = append(flags, "-f", filepath.Join(r.dir, value))
		default:
			t.Fatalf("no flag for the option %s", o)
		}
	}
	return flags
}

func (r recipe) buildkit(t *testing.T, out string) {
	t.Helper()
	args := []string{"--addr", os.Getenv("BUILDKIT_ADDR"), "build", "--frontend", "dockerfile.v0", "--local", "context=" + r.dir, "--local", "dockerfile=" + r.dir, "--output", "type=oci,dest=" + out}
	for _, o := range r.opts {
		args = append(args, "--opt", o)
	}
	if text, err := exec.Command(os.Getenv("BUILDCTL"), args...).CombinedOutput(); err != nil {
		t.Fatalf("BuildKit: %v\n%s", err, text)
	}
}

// TestAsBuildKit builds every recipe with both.
func TestAsBuildKit(t *testing.T) {
	if store == nil {
		t.Skip("test/oracle/run.sh starts BuildKit for this (make test-oracle)")
	}
	store.Must(t, "tag", testkit.Image, base())
	store.Must(t, "push", "--tls-verify=false", base())
	recipes, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(recipes) < 60 {
		t.Fatalf("%d recipes, %v", len(recipes), err)
	}
	for _, path := range recipes {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			r, out := unpack(t, path), t.TempDir()
			theirs, ours := filepath.Join(out, "buildkit.tar"), filepath.Join(out, "wherry.tar")
			r.buildkit(t, theirs)
			args := append([]string{"build", "--provenance=false", "-o", "type=oci,dest=" + ours}, r.flags(t)...)
			store.Must(t, append(args, r.dir)...)
			want, err := read(theirs)
			if err != nil {
				t.Fatal(err)
			}
			got, err := read(ours)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range differences(want, got) {
				t.Error(line)
			}
		})
	}
}

func TestDifferences(t *testing.T) {
	got := differences(picture{"a", "b", "c", "c"}, picture{"b", "c", "d"})
	if !slices.Equal(got, []string{"- a", "- c", "+ d"}) {
		t.Errorf("%q", got)
	}
}
