package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// inStore runs a shell script as the user namespace's root, with $1 as the store and $2 as a container's directory.
func inStore(t *testing.T, s *testkit.Store, id, script string) {
	t.Helper()
	s.Must(t, "unshare", "sh", "-ec", script, "sh", s.Data, filepath.Join(s.Data, "containers", id))
}

// What a power loss may leave of a container's files is never fatal to another command, and can be mended or removed.
func TestPowerLossLeftovers(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	for name, c := range map[string]struct {
		script string
		broken bool // the container itself cannot be used before it is mended
	}{
		"temporary-file":  {`printf '{"Version":1,"Sta' >$2/.state.json.tmp; printf '{' >$2/.config.json.tmp`, false},
		"empty-state":     {`: >$2/state.json`, true},
		"truncated-state": {`head -c 40 $2/state.json >$2/x; mv $2/x $2/state.json`, true},
		"zeros-in-state":  {`head -c 200 /dev/zero >$2/state.json`, true},
		"no-state":        {`rm $2/state.json`, false},
		"half-removed":    {`mkdir -p $1/trash/deadbeef/diff/a $1/trash/deadbeef/work/work; echo x >$1/trash/deadbeef/diff/a/b; chmod 0 $1/trash/deadbeef/work/work`, false},
		"dangling-name":   {`ln -s 1234567890123456789012345678901234567890123456789012345678901234 $1/names/other`, false},
		"half-created":    {`mkdir $1/containers/1234567890123456789012345678901234567890123456789012345678901234`, false},
		"broken-cache":    {`mkdir -p $1/cache; for f in $(find $1/cache -type f); do head -c 77 /dev/urandom >$f; done`, false},
		"empty-cache":     {`rm -rf $1/cache`, false},
		"no-trash":        {`rm -rf $1/trash`, false},
	} {
		t.Run(name, func(t *testing.T) {
			s.Try(t, "run", "--name", "victim", testkit.Image, "sh", "-c", "echo ready; exit 3")
			upAs(t, s, "bystander", trapping)
			id := s.Must(t, "inspect", "--format", "{{.Id}}", "victim")
			s.Must(t, "ps", "-a")
			inStore(t, s, id, c.script)
			if out := s.Must(t, "ps", "-a", "--format", "{{.Names}}"); !strings.Contains(out, "bystander") || !c.broken && !strings.Contains(out, "victim") {
				t.Errorf("ps shows %q", out)
			}
			s.Must(t, "exec", "bystander", "true")
			s.Must(t, "run", "--rm", "--name", "other", testkit.Image, "true")
			if c.broken {
				if r := s.Try(t, "start", "victim"); r.Code == 0 || strings.Count(r.Stderr, "\n") != 1 || !strings.Contains(r.Stderr, "state.json") {
					t.Errorf("start of a broken one: exit %d %q", r.Code, r.Stderr)
				}
			}
			s.Try(t, "system", "check", "--repair")
			if r := s.Try(t, "start", "-a", "victim"); r.Code != 3 {
				t.Errorf("after the repair: exit %d %s", r.Code, r.Stderr)
			}
			s.Must(t, "rm", "-f", "victim", "bystander")
			nothingLeft(t, s)
		})
	}
}

// A broken record does not need to be mended to be removed, also while its container runs.
func TestRemoveOfABrokenOne(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	for name, script := range map[string]string{"state": `: >$2/state.json`, "config": `: >$2/config.json`, "newer": `sed -i 's/"Version":1/"Version":99/' $2/config.json`} {
		t.Run(name, func(t *testing.T) {
			upAs(t, s, "victim", trapping)
			pid := hostPid(t, s, "victim")
			id := s.Must(t, "inspect", "--format", "{{.Id}}", "victim")
			inStore(t, s, id, script)
			s.Must(t, "ps", "-a")
			r := s.Try(t, "start", "victim")
			if want := map[string]string{"newer": "newer version"}[name]; r.Code == 0 || strings.Count(r.Stderr, "\n") != 1 || !strings.Contains(r.Stderr, want) {
				t.Errorf("start: exit %d %q", r.Code, r.Stderr)
			}
			s.Must(t, "rm", "-f", "victim")
			if alive(pid) {
				t.Error("it still runs")
			}
			nothingLeft(t, s)
		})
	}
}

// A full disk at a write of a record is one line, and nothing half made is left.
func TestDiskFull(t *testing.T) {
	if os.Getenv("WHERRY_FAULT_BIN") == "" {
		t.Skip("WHERRY_FAULT_BIN is not set (make test sets it)")
	}
	t.Parallel()
	s, done, err := testkit.Open("fault")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	full := s.With("WHERRY_FAULT=enospc:atomicfile.write:.config.json.tmp")
	full.MustFail(t, 125, "no space left", "run", "-d", "--name", "web", testkit.Image, "sleep", "1000")
	full.MustFail(t, 125, "no space left", "create", "--name", "web", testkit.Image)
	nothingLeft(t, s)
	s.Must(t, "create", "--name", "web", testkit.Image, "sh", "-c", trapping)
	full = s.With("WHERRY_FAULT=enospc:atomicfile.write:.state.json.tmp")
	if r := full.Try(t, "start", "web"); r.Code == 0 || !strings.Contains(r.Stderr, "no space left") {
		t.Errorf("start: exit %d %q", r.Code, r.Stderr)
	}
	if n := len(s.Monitors()); n != 0 {
		t.Errorf("%d monitors", n)
	}
	s.Must(t, "start", "web")
	s.Must(t, "stop", "-t", "0", "web")
	s.Must(t, "rm", "web")
	nothingLeft(t, s)
}

// The same on a real file system that is full: a small tmpfs in the store's own mount namespace.
func TestRealDiskFull(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root has no mount namespace of its own to mount it in")
	}
	t.Parallel()
	s := ownStore(t)
	copied := filepath.Join(filepath.Dir(s.Data), "copied")
	s.Must(t, "unshare", "sh", "-ec", "cp -a $1 $2; mount -t tmpfs -o size=12m tmpfs $1; cp -a $2/. $1", "sh", s.Data, copied)
	fill := func() { s.Try(t, "unshare", "dd", "if=/dev/zero", "of="+s.Data+"/fill", "bs=4k") }
	free := func() { s.Must(t, "unshare", "rm", s.Data+"/fill") }
	s.Must(t, "run", "-d", "--name", "web", testkit.Image, "sh", "-c", "while :; do echo some words for the log; sleep 0.01; done")
	fill()
	for _, args := range [][]string{{"run", "-d", "--name", "other"}, {"create", "--name", "other"}, {"run", "--rm", "--name", "other"}} {
		r := s.Try(t, append(args, testkit.Image, "sleep", "1000")...)
		if r.Code != 125 || strings.Count(r.Stderr, "\n") != 1 || !strings.Contains(r.Stderr, "no space") {
			t.Errorf("%v: exit %d %q", args, r.Code, r.Stderr)
		}
	}
	s.Must(t, "ps", "-a")
	s.Must(t, "exec", "web", "true")
	s.Try(t, "stop", "-t", "0", "web") // it cannot be recorded, perhaps; but it must not wedge
	free()
	s.Must(t, "stop", "-t", "0", "web")
	if got := s.Must(t, "ps", "-a", "--format", "{{.Names}} {{.State}}"); got != "web exited" {
		t.Errorf("ps says %q", got)
	}
	s.Must(t, "start", "web")
	fill()
	s.Must(t, "rm", "-f", "web")
	free()
	nothingLeft(t, s)
	s.Must(t, "run", "--rm", "--name", "web", testkit.Image, "true")
}
