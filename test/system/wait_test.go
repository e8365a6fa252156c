package system

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

func TestWaitConditions(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "create", "--name", name, testkit.Image, "sh", "-c", trapping)
	if out := shared.Must(t, "wait", name); out != "0" {
		t.Errorf("wait of a created one printed %q", out)
	}
	conditions := []string{"next-exit", "removed", "running"}
	results := map[string]chan string{}
	for _, condition := range conditions {
		result := make(chan string, 1)
		results[condition] = result
		go func() { r := shared.Try(t, "wait", "--condition", condition, name); result <- r.Out() + r.Stderr }()
	}
	time.Sleep(100 * time.Millisecond) // only makes it likelier that they wait
	shared.Must(t, "start", name)
	if out := <-results["running"]; out != "0" {
		t.Errorf("running: %q", out)
	}
	testkit.Eventually(t, "ready", func() bool { return strings.Contains(shared.Must(t, "logs", name), "ready") })
	shared.Must(t, "stop", name)
	if out := <-results["next-exit"]; out != "7" {
		t.Errorf("next-exit: %q", out)
	}
	select {
	case out := <-results["removed"]:
		t.Errorf("removed: %q before it was", out)
	default:
	}
	shared.Must(t, "rm", name)
	if out := <-results["removed"]; out != "7" {
		t.Errorf("removed: %q", out)
	}
	shared.MustFail(t, 125, "--condition", "wait", "--condition", "nosuch", name)
}

// wait knows the exit code of a container that goes with its end.
func TestWaitOfAutoRemove(t *testing.T) {
	t.Parallel()
	name := up(t, trapping, "--rm")
	result := make(chan string, 1)
	go func() { r := shared.Try(t, "wait", name); result <- r.Out() + r.Stderr }()
	time.Sleep(100 * time.Millisecond) // only makes it likelier that it waits
	shared.Must(t, "kill", "-s", "TERM", name)
	if out := <-result; out != "7" {
		t.Errorf("wait printed %q", out)
	}
}

// Signals that the foreground wherry gets are the container's.
func TestSignalsGoToTheContainer(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			name := shared.Name(t)
			cmd := shared.Command(context.Background(), "run", "--name", name, testkit.Image, "sh", "-c", `trap "exit 7" TERM; trap "exit 8" INT; echo ready; sleep 1000 & wait`)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			out.Read(make([]byte, 16))
			cmd.Process.Signal(sig)
			cmd.Wait()
			if want := map[syscall.Signal]int{syscall.SIGTERM: 7, syscall.SIGINT: 8}[sig]; cmd.ProcessState.ExitCode() != want {
				t.Errorf("exit %d, want %d", cmd.ProcessState.ExitCode(), want)
			}
		})
	}
}

// Without the proxy a signal ends wherry alone.
//
// flag: attach --no-stdin --sig-proxy
func TestSignalsThatAreNotPassedOn(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	cmd := shared.Command(context.Background(), "attach", "--no-stdin", "--sig-proxy=false", name)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "attached", func() bool { return attachedTo(name) == 1 })
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	if got := field(t, name, "{{.State.Status}}"); got != "running" {
		t.Errorf("status %s", got)
	}
	shared.Must(t, "stop", name)
	if code := field(t, name, "{{.State.ExitCode}}"); code != "7" {
		t.Errorf("exit %s", code)
	}
}

// A foreground wherry that is killed takes nothing with it: the container runs, logs and ends as before.
func TestKilledForegroundLeavesTheContainer(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	cmd := shared.Command(context.Background(), "run", "--name", name, testkit.Image, "sh", "-c", `trap "echo more; exit 7" TERM; echo ready; sleep 1000 & wait`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Read(make([]byte, 16))
	cmd.Process.Kill()
	cmd.Wait()
	if got := field(t, name, "{{.State.Status}}"); got != "running" {
		t.Errorf("status %s", got)
	}
	shared.Must(t, "stop", name)
	if got := shared.Must(t, "logs", name); got != "ready\nmore" {
		t.Errorf("log %q", got)
	}
}

// The life of one container with each runtime that is installed.
func TestLifeWithEachRuntime(t *testing.T) {
	for _, runtime := range []string{"crun", "runc"} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(runtime); err != nil {
				t.Skip(runtime + " is not installed")
			}
			s := *shared
			run := func(args ...string) string { return s.Must(t, args...) }
			name := shared.Name(t)
			if r := s.Try(t, "--runtime", runtime, "run", "--rm", testkit.Image, "sh", "-c", "exit 42"); r.Code != 42 {
				t.Errorf("exit %d: %s", r.Code, r.Stderr)
			}
			s.MustFail(t, 127, "nosuch", "run", "--rm", "--runtime", runtime, testkit.Image, "nosuch")
			s.MustFail(t, 126, "", "run", "--rm", "--runtime", runtime, testkit.Image, "/etc/passwd")
			upAs(t, &s, name, trapping, "--runtime", runtime)
			if got := run("exec", name, "cat", "/proc/1/comm"); got != "sh" {
				t.Errorf("exec sees %q", got)
			}
			if r := s.Try(t, "exec", name, "sh", "-c", "exit 9"); r.Code != 9 {
				t.Errorf("exec: exit %d %s", r.Code, r.Stderr)
			}
			s.MustFail(t, 127, "nosuch", "exec", name, "nosuch")
			s.MustFail(t, 126, "", "exec", name, "/etc/passwd")
			run("pause", name)
			run("unpause", name)
			run("restart", "-t", "0", name)
			run("rename", name, name+"2")
			run("stop", "-t", "0", name+"2")
			run("start", name+"2")
			run("kill", name+"2")
			if code := run("wait", name+"2"); code != "137" {
				t.Errorf("exit %s", code)
			}
			run("rm", name+"2")
			if r := s.Try(t, "run", "-t", "--rm", "--runtime", runtime, testkit.Image, "tty"); r.Out() != "/dev/pts/0\r" {
				t.Errorf("tty: %q %q", r.Stdout, r.Stderr)
			}
		})
	}
}

// Conditions that no end of a process tells, each told as it comes about; of several the first counts.
// flag: wait --condition
func TestWaitForStatus(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "create", "--name", name, "--health-cmd", "test -e /ok", "--health-interval", "50ms", "--health-retries", "1", testkit.Image, "sh", "-c", trapping)
	shared.Must(t, "wait", "--condition", "created", name)
	results := make(chan string, 4)
	for _, conditions := range [][]string{{"unhealthy"}, {"healthy"}, {"paused"}, {"removing", "stopping", "removed"}} {
		args := []string{"wait"}
		for _, c := range conditions {
			args = append(args, "--condition", c)
		}
		go func() {
			r := shared.Try(t, append(args, name)...)
			results <- fmt.Sprint(conditions[0], r.Code, r.Stderr)
		}()
	}
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-results:
			if got != want+"0" {
				t.Errorf("%q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s is not told", want)
		}
	}
	shared.Must(t, "start", name)
	expect("unhealthy")
	shared.Must(t, "exec", name, "touch", "/ok")
	expect("healthy")
	shared.Must(t, "pause", name)
	expect("paused")
	shared.Must(t, "unpause", name)
	shared.Must(t, "stop", "-t", "5", name)
	expect("removing")
}
