package system

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

func killPID(t *testing.T, pid string) {
	t.Helper()
	var n int
	for _, c := range pid {
		n = n*10 + int(c-'0')
	}
	// The process belongs to a subordinate id or to us: in the user namespace it can be signalled either way.
	if syscall.Kill(n, syscall.SIGKILL) != nil {
		shared.Must(t, "unshare", "kill", "-9", pid)
	}
}

// A policy given to a running container is followed by its monitor, and one taken back is not.
// flag: update --restart
func TestUpdateRestart(t *testing.T) {
	t.Parallel()
	name, pid := sleeper(t)
	shared.Must(t, "update", "--restart", "on-failure:1", name)
	want(t, "policy", inspected(t, name, "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}"), "on-failure 1")
	if out := shared.Must(t, "events", "--stream=false", "--filter", "event=update", "--filter", "container="+name); strings.Count(out, " update ") != 1 {
		t.Errorf("events of the update:\n%s", out)
	}
	killPID(t, pid)
	testkit.Eventually(t, "the monitor starts it again", func() bool {
		return inspected(t, name, "{{.RestartCount}} {{.State.Status}}") == "1 running"
	})
	shared.Must(t, "update", "--restart", "no", name)
	killPID(t, inspected(t, name, "{{.State.Pid}}"))
	testkit.Eventually(t, "it stays ended", func() bool { return inspected(t, name, "{{.State.Status}}") == "exited" })
}

// A container that waits for its next start waits no longer when nobody wants that start.
func TestUpdateEndsTheWait(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "run", "-d", "--name", name, "--network", "none", "--restart", "always", testkit.Image, "false")
	testkit.Eventually(t, "it waits", func() bool { return inspected(t, name, "{{.State.Status}}") == "restarting" })
	shared.Must(t, "update", "--restart", "no", name)
	testkit.Eventually(t, "it has ended", func() bool { return inspected(t, name, "{{.State.Status}}") == "exited" })
}

// The environment is that of the next process: of an exec, and of the container when it starts again.
// flag: update --env --unsetenv
func TestUpdateEnv(t *testing.T) {
	t.Parallel()
	name, _ := sleeper(t, "-e", "OLD=1", "-e", "KEPT=1")
	shared.Must(t, "update", "--env", "NEW=2", "--unsetenv", "OLD", name)
	script := []string{"sh", "-c", "echo $OLD-$KEPT-$NEW"}
	want(t, "exec", shared.Must(t, append([]string{"exec", name}, script...)...), "-1-2")
	shared.Must(t, "restart", "-t", "0", name)
	want(t, "first process after the restart", shared.Must(t, "exec", name, "sh", "-c", "tr '\\0' '\\n' </proc/1/environ | grep -E '^(OLD|KEPT|NEW)=' | sort | tr '\\n' ' '"), "KEPT=1 NEW=2 ")
}

// A health check can come, change and go while the container runs.
// flag: update --health-cmd --health-interval --health-retries --health-timeout --health-start-period --health-on-failure --no-healthcheck
func TestUpdateHealth(t *testing.T) {
	t.Parallel()
	name, _ := sleeper(t)
	shared.MustFail(t, 1, "has no health check to change", "update", "--health-interval", "1s", name)
	shared.Must(t, "update", "--health-cmd", "test -e /sick && exit 1; exit 0", "--health-interval", "50ms", "--health-retries", "1",
		"--health-timeout", "20s", "--health-start-period", "0s", "--health-on-failure", "none", name)
	status := func(want string) func() bool {
		return func() bool { return inspected(t, name, "{{.State.Health.Status}}") == want }
	}
	testkit.Eventually(t, "healthy", status("healthy"))
	shared.Must(t, "exec", name, "touch", "/sick")
	testkit.Eventually(t, "unhealthy", status("unhealthy"))
	shared.Must(t, "update", "--health-retries", "100000", name)
	want(t, "command", inspected(t, name, "{{join .Config.Healthcheck.Test \" \"}}"), "CMD-SHELL test -e /sick && exit 1; exit 0")
	testkit.Eventually(t, "the new check begins anew", status("starting"))
	shared.Must(t, "update", "--no-healthcheck", name)
	want(t, "health", inspected(t, name, "{{.State.Health}}"), "<nil>")
	shared.Must(t, "update", "--health-cmd", "exit 1", "--health-interval", "50ms", "--health-retries", "1", "--health-on-failure", "kill", name)
	testkit.Eventually(t, "killed", func() bool { return inspected(t, name, "{{.State.Status}}") == "exited" })
}

// The checks of the start and what is kept of the probes can change, too.
// flag: update --health-startup-cmd --health-startup-interval --health-startup-retries --health-startup-success --health-startup-timeout
// flag: update --health-log-destination --health-max-log-count --health-max-log-size
func TestUpdateHealthOfTheStart(t *testing.T) {
	t.Parallel()
	name, _ := sleeper(t)
	logs := dir(t)
	shared.Must(t, "update", "--health-cmd", "echo well done", "--health-interval", "50ms", "--health-startup-cmd", "test -e /ok",
		"--health-startup-interval", "50ms", "--health-startup-success", "2", "--health-startup-timeout", "20s", "--health-startup-retries", "0",
		"--health-max-log-count", "2", "--health-max-log-size", "4", "--health-log-destination", logs, name)
	testkit.Eventually(t, "two probes of the start", func() bool { return inspected(t, name, "{{len .State.Health.Log}}") == "2" })
	want(t, "status before it is ready", inspected(t, name, "{{.State.Health.Status}}"), "starting")
	shared.Must(t, "exec", name, "touch", "/ok")
	testkit.Eventually(t, "healthy", func() bool {
		return inspected(t, name, "{{.State.Health.Status}} {{range .State.Health.Log}}{{.Output}}/{{end}}") == "healthy well/well/"
	})
	if files, _ := filepath.Glob(logs + "/*"); len(files) != 1 {
		t.Errorf("files of the probes: %v", files)
	}
}

// What has changed outlives the container's end, and is gone with the container.
// flag: update --latest
func TestUpdateStopped(t *testing.T) {
	name := shared.Name(t)
	shared.Must(t, "create", "--name", name, "--network", "none", "--restart", "always", testkit.Image, "true")
	id := inspected(t, name, "{{.Id}}")
	shared.Must(t, "update", "--latest", "--restart", "no", "-e", "A=b")
	want(t, "policy", inspected(t, name, "{{.HostConfig.RestartPolicy.Name}}"), "no")
	shared.Must(t, "start", name)
	shared.Must(t, "wait", name)
	want(t, "restarts", inspected(t, name, "{{.RestartCount}} {{.State.Status}}"), "0 exited")
	if _, err := os.Stat(filepath.Join(shared.Data, "containers", id, "update.json")); err != nil {
		t.Error(err)
	}
	shared.Must(t, "rm", name)
	if left, _ := filepath.Glob(filepath.Join(shared.Data, "containers", id+"*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// flag: update --ulimit --kernel-memory
func TestUpdateRefused(t *testing.T) {
	t.Parallel()
	name, _ := sleeper(t, "--rm")
	shared.MustFail(t, 1, "is removed when it ends (--rm)", "update", "--restart", "always", name)
	shared.MustFail(t, 125, "what is to change?", "update", name)
	shared.MustFail(t, 125, "which container?", "update", "--memory", "1g")
	shared.MustFail(t, 125, "a process has its limits from its start", "update", "--ulimit", "nofile=1", name)
	shared.MustFail(t, 125, "no kernel of today limits it", "update", "--kernel-memory", "1g", name)
	shared.MustFail(t, 1, "no container", "update", "--memory", "1g", "nosuchcontainer")
	shared.MustFail(t, 1, "--memory-swap needs --memory", "update", "--memory-swap", "1g", name)
	want(t, "policy after the refusal", inspected(t, name, "{{.HostConfig.RestartPolicy.Name}}"), "no")
}

// A limit that cannot be set leaves the record as it was.
func TestUpdateTakenBack(t *testing.T) {
	t.Parallel()
	name, _ := sleeper(t, "--cgroups", "disabled")
	shared.MustFail(t, 1, "asks for no control group", "update", "--memory", "100m", name)
	want(t, "memory", inspected(t, name, "{{.HostConfig.Memory}}"), "0")
}

// A broken update.json is named, and mended by going back to what the container was made with.
func TestUpdateBroken(t *testing.T) {
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Skip(err)
	}
	defer done()
	id := s.Must(t, "create", "--restart", "no", testkit.Image, "true")
	s.Must(t, "update", "--restart", "always", id)
	path := filepath.Join(s.Data, "containers", id, "update.json")
	if err := os.WriteFile(path, []byte(`{"Version":99}`), 0o600); err != nil {
		t.Skip("the store is not ours to write: ", err)
	}
	s.MustFail(t, 1, "newer version", "start", id)
	os.WriteFile(path, []byte("{"), 0o600)
	if r := s.Try(t, "inspect", id); r.Code == 0 || !strings.Contains(r.Stderr, "broken update.json") {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
	s.Must(t, "system", "check", "--repair")
	want(t, "policy", s.Must(t, "inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", id), "no")
}
