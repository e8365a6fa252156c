package run_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/pb"

	"github.com/wherry-containers/wherry/buildah/run"
	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/pkg/cgroup"
)

func TestCommandRuns(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	if out := b.output(sh("echo hello; echo over >&2; id -u; pwd; hostname; touch /made")); out != "hello\nover\n0\n/\nbuildkitsandbox" {
		t.Errorf("%q", out)
	}
	if _, err := os.Stat(b.in("made")); err != nil {
		t.Error(err)
	}
	left, _ := os.ReadDir(b.dirs.Steps())
	if len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestStatus(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	var exit *run.ExitError
	if _, err := b.try(sh("exit 7")); !errors.As(err, &exit) || exit.Code != 7 {
		t.Errorf("%v", err)
	}
	ok := sh("exit 7")
	ok.Meta.ValidExitCodes = []int32{3, 7}
	b.output(ok)
	ok.Meta.Args[2] = "exit 0"
	if _, err := b.try(ok); !errors.As(err, &exit) || exit.Code != 0 {
		t.Errorf("0 is not among the valid ones: %v", err)
	}
	for name, code := range map[string]uint32{"/none": 127, "nowhere": 127, "/etc/passwd": 126, "/etc": 126} {
		s := sh("")
		s.Meta.Args = []string{name}
		out, err := b.try(s)
		if !errors.As(err, &exit) || exit.Code != code || !strings.Contains(err.Error(), name) || strings.Count(out, "\n") > 1 {
			t.Errorf("%s: %v, output %q", name, err, out)
		}
	}
}

func TestUserAndDirectory(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	s := sh("id; pwd; stat -c %u:%g .; env | grep -v ^PWD= | grep -v SHLVL")
	s.Meta.User, s.Meta.Cwd, s.Meta.Env = "bob", "/srv/new", []string{"A=b"}
	s.Meta.ProxyEnv = &pb.ProxyEnv{HttpProxy: "http://p:1"}
	s.SecretEnv = []string{"TOKEN=xyz"}
	want := `uid=1000(bob) gid=1000(bob) groups=10(wheel)
/srv/new
1000:1000
HOME=/home/bob
HTTP_PROXY=http://p:1
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
TOKEN=xyz
A=b
http_proxy=http://p:1`
	got := strings.Split(b.output(s), "\n")
	if strings.Join(got[:3], "\n") != strings.Join(strings.Split(want, "\n")[:3], "\n") {
		t.Errorf("%q", got)
	}
	for _, line := range strings.Split(want, "\n")[3:] {
		if !strings.Contains("\n"+strings.Join(got, "\n")+"\n", "\n"+line+"\n") {
			t.Errorf("no %s in %q", line, got)
		}
	}
	if len(got) != 9 {
		t.Errorf("%q", got)
	}
	s.Meta.User = "nobody-here"
	if _, err := b.try(s); err == nil || !strings.Contains(err.Error(), "nobody-here") {
		t.Error(err)
	}
}

func TestFilterIsKept(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	dir := filepath.Join(b.dirs.Cache(), "seccomp")
	os.RemoveAll(dir)
	started := false
	s := sh("sleep 0.3") // what crun leaves of the filter is gone with the container
	s.Started = func() { started = true }
	b.output(s)
	if !started {
		t.Error("nobody was told of the start")
	}
	rt, err := ociruntime.Find("")
	if err != nil || rt.Kind != ociruntime.Crun || cgroup.Detect(os.Getenv, false, 0).Hybrid {
		t.Skip("only crun leaves its filter")
	}
	kept, _ := os.ReadDir(dir)
	if len(kept) == 0 {
		t.Fatal("the filter was not kept")
	}
	b.output(sh("true"))
	s.Meta.Args = []string{"/none"}
	started = false
	b.try(s)
}
