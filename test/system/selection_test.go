package system

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// The verbs that work on containers that a condition or a file names.
//
// flag: start, stop, restart, pause, unpause, rm --filter
// flag: stop, restart, kill, pause, unpause, rm --cidfile
// flag: stop, rm --ignore
// flag: pause, unpause --all
// flag: restart --running
func TestSelections(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	base := dir(t)
	cid := filepath.Join(base, "cid")
	missing := filepath.Join(base, "none")
	s.Must(t, "create", "--name", "a", "-l", "of=mine", "--cidfile", cid, "--stop-signal", "KILL", testkit.Image, "sleep", "1000")
	s.Must(t, "create", "--name", "b", "--stop-signal", "KILL", testkit.Image, "sleep", "1000")
	states := func(wanted string) {
		t.Helper()
		want(t, "states of a and b", joined(s.Must(t, "ps", "-a", "--sort", "names", "--format", "{{.State}}")), wanted)
	}
	mine := []string{"--filter", "label=of=mine"}
	by := func(verb string, flags ...string) { t.Helper(); s.Must(t, append([]string{verb}, flags...)...) }

	by("start", mine...)
	states("running created")
	by("pause", mine...)
	states("paused created")
	by("unpause", mine...)
	states("running created")
	first := hostPid(t, s, "a")
	by("restart", mine...)
	if hostPid(t, s, "a") == first {
		t.Error("restart --filter did nothing")
	}
	by("stop", mine...)
	states("exited created")

	by("start", "a", "b")
	by("pause", "--cidfile", cid)
	states("paused running")
	by("unpause", "--cidfile", cid)
	by("kill", "--cidfile", cid)
	testkit.Eventually(t, "a is killed", func() bool { return s.Must(t, "ps", "--format", "{{.Names}}") == "b" })
	by("restart", "--cidfile", cid)
	states("running running")
	by("stop", "--cidfile", cid)
	states("exited running")
	by("start", "a")
	by("pause", "--all")
	states("paused paused")
	by("unpause", "--all")
	states("running running")
	by("stop", "a")
	second := hostPid(t, s, "b")
	by("restart", "--running")
	states("exited running")
	if hostPid(t, s, "b") == second {
		t.Error("restart --running did nothing")
	}

	s.MustFail(t, 1, "nope", "stop", "nope")
	by("stop", "--ignore", "nope")
	by("stop", "-i", "--cidfile", missing)
	s.MustFail(t, 125, "no such file", "stop", "--cidfile", missing)
	by("rm", "--ignore", "nope")
	by("rm", "--cidfile", cid)
	want(t, "left", s.Must(t, "ps", "-a", "--format", "{{.Names}}"), "b")
	s.Must(t, "rm", "-f", "-t", "0", "--filter", "name=b")
	want(t, "left", s.Must(t, "ps", "-aq"), "")
	s.MustFail(t, 125, "do not go with named containers", "stop", "-a", "b")
}

// flag: stop, restart --time --timeout --signal
// flag: run --stop-timeout --stop-signal
func TestStopFlags(t *testing.T) {
	t.Parallel()
	const deaf = `trap "echo asked" TERM; trap "exit 9" USR1; echo ready; while :; do sleep 0.05; done`
	for _, verb := range []string{"stop", "restart"} {
		for _, flag := range []string{"--time", "--timeout", "-t"} {
			name := up(t, deaf)
			pid := hostPid(t, shared, name)
			start := time.Now()
			shared.Must(t, verb, flag, "1", name)
			if took := time.Since(start); took < time.Second || took > 8*time.Second || alive(pid) {
				t.Errorf("%s %s 1 took %s", verb, flag, took)
			}
			if logs := shared.Must(t, "logs", name); !strings.Contains(logs, "asked") {
				t.Errorf("it was not asked first: %s", logs)
			}
			shared.Must(t, "rm", "-f", "-t", "0", name)
		}
		name := up(t, deaf)
		shared.Must(t, verb, "--signal", "USR1", name)
		if verb == "stop" {
			want(t, "its end by the signal", field(t, name, "{{.State.ExitCode}}"), "9")
		}
		shared.Must(t, "rm", "-f", "-t", "0", name)
	}
	name := up(t, deaf, "--stop-timeout", "0")
	start := time.Now()
	shared.Must(t, "stop", name)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("--stop-timeout 0 took %s", took)
	}
	shared.Must(t, "rm", "-f", name)
	name = up(t, deaf, "--stop-signal", "USR1")
	shared.Must(t, "stop", name)
	want(t, "--stop-signal", field(t, name, "{{.State.ExitCode}}"), "9")
	shared.MustFail(t, 125, "a whole number", "stop", "-t", "x", name)
	shared.MustFail(t, 125, `unknown signal "BOGUS"`, "stop", "-s", "BOGUS", name)
}

// flag: wait --exit-first-match --ignore --interval
func TestWaitFlags(t *testing.T) {
	t.Parallel()
	long, short := shared.Name(t)+"-long", shared.Name(t)
	t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", long) })
	shared.Must(t, "run", "-d", "--name", long, testkit.Image, "sleep", "1000")
	shared.Must(t, "run", "-d", "--name", short, testkit.Image, "sh", "-c", "exit 4")
	want(t, "the first that ends", shared.Must(t, "wait", "--exit-first-match", long, short), "4")
	want(t, "ignore", joined(shared.Must(t, "wait", "--ignore", "--interval", "10s", short, "nope")), "4 -1")
	want(t, "milliseconds", shared.Must(t, "wait", "-i", "250", short), "4")
	shared.MustFail(t, 125, "invalid -i", "wait", "-i", "soon", short)
}

// flag: run --pidfile --conmon-pidfile --personality --requires --seccomp-policy --name
func TestStartFlags(t *testing.T) {
	t.Parallel()
	base := dir(t)
	first, second := filepath.Join(base, "first"), filepath.Join(base, "monitor")
	need := shared.Name(t) + "-needed"
	t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", need) })
	shared.Must(t, "create", "--name", need, testkit.Image, "sleep", "1000")
	name := up(t, "uname -m; sleep 1000", "--pidfile", first, "--conmon-pidfile", second, "--requires", need, "--seccomp-policy", "default")
	read := func(path string) string { data, _ := os.ReadFile(path); return string(data) }
	pid := strconv.Itoa(hostPid(t, shared, name))
	want(t, "pidfile", read(first), pid)
	want(t, "conmon-pidfile", read(second), field(t, name, "{{.State.ConmonPid}}"))
	want(t, "the required one", field(t, need, "{{.State.Status}}"), "running")
	shared.Must(t, "stop", "-t", "0", need, name)
	shared.Must(t, "start", name)
	want(t, "the required one at the next start", field(t, need, "{{.State.Status}}"), "running")
	if again := read(first); again == pid || again != strconv.Itoa(hostPid(t, shared, name)) {
		t.Errorf("the pid file at the next start: %s, before %s", again, pid)
	}
	machine := inside(t, "uname -m", "--personality", "LINUX32")
	if strings.Contains(inside(t, "uname -m"), "x86_64") && machine != "i686" {
		t.Errorf("personality: %s", machine)
	}
	shared.MustFail(t, 125, "there is no directory", "run", "--pidfile", filepath.Join(base, "none", "pid"), testkit.Image, "true")
	shared.MustFail(t, 125, "LINUX, LINUX32", "run", "--personality", "DOS", testkit.Image)
	shared.MustFail(t, 125, `no container "nope"`, "run", "--requires", "nope", testkit.Image)
	shared.MustFail(t, 125, "labels of images are not read", "run", "--seccomp-policy", "image", testkit.Image)
}

// flag: run --attach --sig-proxy
// flag: start --attach --sig-proxy --detach-keys
func TestAttachFlags(t *testing.T) {
	t.Parallel()
	const both = "echo out; echo err >&2"
	for stream, wanted := range map[string][2]string{"stdout": {"out\n", ""}, "STDERR": {"", "err\n"}} {
		r := shared.Try(t, runArgs(both, "-a", stream)...)
		if r.Stdout != wanted[0] || r.Stderr != wanted[1] {
			t.Errorf("-a %s: %q %q", stream, r.Stdout, r.Stderr)
		}
	}
	shared.MustFail(t, 125, "stdin, stdout, stderr", "run", "-a", "all", testkit.Image)
	shared.MustFail(t, 125, "do not go together", "run", "-d", "-a", "stdout", testkit.Image, "true")

	run, start := shared.Name(t), shared.Name(t)+"-start"
	t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", start) })
	shared.Must(t, "create", "--name", start, testkit.Image, "sh", "-c", trapping)
	for name, args := range map[string][]string{
		run:   {"run", "--sig-proxy=false", "--name", run, testkit.Image, "sh", "-c", trapping},
		start: {"start", "--attach", "--sig-proxy=false", start},
	} {
		cmd := shared.Command(context.Background(), args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, name+" is ready", func() bool { return strings.Contains(shared.Try(t, "logs", name).Stdout, "ready") })
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		want(t, args[0]+": the signal was not passed on", field(t, name, "{{.State.Status}}"), "running")
		shared.Must(t, "rm", "-f", "-t", "0", name)
	}
	shared.Must(t, "create", "-it", "--name", start, testkit.Image, "sh")
	x := onTerminal(t, "start", "-ai", "--detach-keys", "ctrl-x,q", start)
	x.sees("# ")
	x.typed("\x18q")
	x.ends(0)
	want(t, "detached", field(t, start, "{{.State.Status}}"), "running")
}
