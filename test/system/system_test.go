package system

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// usage is one row of `system df --format json`.
type usage struct {
	Type             string
	Total            int
	Active           string
	RawSize          int64
	RawReclaimable   int64
	TotalCount, Size string
	Reclaimable      string
}

func usageOf(t *testing.T, s *testkit.Store) map[string]usage {
	t.Helper()
	rows := map[string]usage{}
	for _, line := range strings.Split(s.Must(t, "system", "df", "--format", "json"), "\n") {
		var u usage
		if err := json.Unmarshal([]byte(line), &u); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		rows[u.Type] = u
	}
	return rows
}

// flag: system df --format --verbose
func TestSystemDf(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	const mib = 1 << 20
	s.Must(t, "run", "--name", "stopped", testkit.Image, "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=3")
	s.Must(t, "run", "-d", "--name", "up", "-v", "used:/v", testkit.Image, "sh", "-c", "dd if=/dev/zero of=/v/f bs=1M count=2; echo ready; sleep 1000")
	s.Must(t, "run", "--rm", "-v", "unused:/v", testkit.Image, "dd", "if=/dev/zero", "of=/v/f", "bs=1M", "count=1")
	testkit.Eventually(t, "the file is there", func() bool { return strings.Contains(s.Must(t, "logs", "up"), "ready") })
	rows := usageOf(t, s)
	if u := rows["Images"]; u.Total != 1 || u.Active != "1" || u.RawSize < mib || u.RawReclaimable != 0 {
		t.Errorf("images: %+v", u)
	}
	if u := rows["Containers"]; u.Total != 2 || u.Active != "1" || u.RawSize < 3*mib || u.RawReclaimable < 3*mib {
		t.Errorf("containers: %+v", u)
	}
	if u := rows["Local Volumes"]; u.Total != 2 || u.Active != "1" || u.RawSize != 3*mib || u.RawReclaimable != mib {
		t.Errorf("volumes: %+v", u)
	}
	verbose := s.Must(t, "system", "df", "-v")
	for _, text := range []string{"Images space usage:", testkit.Image, "stopped", "used          1", "unused        0", "Build cache usage: 0B"} {
		if !strings.Contains(strings.Join(strings.Fields(verbose), " "), strings.Join(strings.Fields(text), " ")) {
			t.Errorf("no %q in\n%s", text, verbose)
		}
	}
	want(t, "a template", s.Must(t, "system", "df", "-v", "--format", "{{len .Containers}} {{len .Volumes}}"), "2 2")
	s.Must(t, "rm", "-f", "-t", "0", "up", "stopped")
	if u := usageOf(t, s)["Images"]; u.Active != "0" || u.RawReclaimable != u.RawSize {
		t.Errorf("images without containers: %+v", u)
	}
}

// flag: system prune --all --filter --force --volumes
func TestSystemPrune(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "run", "-d", "--name", "up", testkit.Image, "sleep", "1000")
	s.Must(t, "create", "--name", "kept", "-l", "keep", testkit.Image, "true")
	old := s.Must(t, "create", "--name", "old", "-v", "/anon", "-v", "named:/n", testkit.Image, "true")
	s.Must(t, "import", "--change", "CMD true", filepath.Join(filepath.Dir(s.Data), "busybox.tar"), "other")
	names := func() string {
		return strings.Join(strings.Fields(s.Must(t, "ps", "-a", "--format", "{{.Names}}", "--sort", "names")), " ")
	}

	s.Must(t, "network", "create", "idle")
	s.Must(t, "network", "create", "--label", "keep", "labelled")
	s.Must(t, "system", "prune", "-f", "--filter", "until=10m")
	want(t, "nothing is that old", names(), "kept old up")
	out := s.Must(t, "system", "prune", "-f", "--filter", "label!=keep")
	want(t, "without the label", names(), "kept up")
	if !strings.Contains(out, "Deleted Containers:\n"+old) || !strings.Contains(out, "Total reclaimed space: ") {
		t.Errorf("what prune says:\n%s", out)
	}
	want(t, "networks", joined(s.Must(t, "network", "ls", "-q", "--filter", "type=custom", "--format", "{{.Name}}")), "labelled")
	// The anonymous volume went with its container; one of a container that is gone goes with --volumes.
	anonymous := s.Must(t, "volume", "create")
	s.Must(t, "system", "prune", "-f")
	want(t, "stopped ones", names(), "up")
	s.Must(t, "volume", "exists", anonymous)
	s.Must(t, "system", "prune", "-f", "--volumes")
	want(t, "volumes", s.Must(t, "volume", "ls", "-q"), "named")
	if images := s.Must(t, "images", "--format", "{{.Repository}}", "--sort", "repository"); images != testkit.Image+"\nother" {
		t.Errorf("images with a name stay without --all: %s", images)
	}
	if out := s.Must(t, "system", "prune", "-f", "-a"); !strings.Contains(out, "deleted: sha256:") {
		t.Errorf("no image deleted:\n%s", out)
	}
	want(t, "images that containers stand on stay", s.Must(t, "images", "--format", "{{.Repository}}"), testkit.Image)
	s.MustFail(t, 125, "until does not go with --volumes", "system", "prune", "-f", "--volumes", "--filter", "until=1h")
	s.MustFail(t, 125, `unknown filter "name"`, "system", "prune", "-f", "--filter", "name=x")
}

// flag: container prune --filter --force
func TestContainerPrune(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "create", "--name", "a", "-l", "keep=1", testkit.Image, "true")
	s.Must(t, "create", "--name", "b", testkit.Image, "true")
	s.Must(t, "run", "-d", "--name", "c", testkit.Image, "sleep", "1000")
	s.Must(t, "container", "prune", "-f", "--filter", "label!=keep=1", "--filter", "until=0s")
	want(t, "left", s.Must(t, "ps", "-a", "--format", "{{.Names}}", "--sort", "names"), "a\nc")
	s.Must(t, "container", "prune", "--force")
	want(t, "left", s.Must(t, "ps", "-a", "--format", "{{.Names}}"), "c")
}

// flag: system reset --force
func TestSystemReset(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "run", "-d", "--name", "up", "-v", "vol:/v", testkit.Image, "sleep", "1000")
	pid := hostPid(t, s, "up")
	s.Must(t, "create", "-v", "/anon", testkit.Image, "true")
	theirs := filepath.Join(s.Data, "not-ours")
	if err := os.WriteFile(theirs, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.Must(t, "system", "reset", "-f")
	if alive(pid) {
		t.Error("the container still runs")
	}
	testkit.Eventually(t, "all monitors gone", func() bool { return len(s.Monitors()) == 0 })
	for _, name := range entries(s.Data) {
		if name != "images.lock" && name != "trash" && name != "not-ours" {
			t.Errorf("left in the store: %s", name)
		}
	}
	if left := append(entries(s.Data+"/trash"), entries(s.Run+"/c")...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Error("a file that is not wherry's is gone")
	}
	want(t, "images", s.Must(t, "images", "-q"), "")
	s.Must(t, "volume", "create", "again")
}

// A reset that is killed at any step leaves a store that works, and the next one ends it.
func TestResetKilled(t *testing.T) {
	if os.Getenv("WHERRY_FAULT_BIN") == "" {
		t.Skip("WHERRY_FAULT_BIN is not set (make test sets it)")
	}
	t.Parallel()
	for _, step := range []string{"container.trashed", "reset.containers", "reset.part", "reset.moved"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			s, done, err := testkit.Open("fault")
			if err != nil {
				t.Fatal(err)
			}
			defer done()
			s.Must(t, "run", "-d", "--name", "up", "-v", "vol:/v", testkit.Image, "sleep", "1000")
			if r := s.With("WHERRY_FAULT=kill:"+step).Try(t, "system", "reset", "-f"); r.Code != -1 {
				t.Fatalf("it was not killed: exit %d %s", r.Code, r.Stderr)
			}
			s.Must(t, "ps", "-a")
			s.Must(t, "volume", "ls")
			s.Must(t, "images")
			s.Must(t, "system", "reset", "-f")
			if left := append(append(entries(s.Data+"/trash"), entries(s.Data+"/containers")...), entries(s.Run+"/c")...); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			testkit.Eventually(t, "all monitors gone", func() bool { return len(s.Monitors()) == 0 })
		})
	}
}

// flag: system check --quick --repair --force --max
func TestSystemCheckForce(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	id := s.Must(t, "create", "--name", "broken", testkit.Image, "true")
	inStore(t, s, id, "echo nonsense >$2/config.json")
	s.Must(t, "volume", "create", "vol")
	inStore(t, s, id, "echo nonsense >$1/volumes/vol/volume.json")
	r := s.Try(t, "system", "check", "--repair", "--quick")
	if r.Code != 1 || strings.Count(r.Stdout, "cannot be repaired") < 2 {
		t.Errorf("without --force: exit %d\n%s", r.Code, r.Stdout)
	}
	s.MustFail(t, 125, "--force needs --repair", "system", "check", "--force")
	out := s.Must(t, "system", "check", "-r", "-f", "-q")
	if strings.Count(out, "(repaired)") < 2 {
		t.Errorf("with --force:\n%s", out)
	}
	want(t, "containers", s.Must(t, "ps", "-aq"), "")
	want(t, "volumes", s.Must(t, "volume", "ls", "-q"), "")

	// A layer that no image has is left alone while a pull may be at work on it, then collected.
	inStore(t, s, id, `sed -i 's/"layer":"[0-9a-f]*"/"layer":""/' $1/storage/*-images/images.json`)
	if out := s.Try(t, "system", "check", "--max", "1h").Stdout; strings.Contains(out, "belong to no image") {
		t.Errorf("a young layer is reported:\n%s", out)
	}
	if out := s.Try(t, "system", "check", "--quick", "--max", "0s").Stdout; strings.Contains(out, "belong to no image") {
		t.Errorf("--quick looks at layers:\n%s", out)
	}
	if out := s.Try(t, "system", "check", "--max", "0s").Stdout; !strings.Contains(out, "1 layers belong to no image") {
		t.Errorf("an old layer is not reported:\n%s", out)
	}
	if out := s.Try(t, "system", "check", "--repair", "--max", "0s").Stdout; !strings.Contains(out, "belong to no image") || !strings.Contains(out, "(repaired)") {
		t.Errorf("an old layer is not collected:\n%s", out)
	}
	inStore(t, s, id, `! grep -q '"id"' $1/storage/*-layers/layers.json`)
}
