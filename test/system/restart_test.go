package system

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// startsOf are the times at which a container wrote a line.
func startsOf(t *testing.T, name string) []time.Time {
	t.Helper()
	var starts []time.Time
	for line := range strings.Lines(shared.Must(t, "logs", "-t", name)) {
		at, err := time.Parse(time.RFC3339Nano, strings.Fields(line)[0])
		if err != nil {
			t.Fatal(err)
		}
		starts = append(starts, at)
	}
	return starts
}

func restarts(t *testing.T, name string) int {
	t.Helper()
	n, err := strconv.Atoi(field(t, name, "{{.RestartCount}}"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The container is started again until the retries are used up, each time after twice the wait.
//
// flag: run --restart
func TestRestartOnFailure(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "run", "-d", "--name", name, "--restart", "on-failure:3", testkit.Image, "sh", "-c", "echo x; exit 3")
	if code := func() string {
		testkit.Eventually(t, "it gives up", func() bool { return field(t, name, "{{.State.Status}}") == "exited" })
		return field(t, name, "{{.State.ExitCode}}")
	}(); code != "3" {
		t.Errorf("exit %s", code)
	}
	if n := restarts(t, name); n != 3 {
		t.Errorf("RestartCount %d", n)
	}
	starts := startsOf(t, name)
	if len(starts) != 4 {
		t.Fatalf("%d starts", len(starts))
	}
	for i, least := range []time.Duration{100, 200, 400} {
		if d := starts[i+1].Sub(starts[i]); d < least*time.Millisecond || d > (least+600)*time.Millisecond {
			t.Errorf("start %d came after %v", i+1, d)
		}
	}
}

func TestRestartNotAfterSuccess(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "run", "-d", "--name", name, "--restart", "on-failure", testkit.Image, "sh", "-c", "echo x >>/n; test $(wc -l </n) = 3")
	testkit.Eventually(t, "it succeeds", func() bool { return field(t, name, "{{.State.Status}}") == "exited" })
	if got := field(t, name, "{{.State.ExitCode}} {{.RestartCount}}"); got != "0 2" {
		t.Errorf("exit code and count %q", got)
	}
}

// always and unless-stopped start it again whatever it ended with, but not after stop or kill.
func TestRestartUntilStopped(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"always", "unless-stopped"} {
		for _, verb := range []string{"stop", "kill"} {
			t.Run(policy+"-"+verb, func(t *testing.T) {
				t.Parallel()
				name := up(t, trapping, "--restart", policy)
				shared.Try(t, "exec", name, "kill", "-TERM", "1") // it dies with the container
				testkit.Eventually(t, "it runs again", func() bool {
					return restarts(t, name) == 1 && strings.Count(shared.Must(t, "logs", name), "ready") == 2
				})
				pid := hostPid(t, shared, name)
				shared.Must(t, verb, name)
				if got := field(t, name, "{{.State.Status}}"); got != "exited" || alive(pid) {
					t.Errorf("status %s", got)
				}
				testkit.Eventually(t, "its monitor is gone", func() bool { return !mentioned(field(t, name, "{{.Id}}")) })
				shared.Must(t, "start", name)
				if n := restarts(t, name); n != 0 {
					t.Errorf("RestartCount %d after a start by hand", n)
				}
			})
		}
	}
}

// mentioned tells whether a monitor is at work for the container with this id.
func mentioned(id string) bool {
	_, err := os.Stat(filepath.Join(shared.Run, "c", id))
	return err == nil
}

// backingOff starts a container that fails at once and waits until it waits.
func backingOff(t *testing.T) string {
	t.Helper()
	name := shared.Name(t)
	shared.Must(t, "run", "-d", "--name", name, "--restart", "always", testkit.Image, "false")
	testkit.Eventually(t, "some waits", func() bool {
		return field(t, name, "{{.State.Status}}") == "restarting" && restarts(t, name) >= 2
	})
	return name
}

func TestRestartWaitIsSeen(t *testing.T) {
	t.Parallel()
	name := backingOff(t)
	testkit.Eventually(t, "ps shows it", func() bool {
		return strings.HasPrefix(shared.Must(t, "ps", "--filter", "name=^"+name+"$", "--format", "{{.Status}}"), "Restarting (1)")
	})
}

func TestStopDuringBackoff(t *testing.T) {
	t.Parallel()
	name := backingOff(t)
	begun := time.Now()
	shared.Must(t, "stop", name)
	if d := time.Since(begun); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
	count := restarts(t, name)
	if got := field(t, name, "{{.State.Status}}"); got != "exited" {
		t.Errorf("status %s", got)
	}
	time.Sleep(time.Second) // the next start would have come by now
	if got := field(t, name, "{{.State.Status}}"); got != "exited" || restarts(t, name) != count {
		t.Errorf("status %s: it was started again", got)
	}
}

func TestRemoveDuringBackoff(t *testing.T) {
	t.Parallel()
	name := backingOff(t)
	id := field(t, name, "{{.Id}}")
	if r := shared.Try(t, "rm", name); r.Code == 0 {
		t.Error("removed without --force")
	}
	shared.Must(t, "rm", "-f", name)
	if _, err := os.Stat(shared.Data + "/containers/" + id); err == nil || mentioned(id) {
		t.Error("something is left")
	}
}

func TestRestartDuringBackoff(t *testing.T) {
	t.Parallel()
	name := backingOff(t)
	shared.Must(t, "restart", name)
	if n := restarts(t, name); n > 1 {
		t.Errorf("RestartCount %d", n)
	}
}

func TestRestartPolicyAndRm(t *testing.T) {
	t.Parallel()
	shared.MustFail(t, 125, "--restart", "run", "--rm", "--restart", "always", testkit.Image, "true")
	shared.MustFail(t, 125, "--restart", "run", "--restart", "sometimes", testkit.Image, "true")
	shared.MustFail(t, 125, "--restart", "run", "--restart", "always:3", testkit.Image, "true")
}

// flag: run --timeout
func TestTimeoutEndsTheRun(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	begun := time.Now()
	r := shared.Try(t, "run", "--name", name, "--timeout", "1", testkit.Image, "sleep", "1000")
	if d := time.Since(begun); r.Code != 137 || d < time.Second || d > 5*time.Second {
		t.Errorf("exit %d after %v", r.Code, d)
	}
}
