package system

import (
	"encoding/json"
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

func TestNoHealthcheck(t *testing.T) {
	t.Parallel()
	name := up(t, "echo ready; sleep 1000", "--no-healthcheck")
	if got := field(t, name, "{{json .State.Health}}"); got != "null" {
		t.Errorf("health %s", got)
	}
}
