package run_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/entitlements"

	"github.com/wherry-containers/wherry/buildah/run"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/testkit"
)

// The tests in this package run steps for real. Each executes itself again in the user namespace of a store of its own.
const (
	insideEnv  = "WHERRY_TEST_INSIDE"
	builderEnv = "WHERRY_TEST_BUILDER"
)

var store *testkit.Store

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(builderEnv) != "":
		os.Exit(builder())
	case os.Getenv(insideEnv) != "":
		os.Exit(m.Run())
	}
	os.Exit(outside(m))
}

func outside(m *testing.M) int {
	s, done, err := testkit.Open("bin")
	if err != nil {
		fmt.Println("skipping the steps:", err)
		return 0
	}
	defer done()
	store = s
	return m.Run()
}

// inside returns true in the process that is to run the test. Like a builder it has a mount namespace of its own.
func inside(t *testing.T, env ...string) bool {
	t.Helper()
	if os.Getenv(insideEnv) == t.Name() {
		return true
	}
	if os.Getenv(insideEnv) != "" {
		t.SkipNow()
	}
	if _, err := exec.LookPath("busybox"); err != nil {
		t.Skip("busybox is not installed")
	}
	again := []string{"unshare", "-m", "--propagation", "slave", os.Args[0], "-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=20s"}
	var cmd *exec.Cmd
	if os.Getuid() != 0 {
		cmd = store.Command(context.Background(), append([]string{"unshare"}, again...)...)
	} else {
		cmd = exec.Command(again[0], again[1:]...)
		cmd.Env = store.Command(context.Background()).Env
	}
	cmd.Env = append(append(cmd.Env, env...), insideEnv+"="+t.Name(), "WHERRY_LIBEXEC="+filepath.Join(filepath.Dir(store.Bin), "libexec/wherry"))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("inside: %v", err)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skip("skipped inside")
	}
	return false
}

// bench is a root file system of busybox and a runner.
type bench struct {
	*testing.T
	dirs   layout.Dirs
	runner *run.Runner
	root   string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, dirs: dirs(t), root: filepath.Join(t.TempDir(), "root")}
	b.runner = run.New(run.Options{Dirs: b.dirs, Warn: func(text string) { t.Log("warning:", text) }})
	busybox, _ := exec.LookPath("busybox")
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"bin", "etc", "tmp"} {
		b.must(os.MkdirAll(b.in(d), 0o755))
	}
	b.must(os.Chmod(b.in("tmp"), 0o777|os.ModeSticky))
	b.must(os.WriteFile(b.in("bin/busybox"), data, 0o755))
	for _, a := range strings.Fields("sh true false cat ls id sleep env mount stat grep touch mkdir rm ln wc hostname ip head dd echo ps chmod setsid pwd nslookup kill") {
		b.must(os.Symlink("busybox", b.in("bin/"+a)))
	}
	b.must(os.WriteFile(b.in("etc/passwd"), []byte("root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n"), 0o644))
	b.must(os.WriteFile(b.in("etc/group"), []byte("root:x:0:\nbob:x:1000:\nwheel:x:10:bob\n"), 0o644))
	return b
}

func dirs(t testing.TB) layout.Dirs {
	d, err := layout.Find(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) in(path string) string { return filepath.Join(b.root, path) }

// sh is a step of the shell without a network.
func sh(script string) run.Step {
	return run.Step{Meta: &pb.Meta{Args: []string{"/bin/sh", "-c", script}, Cwd: "/"}, Network: pb.NetMode_NONE}
}

// output runs a step that is to succeed.
func (b *bench) output(s run.Step) string {
	b.Helper()
	out, err := b.try(s)
	if err != nil {
		b.Fatalf("%q: %v\n%s", s.Meta.Args, err, out)
	}
	return strings.TrimRight(out, "\n")
}

func (b *bench) try(s run.Step) (string, error) {
	var out bytes.Buffer
	s.Stdout, s.Stderr = &out, &out
	err := b.runner.Run(context.Background(), b.root, s)
	return out.String(), err
}

// allow grants entitlements.
func allow(t *testing.T, names ...entitlements.Entitlement) entitlements.Set {
	t.Helper()
	set, err := entitlements.WhiteList(names, nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// builder is a process of its own that runs one step: what a test kills.
func builder() int {
	var s run.Step
	var root string
	text := os.Getenv(builderEnv)
	root, text, _ = strings.Cut(text, "\n")
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		fmt.Println(err)
		return 1
	}
	d, err := layout.Find(os.Getenv)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	s.Stdout, s.Stderr = os.Stdout, os.Stderr
	if err := run.New(run.Options{Dirs: d}).Run(context.Background(), root, s); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}
