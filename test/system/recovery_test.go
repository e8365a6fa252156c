package system

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// killMonitor kills the container's monitor with SIGKILL.
func killMonitor(t *testing.T, s *testkit.Store, name string) {
	t.Helper()
	pid, err := strconv.Atoi(s.Must(t, "inspect", "--format", "{{.State.ConmonPid}}", name))
	if err != nil || pid == 0 {
		t.Fatalf("monitor of %s: %d %v", name, pid, err)
	}
	// Our own user started it, but in the user namespace it may have become another one: there we may kill it.
	s.Must(t, "unshare", "kill", "-9", strconv.Itoa(pid))
	testkit.Eventually(t, "the monitor is dead", func() bool { return !alive(pid) })
}

// killContainer kills the container's first process with SIGKILL.
func killContainer(t *testing.T, s *testkit.Store, pid int) {
	t.Helper()
	s.Must(t, "unshare", "kill", "-9", strconv.Itoa(pid))
	testkit.Eventually(t, "the container is dead", func() bool { return !alive(pid) })
}

// A container whose monitor was killed is what it was: it runs, can be used, stopped and started again.
func TestMonitorKilled(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	pid := hostPid(t, shared, name)
	killMonitor(t, shared, name)
	if got := field(t, name, "{{.State.Status}} {{.State.Pid}}"); got != "running "+strconv.Itoa(pid) {
		t.Errorf("state %q", got)
	}
	if got := shared.Must(t, "ps", "--filter", "name=^"+name+"$", "--format", "{{.Status}}"); !strings.HasPrefix(got, "Up") {
		t.Errorf("ps says %q", got)
	}
	if got := shared.Must(t, "exec", name, "cat", "/proc/1/comm"); got != "sh" {
		t.Errorf("exec sees %q", got)
	}
	shared.Must(t, "rename", name, name+"x")
	shared.Must(t, "rename", name+"x", name)
	shared.Must(t, "stop", name)
	if got := field(t, name, "{{.State.Status}}"); alive(pid) || got != "exited" {
		t.Errorf("status %s after stop", got)
	}
	shared.Must(t, "start", name)
	shared.Must(t, "stop", name)
	if code := field(t, name, "{{.State.ExitCode}}"); code != "7" {
		t.Errorf("exit %s of the next run", code)
	}
}

func TestMonitorKilledThenRemoved(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"--rm"}, {"--restart=always"}} {
		t.Run(strings.Trim(strings.Join(append(flags, "plain"), ""), "-"), func(t *testing.T) {
			t.Parallel()
			name := up(t, trapping, flags...)
			pid, id := hostPid(t, shared, name), field(t, name, "{{.Id}}")
			killMonitor(t, shared, name)
			shared.Must(t, "rm", "-f", name)
			if alive(pid) || mentioned(id) || left(shared.Data+"/containers/"+id) || left(shared.Run+"/runtime/"+id) {
				t.Error("something is left")
			}
		})
	}
}

func left(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Nobody saw the end: it is told as 255, and the container can be started again.
func TestMonitorAndContainerKilled(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	pid, id := hostPid(t, shared, name), field(t, name, "{{.Id}}")
	killMonitor(t, shared, name)
	killContainer(t, shared, pid)
	if got := shared.Must(t, "ps", "-a", "--filter", "name=^"+name+"$", "--format", "{{.Status}}"); !strings.HasPrefix(got, "Exited (255)") {
		t.Errorf("ps says %q", got)
	}
	if code := shared.Must(t, "wait", name); code != "255" {
		t.Errorf("wait printed %s", code)
	}
	if mentioned(id) || left(shared.Run+"/runtime/"+id) {
		t.Error("ps has not cleaned up")
	}
	shared.Must(t, "start", name)
	testkit.Eventually(t, "ready", func() bool { return strings.Count(shared.Must(t, "logs", name), "ready") == 2 })
	shared.Must(t, "stop", name)
	if code := field(t, name, "{{.State.ExitCode}}"); code != "7" {
		t.Errorf("exit %s of the next run", code)
	}
}

// An --rm container whose end nobody saw is removed by whatever comes across it.
func TestAutoRemoveAfterKills(t *testing.T) {
	t.Parallel()
	for by, command := range map[string][]string{"ps": {"ps", "-a"}, "start": {"start", "NAME"}, "check": {"system", "check", "--repair"}} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			name := up(t, trapping, "--rm", "-v", "/anon")
			pid, id := hostPid(t, shared, name), field(t, name, "{{.Id}}")
			volume := field(t, name, "{{(index .Mounts 0).Name}}")
			killMonitor(t, shared, name)
			killContainer(t, shared, pid)
			shared.Try(t, fill(command, name)...)
			if left(shared.Data+"/containers/"+id) || mentioned(id) || left(shared.Data+"/names/"+name) || left(shared.Data+"/volumes/"+volume) {
				t.Error("something is left")
			}
		})
	}
}

// What is attached to a container whose monitor is killed ends with the container.
func TestMonitorKilledUnderAnAttachedClient(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	result := make(chan int, 1)
	go func() { result <- shared.Try(t, "attach", "--no-stdin", name).Code }()
	testkit.Eventually(t, "attached", func() bool { return attachedTo(name) == 1 })
	killMonitor(t, shared, name)
	shared.Must(t, "kill", name)
	if code := <-result; code != 255 {
		t.Errorf("exit %d", code)
	}
}

// reboot makes a store look as after a restart of the machine: nothing runs, the run directory is gone (a tmpfs) or, with
// stale true, still there as on a disk, and the records are of another boot.
func reboot(t *testing.T, s *testkit.Store, stale bool) {
	t.Helper()
	for _, id := range entries(s.Data + "/containers") {
		pid, monitor := 0, 0
		out := s.Must(t, "inspect", "--format", "{{.State.Pid}} {{.State.ConmonPid}}", id)
		if f := strings.Fields(out); len(f) == 2 {
			pid, _ = strconv.Atoi(f[0])
			monitor, _ = strconv.Atoi(f[1])
		}
		for _, p := range []int{monitor, pid} {
			if p > 0 {
				killContainer(t, s, p)
			}
		}
		for _, file := range []string{filepath.Join(s.Data, "containers", id, "state.json"), filepath.Join(s.Run, "c", id, "live.json")} {
			if left(file) {
				s.Must(t, "unshare", "sed", "-i", `s/"BootID":"[^"]*"/"BootID":"00000000-0000-0000-0000-000000000000"/`, file)
			}
		}
	}
	if !stale {
		pause, _ := os.ReadFile(filepath.Join(s.Run, "pause"))
		s.Must(t, "unshare", "sh", "-c", "umount -l "+s.Run+"/net/ns 2>/dev/null; rm -rf "+s.Run) // a reboot takes mounts with it
		if f := strings.Fields(string(pause)); len(f) > 0 {
			if pid, err := strconv.Atoi(f[0]); err == nil && pid > 1 {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

func TestReboot(t *testing.T) {
	for name, stale := range map[string]bool{"tmpfs": false, "disk": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ownStore(t)
			upAs(t, s, "plain", trapping, "-v", "data:/data")
			upAs(t, s, "always", trapping, "--restart", "always")
			upAs(t, s, "gone", trapping, "--rm")
			s.Try(t, "run", "--name", "done", testkit.Image, "sh", "-c", "exit 3")
			s.Must(t, "create", "--name", "fresh", testkit.Image, "true")
			s.Must(t, "exec", "plain", "sh", "-c", "echo kept >/data/f; echo kept >/f")
			s.Must(t, "rename", "plain", "renamed")
			reboot(t, s, stale)
			got := s.Must(t, "ps", "-a", "--format", "{{.Names}} {{.State}}")
			for _, want := range []string{"renamed exited", "always exited", "done exited", "fresh created"} {
				if !strings.Contains(got, want) {
					t.Errorf("ps lacks %q:\n%s", want, got)
				}
			}
			if out := s.Must(t, "ps", "-a", "--format", "{{.Names}}"); strings.Contains(out, "gone") {
				t.Error("the --rm container outlived the reboot")
			}
			if n := len(s.Monitors()); n != 0 {
				t.Errorf("%d monitors", n)
			}
			s.MustFail(t, 125, "in use", "create", "--name", "renamed", testkit.Image)
			s.Must(t, "start", "renamed", "always", "fresh")
			if out := s.Must(t, "exec", "renamed", "cat", "/data/f", "/f"); out != "kept\nkept" {
				t.Errorf("content %q", out)
			}
			s.Must(t, "rm", "-f", "-a")
			s.Must(t, "volume", "prune", "-f", "-a")
			nothingLeft(t, s)
		})
	}
}

// The pause process is only a convenience: without it the next command finds its containers all the same.
func TestPauseProcessKilled(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root needs no user namespace")
	}
	s := ownStore(t)
	upAs(t, s, "web", trapping)
	pid := hostPid(t, s, "web")
	data, err := os.ReadFile(filepath.Join(s.Run, "pause"))
	if err != nil {
		t.Fatal(err)
	}
	pause, err := strconv.Atoi(strings.Fields(string(data))[0])
	if err != nil || pause < 2 {
		t.Fatalf("pause file %q", data)
	}
	if err := syscall.Kill(pause, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the pause process is dead", func() bool { return !alive(pause) })
	if got := s.Must(t, "ps", "--format", "{{.Names}}"); got != "web" || !alive(pid) {
		t.Errorf("ps says %q", got)
	}
	if got := s.Must(t, "exec", "web", "cat", "/proc/1/comm"); got != "sh" {
		t.Errorf("exec sees %q", got)
	}
	s.Must(t, "run", "--rm", testkit.Image, "true")
	s.Must(t, "pause", "web")
	s.Must(t, "unpause", "web")
	s.Must(t, "restart", "-t", "0", "web")
	s.Must(t, "stop", "-t", "0", "web")
	s.Must(t, "rm", "web")
	nothingLeft(t, s)
}
