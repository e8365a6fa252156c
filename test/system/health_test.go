package system

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/testkit"
)

// health is what inspect tells of the health check.
func health(t *testing.T, name string) record.HealthState {
	t.Helper()
	var h record.HealthState
	if err := json.Unmarshal([]byte(field(t, name, "{{json .State.Health}}")), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

func healthBecomes(t *testing.T, name, status string) {
	t.Helper()
	testkit.Eventually(t, name+" is "+status, func() bool { return health(t, name).Status == status })
}

// flag: run --health-cmd --health-interval --health-retries
func TestHealth(t *testing.T) {
	t.Parallel()
	name := up(t, "echo ready; sleep 1000", "--health-cmd", "echo probed; test -e /ok", "--health-interval", "150ms", "--health-retries", "3")
	if got := health(t, name).Status; got != "starting" {
		t.Errorf("at first %q", got)
	}
	shared.Must(t, "exec", name, "touch", "/ok")
	healthBecomes(t, name, "healthy")
	if got := shared.Must(t, "ps", "--filter", "name=^"+name+"$", "--filter", "health=healthy", "--format", "{{.Status}}"); !strings.HasSuffix(got, "(healthy)") {
		t.Errorf("ps says %q", got)
	}
	shared.Must(t, "exec", name, "rm", "/ok")
	testkit.Eventually(t, "a failure", func() bool { return health(t, name).FailingStreak >= 1 })
	if h := health(t, name); h.FailingStreak < 3 && h.Status != "healthy" {
		t.Errorf("%q after %d failures of 3", h.Status, h.FailingStreak)
	}
	healthBecomes(t, name, "unhealthy")
	h := health(t, name)
	if last := h.Log[len(h.Log)-1]; h.FailingStreak < 3 || last.ExitCode != 1 || last.Output != "probed\n" || len(h.Log) > 5 {
		t.Errorf("%+v", h)
	}
	if got := field(t, name, "{{.State.Status}}"); got != "running" {
		t.Errorf("an unhealthy container is %s", got)
	}
	shared.Must(t, "exec", name, "touch", "/ok")
	healthBecomes(t, name, "healthy")
}

// While the start period lasts failures do not count, and probes come at their own interval.
//
// flag: run --health-start-period --health-start-interval
func TestHealthStartPeriod(t *testing.T) {
	t.Parallel()
	name := up(t, "echo ready; sleep 1000", "--health-cmd", "test -e /ok", "--health-interval", "100ms", "--health-retries", "1",
		"--health-start-period", "1m", "--health-start-interval", "100ms")
	testkit.Eventually(t, "some failures", func() bool { return len(health(t, name).Log) >= 3 })
	if h := health(t, name); h.Status != "starting" || h.FailingStreak != 0 {
		t.Errorf("%+v", h)
	}
	shared.Must(t, "exec", name, "touch", "/ok")
	healthBecomes(t, name, "healthy")
	shared.Must(t, "exec", name, "rm", "/ok")
	healthBecomes(t, name, "unhealthy") // the period ended with the first success
}

// flag: run --health-on-failure
func TestHealthActions(t *testing.T) {
	t.Parallel()
	flags := []string{"--health-cmd", "test -e /ok", "--health-interval", "100ms", "--health-retries", "1", "--health-on-failure"}
	t.Run("kill", func(t *testing.T) {
		t.Parallel()
		name := up(t, trapping, append(flags, "kill")...)
		if code := shared.Must(t, "wait", name); code != "137" {
			t.Errorf("exit %s", code)
		}
	})
	t.Run("stop", func(t *testing.T) {
		t.Parallel()
		name := up(t, trapping, append(flags, "stop")...)
		if code := shared.Must(t, "wait", name); code != "7" {
			t.Errorf("exit %s", code)
		}
	})
	t.Run("restart", func(t *testing.T) {
		t.Parallel()
		name := up(t, trapping, append(flags, "restart")...)
		pid := hostPid(t, shared, name)
		testkit.Eventually(t, "another process", func() bool {
			now := field(t, name, "{{.State.Pid}}")
			return now != "0" && now != strconv.Itoa(pid)
		})
	})
}

// A probe that takes too long is killed and counts as a failure.
//
// flag: run --health-timeout
func TestHealthTimeout(t *testing.T) {
	t.Parallel()
	name := up(t, "echo ready; sleep 1000", "--health-cmd", "sleep 987", "--health-interval", "100ms", "--health-timeout", "300ms", "--health-retries", "2")
	healthBecomes(t, name, "unhealthy")
	h := health(t, name)
	if last := h.Log[len(h.Log)-1]; last.ExitCode != -1 || !strings.Contains(last.Output, "timeout") {
		t.Errorf("%+v", last)
	}
	shared.Must(t, "pause", name)
	shared.Must(t, "unpause", name)
	if out := shared.Must(t, "exec", name, "ps", "-o", "args"); strings.Count(out, "sleep 987") > 2 { // of sh -c and sleep of one probe
		t.Errorf("probes are left:\n%s", out)
	}
}

// flag: run --no-healthcheck
func TestNoHealthcheck(t *testing.T) {
	t.Parallel()
	name := up(t, "echo ready; sleep 1000", "--no-healthcheck")
	if got := field(t, name, "{{json .State.Health}}"); got != "null" {
		t.Errorf("health %s", got)
	}
}

// A check by hand counts like any other, and its status is the exit status.
// flag: healthcheck run --ignore-result
func TestHealthcheckRun(t *testing.T) {
	t.Parallel()
	name := up(t, "echo ready; sleep 1000", "--health-cmd", "test -e /ok", "--health-interval", "1h", "--health-retries", "1")
	if r := shared.Try(t, "healthcheck", "run", name); r.Code != 1 || r.Out() != "unhealthy" {
		t.Errorf("exit %d %q", r.Code, r.Stdout)
	}
	if h := health(t, name); h.Status != "unhealthy" || len(h.Log) != 1 {
		t.Errorf("%+v", h)
	}
	shared.Must(t, "healthcheck", "run", "--ignore-result", name)
	shared.Must(t, "exec", name, "touch", "/ok")
	shared.Must(t, "healthcheck", "run", name)
	if h := health(t, name); h.Status != "healthy" || h.FailingStreak != 0 {
		t.Errorf("%+v", h)
	}
	shared.Must(t, "stop", "-t", "0", name)
	shared.MustFail(t, 125, "is not running", "healthcheck", "run", name)
	other := shared.Name(t) + "b"
	t.Cleanup(func() { shared.Try(t, "rm", "-f", other) })
	shared.Must(t, "create", "--name", other, testkit.Image, "true")
	shared.MustFail(t, 125, "has no health check", "healthcheck", "run", other)
}

// The check of the start comes first; when it fails too often the container is started again.
// flag: run, create --health-startup-cmd --health-startup-interval --health-startup-retries --health-startup-success --health-startup-timeout
func TestHealthStartup(t *testing.T) {
	t.Parallel()
	name := up(t, "echo ready; sleep 1000", "--health-cmd", "echo regular; true", "--health-interval", "50ms", "--health-startup-cmd", "echo start; test -e /ok",
		"--health-startup-interval", "50ms", "--health-startup-success", "2", "--health-startup-timeout", "5s")
	testkit.Eventually(t, "checks of the start", func() bool { return len(health(t, name).Log) >= 2 })
	if h := health(t, name); h.Status != "starting" || h.Log[0].Output != "start\n" || h.FailingStreak != 0 {
		t.Errorf("%+v", h)
	}
	shared.Must(t, "exec", name, "touch", "/ok")
	healthBecomes(t, name, "healthy")
	h := health(t, name)
	if last := h.Log[len(h.Log)-1]; last.Output != "regular\n" {
		t.Errorf("%+v", h)
	}
	slow := shared.Name(t) + "slow"
	t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", slow) })
	upAs(t, shared, slow, "echo ready; exec sleep 1000", "--stop-timeout", "0", "--health-cmd", "true", "--health-startup-cmd", "false", "--health-startup-interval", "50ms",
		"--health-startup-retries", "2")
	before := hostPid(t, shared, slow)
	testkit.Eventually(t, "it is started again", func() bool {
		pid := shared.Must(t, "inspect", "-f", "{{.State.Pid}}", slow)
		return pid != "0" && pid != strconv.Itoa(before)
	})
	shared.MustFail(t, 125, "--health-cmd", "create", "--health-startup-cmd", "true", testkit.Image)
}

// What is kept of the checks is bounded as asked, and lies where asked.
// flag: run, create --health-log-destination --health-max-log-count --health-max-log-size
func TestHealthLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	os.Chmod(dir, 0o777)
	name := up(t, "echo ready; sleep 1000", "--health-cmd", "echo 0123456789", "--health-interval", "30ms", "--health-max-log-count", "2", "--health-max-log-size", "4",
		"--health-log-destination", dir)
	testkit.Eventually(t, "checks", func() bool { return len(health(t, name).Log) == 2 })
	shared.Must(t, "healthcheck", "run", name)
	if h := health(t, name); len(h.Log) != 2 || h.Log[1].Output != "0123" {
		t.Errorf("%+v", h)
	}
	data, err := os.ReadFile(dir + "/" + field(t, name, "{{.Id}}") + "-healthcheck.log")
	if err != nil || !strings.Contains(string(data), `"0123"`) {
		t.Errorf("%s %v", data, err)
	}
	shared.MustFail(t, 125, "absolute directory", "create", "--health-log-destination", "here", testkit.Image)
}
