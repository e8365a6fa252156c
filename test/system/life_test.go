package system

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// trapping is a shell script that says "ready" and ends with 7 at SIGTERM.
const trapping = `trap "exit 7" TERM; echo ready; sleep 1000 & wait`

// up starts a container of the test that runs script and waits until it says "ready", where it does.
func up(t *testing.T, script string, flags ...string) string {
	t.Helper()
	name := shared.Name(t)
	upAs(t, shared, name, script, flags...)
	return name
}

func upAs(t *testing.T, s *testkit.Store, name, script string, flags ...string) {
	t.Helper()
	args := append([]string{"run", "-d", "--name", name}, flags...)
	s.Must(t, append(args, testkit.Image, "sh", "-c", script)...)
	if strings.Contains(script, "echo ready") {
		testkit.Eventually(t, name+" is ready", func() bool { return strings.Contains(s.Must(t, "logs", name), "ready") })
	}
}

// field is one value of `inspect`.
func field(t *testing.T, name, format string) string {
	t.Helper()
	return shared.Must(t, "inspect", "--format", format, name)
}

// hostPid is the container's first process.
func hostPid(t *testing.T, s *testkit.Store, name string) int {
	t.Helper()
	pid, err := strconv.Atoi(s.Must(t, "inspect", "--format", "{{.State.Pid}}", name))
	if err != nil || pid == 0 {
		t.Fatalf("pid of %s: %d %v", name, pid, err)
	}
	return pid
}

// alive tells whether pid runs and is no zombie.
func alive(pid int) bool {
	data, err := exec.Command("cat", "/proc/"+strconv.Itoa(pid)+"/stat").Output()
	_, rest, _ := strings.Cut(string(data), ") ")
	return err == nil && !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func TestRunExitCodes(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{"exit 0": 0, "exit 3": 3, "exit 125": 125, "kill -9 $$; exit 9": 9, "(exec sh -c 'kill -TERM $$') 2>/dev/null; exit $?": 143} {
		if r := shared.Try(t, "run", "--rm", testkit.Image, "sh", "-c", script); r.Code != want {
			t.Errorf("%s: exit %d, want %d: %s", script, r.Code, want, r.Stderr)
		}
	}
	shared.MustFail(t, 127, "nosuch", "run", "--rm", testkit.Image, "nosuch")
	shared.MustFail(t, 126, "/etc/passwd", "run", "--rm", testkit.Image, "/etc/passwd")
	shared.MustFail(t, 126, "", "run", "--rm", testkit.Image, "/etc")
	shared.MustFail(t, 125, "--no-such-flag", "run", "--no-such-flag", testkit.Image)
}

// A container that could not be started stays as created, with the reason, unless it is to be removed.
func TestFailedStartKeepsTheContainer(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.MustFail(t, 127, "nosuch", "run", "-d", "--name", name, testkit.Image, "nosuch")
	if got := field(t, name, "{{.State.Status}} {{.State.ExitCode}}"); got != "created 127" {
		t.Errorf("state %q", got)
	}
	if field(t, name, "{{.State.Error}}") == "" {
		t.Error("the reason is lost")
	}
	shared.MustFail(t, 127, "nosuch", "start", "-a", name)
	shared.Must(t, "rm", name)
}

func TestStopSendsTheStopSignal(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	shared.Must(t, "stop", name)
	if got := field(t, name, "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}"); got != "exited 7 0" {
		t.Errorf("state %q", got)
	}
	shared.Must(t, "stop", name) // stopped already
	if code := shared.Must(t, "wait", name); code != "7" {
		t.Errorf("wait printed %q", code)
	}
}

func TestStopHonoursTheContainersSignal(t *testing.T) {
	t.Parallel()
	name := up(t, `trap "exit 5" USR1; trap "exit 7" TERM; echo ready; sleep 1000 & wait`, "--stop-signal", "SIGUSR1")
	shared.Must(t, "stop", name)
	if code := field(t, name, "{{.State.ExitCode}}"); code != "5" {
		t.Errorf("exit %s", code)
	}
	shared.Must(t, "start", name)
	testkit.Eventually(t, "ready again", func() bool { return strings.Count(shared.Must(t, "logs", name), "ready") == 2 })
	shared.Must(t, "stop", "--signal", "15", name)
	if code := field(t, name, "{{.State.ExitCode}}"); code != "7" {
		t.Errorf("exit %s with a signal of stop's own", code)
	}
}

// SIGKILL follows when the time is over, and not before.
func TestStopKillsAfterTheTimeout(t *testing.T) {
	t.Parallel()
	for flags, stop := range map[string][]string{"--init=false": {"stop", "-t", "1"}, "--stop-timeout=1": {"stop"}} {
		t.Run(strings.Trim(flags, "-"), func(t *testing.T) {
			t.Parallel()
			name := up(t, `trap "" TERM; echo ready; while :; do sleep 1; done`, strings.Fields(flags)...)
			begun := time.Now()
			shared.Must(t, append(stop, name)...)
			if d := time.Since(begun); d < 900*time.Millisecond || d > 4*time.Second {
				t.Errorf("took %v", d)
			}
			if code := field(t, name, "{{.State.ExitCode}}"); code != "137" {
				t.Errorf("exit %s", code)
			}
		})
	}
}

func TestStopOfAPausedContainer(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	shared.Must(t, "pause", name)
	shared.Must(t, "stop", name)
	if got := field(t, name, "{{.State.Status}} {{.State.ExitCode}} {{.State.Paused}}"); got != "exited 7 false" {
		t.Errorf("state %q", got)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	name := up(t, "echo ready; while :; do date +%s%N >/tick; sleep 0.02; done")
	tick := func() string {
		return shared.Must(t, "unshare", "cat", "/proc/"+strconv.Itoa(hostPid(t, shared, name))+"/root/tick")
	}
	shared.Must(t, "pause", name)
	before := tick()
	if got := field(t, name, "{{.State.Status}} {{.State.Running}} {{.State.Paused}}"); got != "paused true true" {
		t.Errorf("state %q", got)
	}
	if got := shared.Must(t, "ps", "--filter", "name="+name, "--format", "{{.Status}}"); !strings.HasPrefix(got, "Up") || !strings.HasSuffix(got, "(Paused)") {
		t.Errorf("ps says %q", got)
	}
	shared.MustFail(t, 1, "paused", "pause", name)
	shared.MustFail(t, 125, "paused", "exec", name, "true")
	if after := tick(); after != before {
		t.Error("it went on while paused")
	}
	shared.Must(t, "unpause", name)
	testkit.Eventually(t, "it goes on", func() bool { return tick() != before })
	shared.MustFail(t, 1, "not paused", "unpause", name)
	shared.Must(t, "pause", name)
	shared.Must(t, "rm", "-f", name)
	shared.MustFail(t, 1, "no container", "pause", name)
}

// flag: kill --signal
func TestKill(t *testing.T) {
	t.Parallel()
	name := up(t, `trap "echo got usr1" USR1; trap "exit 4" HUP; echo ready; while :; do sleep 1000 & wait; done`)
	pid := hostPid(t, shared, name)
	shared.Must(t, "kill", "-s", "USR1", name)
	testkit.Eventually(t, "the signal arrives", func() bool { return strings.Contains(shared.Must(t, "logs", name), "got usr1") })
	if !alive(pid) {
		t.Fatal("USR1 ended it")
	}
	if out := shared.Must(t, "kill", "--signal=1", name); out != name {
		t.Errorf("printed %q", out)
	}
	if code := shared.Must(t, "wait", name); code != "4" {
		t.Errorf("exit %s", code)
	}
	shared.MustFail(t, 1, "not running", "kill", name)
	shared.Must(t, "start", name)
	shared.Must(t, "kill", name)
	if got := field(t, name, "{{.State.Status}} {{.State.ExitCode}}"); got != "exited 137" {
		t.Errorf("state %q", got)
	}
	shared.MustFail(t, 125, "NOSUCH", "kill", "-s", "NOSUCH", name)
}

func TestStartAgain(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "create", "--name", name, testkit.Image, "sh", "-c", "echo x >>/count; wc -l </count; echo err >&2; exit $(wc -l </count)")
	if got := field(t, name, "{{.State.Status}}"); got != "created" {
		t.Errorf("status %s", got)
	}
	for i := 1; i <= 3; i++ {
		r := shared.Try(t, "start", "-a", name)
		if r.Code != i || r.Out() != strconv.Itoa(i) || r.Stderr != "err\n" {
			t.Errorf("start %d: exit %d, %q, %q", i, r.Code, r.Stdout, r.Stderr)
		}
	}
	if out := shared.Must(t, "start", name); out != name {
		t.Errorf("printed %q", out)
	}
	if code := shared.Must(t, "wait", name); code != "4" {
		t.Errorf("exit %s", code)
	}
}

func TestStartOfARunningOne(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	pid := hostPid(t, shared, name)
	shared.Must(t, "start", name)
	if now := hostPid(t, shared, name); now != pid {
		t.Errorf("another process: %d, then %d", pid, now)
	}
}

func TestRestartMakesANewProcess(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	pid := hostPid(t, shared, name)
	if out := shared.Must(t, "restart", name); out != name {
		t.Errorf("printed %q", out)
	}
	if now := hostPid(t, shared, name); now == pid || alive(pid) || !alive(now) {
		t.Errorf("%d, then %d", pid, now)
	}
	shared.Must(t, "stop", "-t", "0", name)
	shared.Must(t, "restart", name) // starts a stopped one
	if !alive(hostPid(t, shared, name)) {
		t.Error("does not run")
	}
}

// flag: rm --force --volumes
func TestRemove(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	pid := hostPid(t, shared, name)
	r := shared.Try(t, "rm", name)
	if r.Code == 0 || !strings.Contains(r.Stderr, "--force") || !alive(pid) {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
	id := field(t, name, "{{.Id}}")
	if out := shared.Must(t, "rm", "-f", id[:8]); out != id[:8] {
		t.Errorf("printed %q, not what was typed", out)
	}
	if alive(pid) {
		t.Error("it still runs")
	}
	for _, dir := range []string{shared.Data + "/containers/", shared.Run + "/c/", shared.Run + "/runtime/"} {
		if slices.Contains(entries(dir), id) {
			t.Errorf("left in %s", dir)
		}
	}
	if slices.Contains(entries(shared.Data+"/names"), name) {
		t.Error("the name is left")
	}
	shared.MustFail(t, 1, "no container", "rm", name)
	shared.Must(t, "rm", "-f", name)
}

// flag: rm --time
func TestRemoveWithTimeout(t *testing.T) {
	t.Parallel()
	name := up(t, `trap "echo bye >/vol/bye; exit" TERM; echo ready; sleep 1000 & wait`, "-v", t.Name()+":/vol")
	t.Cleanup(func() { shared.Try(t, "volume", "rm", "-f", t.Name()) })
	shared.Must(t, "rm", "-f", "-t", "5", name)
	if out := shared.Must(t, "run", "--rm", "-v", t.Name()+":/vol", testkit.Image, "cat", "/vol/bye"); out != "bye" {
		t.Errorf("it did not get its stop signal: %q", out)
	}
}

func TestAutoRemove(t *testing.T) {
	t.Parallel()
	name := up(t, trapping, "--rm", "-v", "/anon")
	volume := field(t, name, "{{(index .Mounts 0).Name}}")
	shared.Must(t, "stop", name)
	shared.MustFail(t, 1, "no container", "start", name)
	if slices.Contains(entries(shared.Data+"/volumes"), volume) {
		t.Error("the anonymous volume is left")
	}
}

func TestRename(t *testing.T) {
	t.Parallel()
	name, other := shared.Name(t), strings.ToLower(t.Name())+"2"
	upAs(t, shared, name, trapping)
	t.Cleanup(func() { shared.Try(t, "rm", "-f", other) })
	shared.Must(t, "rename", name, other)
	shared.MustFail(t, 1, "no container", "stop", name)
	if got := field(t, other, "{{.Name}}"); got != "/"+other && got != other {
		t.Errorf("name %q", got)
	}
	shared.Must(t, "create", "--name", name, testkit.Image) // the old name is free
	shared.MustFail(t, 125, "in use", "rename", other, name)
	shared.Must(t, "stop", other)
	shared.Must(t, "start", other) // still goes by it after a restart
	if got := shared.Must(t, "ps", "--filter", "name=^"+other+"$", "--format", "{{.Names}}"); got != other {
		t.Errorf("ps says %q", got)
	}
}

func TestSeveralAtOnce(t *testing.T) {
	t.Parallel()
	base := shared.Name(t)
	names := []string{base + "-a", base + "-b", base + "-c"}
	t.Cleanup(func() { shared.Try(t, append([]string{"rm", "-f"}, names...)...) })
	for i, name := range names {
		shared.Must(t, "create", "--label", "test="+base, "--name", name, testkit.Image, "sh", "-c",
			"trap 'exit "+strconv.Itoa(i+1)+"' TERM; echo ready; sleep 1000 & wait")
	}
	all := func(verb string, flags ...string) string {
		return shared.Must(t, append(append([]string{verb}, flags...), names...)...)
	}
	lines := strings.Join(names, "\n")
	if out := all("start"); out != lines {
		t.Errorf("start printed %q", out)
	}
	for _, name := range names {
		testkit.Eventually(t, "ready", func() bool { return strings.Contains(shared.Must(t, "logs", name), "ready") })
	}
	if out := all("pause"); out != lines {
		t.Errorf("pause printed %q", out)
	}
	if out := shared.Must(t, "unpause", "--filter", "label=test="+base); strings.Count(out, "\n") != 2 {
		t.Errorf("unpause printed %q", out)
	}
	waited := make(chan string, 1)
	go func() { r := shared.Try(t, append([]string{"wait"}, names...)...); waited <- r.Out() }()
	// One unknown name does not keep the others from being stopped.
	if r := shared.Try(t, "stop", names[0], "nosuch-container", names[1], names[2]); r.Code == 0 || r.Out() != lines || !strings.Contains(r.Stderr, "nosuch-container") {
		t.Errorf("stop: exit %d %q %q", r.Code, r.Stdout, r.Stderr)
	}
	if out := <-waited; out != "1\n2\n3" {
		t.Errorf("wait printed %q", out)
	}
	shared.Must(t, "restart", "--filter", "label=test="+base)
	if out := shared.Must(t, "ps", "-q", "--filter", "label=test="+base); strings.Count(out, "\n") != 2 {
		t.Errorf("running: %q", out)
	}
	shared.Must(t, "rm", "-f", "--filter", "label=test="+base)
	if out := shared.Must(t, "ps", "-aq", "--filter", "label=test="+base); out != "" {
		t.Errorf("left: %q", out)
	}
}

// flag: start, stop, restart, kill, rm --all
func TestAllAndLatest(t *testing.T) {
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	s.MustFail(t, 125, "no container", "start", "--latest")
	for _, name := range []string{"one", "two", "three"} {
		s.Must(t, "create", "--stop-signal", "KILL", "--name", name, testkit.Image, "sleep", "1000")
	}
	s.Must(t, "start", "-l")
	if out := s.Must(t, "ps", "--format", "{{.Names}}"); out != "three" {
		t.Errorf("the latest is %q", out)
	}
	s.Must(t, "start", "--all")
	s.Must(t, "pause", "two")
	s.Must(t, "stop", "-a")
	if out := s.Must(t, "ps", "-q"); out != "" {
		t.Errorf("still up: %q", out)
	}
	s.Must(t, "restart", "--all")
	s.Must(t, "kill", "--all")
	s.Must(t, "stop", "--all") // nothing to do
	s.MustFail(t, 125, "--all", "rm", "--all", "one")
	s.MustFail(t, 125, "which container", "rm")
	s.Must(t, "rm", "--all")
	if left := entries(s.Data + "/containers"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
