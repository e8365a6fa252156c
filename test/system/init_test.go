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

// initialized makes a container with the arguments and brings it to where only its command is missing.
func initialized(t *testing.T, args ...string) (name string, pid, monitor int) {
	t.Helper()
	name = shared.Name(t)
	shared.Must(t, append([]string{"create", "--name", name}, args...)...)
	shared.Must(t, "init", name)
	pid, _ = strconv.Atoi(field(t, name, "{{.State.Pid}}"))
	monitor, _ = strconv.Atoi(field(t, name, "{{.State.ConmonPid}}"))
	if pid == 0 || monitor == 0 || !alive(pid) {
		t.Fatalf("pid %d, monitor %d", pid, monitor)
	}
	return name, pid, monitor
}

func isStatus(t *testing.T, name, want string) {
	t.Helper()
	if got := field(t, name, "{{.State.Status}}"); got != want {
		t.Errorf("it is %s, not %s", got, want)
	}
}

// After init namespaces, mounts and network are there, and the command is not; start lets it go in the same process.
//
// flag: init
func TestInitThenStart(t *testing.T) {
	t.Parallel()
	net := shared.Name(t) + "net"
	shared.Must(t, "network", "create", net)
	t.Cleanup(func() { shared.Try(t, "network", "rm", "-f", net) })
	name, pid, _ := initialized(t, "--network", net, "-v", "/vol", testkit.Image, "sh", "-c", "echo ran >/vol/f; exec sleep 1000")
	isStatus(t, name, "initialized")
	ours, _ := os.Readlink("/proc/self/ns/net")
	if its, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net"); its == ours || err != nil {
		t.Errorf("network namespace %s %v", its, err)
	}
	if out := shared.Must(t, "cp", name+":/etc/hostname", "-"); !strings.Contains(out, "hostname") {
		t.Error("its files are not there")
	}
	if field(t, name, "{{(index .NetworkSettings.Networks \""+net+"\").IPAddress}}") == "" {
		t.Error("it has no address")
	}
	volume := field(t, name, "{{(index .Mounts 0).Source}}")
	if _, err := os.Stat(filepath.Join(volume, "f")); err == nil {
		t.Error("the command ran")
	}
	if list := shared.Must(t, "ps", "-q", "--no-trunc", "--filter", "status=initialized", "--filter", "name="+name); list == "" {
		t.Error("ps does not know it as initialized")
	}
	for verb, code := range map[string]int{"exec": 125, "kill": 1, "pause": 1, "top": 125} {
		args := []string{verb, name}
		if verb == "exec" {
			args = append(args, "true")
		}
		shared.MustFail(t, code, "not running", args...)
	}
	shared.MustFail(t, 1, "initialized already", "init", name)

	shared.Must(t, "start", name)
	isStatus(t, name, "running")
	if now := field(t, name, "{{.State.Pid}}"); now != strconv.Itoa(pid) {
		t.Errorf("pid %s, was %d", now, pid)
	}
	testkit.Eventually(t, "the command runs", func() bool { return shared.Try(t, "exec", name, "cat", "/vol/f").Out() == "ran" })
	shared.MustFail(t, 1, "running already", "init", name)
}

// start -a -i of an initialized container has its streams from the first byte, and its exit code.
//
// flag: start --attach --interactive
func TestInitThenAttach(t *testing.T) {
	t.Parallel()
	name, _, _ := initialized(t, "-i", testkit.Image, "sh", "-c", "echo first; cat; exit 7")
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte("typed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := shared.Command(t.Context(), "start", "-a", "-i", name)
	f, err := os.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdin = f
	out, _ := cmd.Output()
	if string(out) != "first\ntyped\n" || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("exit %d, output %q", cmd.ProcessState.ExitCode(), out)
	}
}

// What init prepared is taken away by stop and rm, and the container is again what it was: its command never ran.
//
// flag: stop, rm
func TestInitThenStop(t *testing.T) {
	t.Parallel()
	name, pid, monitor := initialized(t, "--restart", "always", testkit.Image, "sleep", "1000")
	shared.Must(t, "stop", name)
	isStatus(t, name, "created")
	if alive(pid) || alive(monitor) {
		t.Error("something of it runs on")
	}
	shared.Must(t, "init", name)
	shared.Must(t, "start", name)
	isStatus(t, name, "running")
	shared.Must(t, "stop", "-t", "0", name)
	ended := field(t, name, "{{.State.FinishedAt}}")
	shared.Must(t, "init", name)
	shared.Must(t, "stop", name)
	isStatus(t, name, "exited")
	if now := field(t, name, "{{.State.FinishedAt}} {{.State.ExitCode}}"); now != ended+" 137" {
		t.Errorf("%s, its last run ended %s", now, ended)
	}
	shared.Must(t, "init", name)
	shared.Must(t, "rm", name)
	shared.MustFail(t, 1, "no container", "inspect", name)
}

// Whose monitor or first process was killed is what it was before init, and nothing of it is left.
func TestInitThenKilled(t *testing.T) {
	t.Parallel()
	name, pid, monitor := initialized(t, "--rm", testkit.Image, "sleep", "1000")
	syscall.Kill(monitor, syscall.SIGKILL)
	testkit.Eventually(t, "the monitor is gone", func() bool { return !alive(monitor) })
	isStatus(t, name, "created")
	shared.Must(t, "ps", "-a")
	if alive(pid) {
		t.Error("its first process runs on")
	}
	shared.Must(t, "init", name)
	pid, _ = strconv.Atoi(field(t, name, "{{.State.Pid}}"))
	syscall.Kill(pid, syscall.SIGKILL)
	testkit.Eventually(t, "it is created", func() bool { return field(t, name, "{{.State.Status}}") == "created" })
	shared.Must(t, "start", name)
	isStatus(t, name, "running")
}

// What a reboot leaves is a state of another boot without run-time files: the container can be initialized again.
func TestInitThenReboot(t *testing.T) {
	t.Parallel()
	name, pid, monitor := initialized(t, testkit.Image, "sleep", "1000")
	id := field(t, name, "{{.Id}}")
	syscall.Kill(monitor, syscall.SIGKILL)
	syscall.Kill(pid, syscall.SIGKILL)
	testkit.Eventually(t, "both are gone", func() bool { return !alive(monitor) && !alive(pid) })
	if err := os.RemoveAll(filepath.Join(shared.Run, "c", id)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(shared.Data, "containers", id, "state.json")
	state, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(state), "initialized") {
		t.Fatalf("%s %v", state, err)
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	other := strings.ReplaceAll(string(state), strings.TrimSpace(string(boot)), "00000000-0000-0000-0000-000000000000")
	if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	isStatus(t, name, "created")
	shared.Must(t, "init", name)
	shared.Must(t, "start", name)
	isStatus(t, name, "running")
}

// A command that is not there is an error of init, as of start, and nothing stays.
//
// flag: init --all --latest
func TestInitRefused(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "create", "--name", name, testkit.Image, "nosuch")
	shared.MustFail(t, 1, "nosuch", "init", name)
	isStatus(t, name, "created")
	shared.MustFail(t, 1, "no container", "init", name+"x")
	shared.MustFail(t, 125, "which container", "init")
	shared.MustFail(t, 125, "do not go with named", "init", "--all", name)

	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	s.Must(t, "create", "--name", "a", testkit.Image, "sleep", "1000")
	s.Must(t, "create", "--name", "b", testkit.Image, "sleep", "1000")
	s.Must(t, "init", "--latest")
	if got := s.Must(t, "ps", "-a", "--format", "{{.Names}} {{.State}}"); got != "b initialized\na created" {
		t.Errorf("--latest: %s", got)
	}
	s.Must(t, "init", "--all")
	if got := s.Must(t, "ps", "-a", "--format", "{{.Names}} {{.State}}"); got != "b initialized\na initialized" {
		t.Errorf("--all: %s", got)
	}
}

// With a terminal, a health check and a time limit: all three count from the start, not from init.
func TestInitTerminalHealthTimeout(t *testing.T) {
	t.Parallel()
	name, _, _ := initialized(t, "-t", "--health-cmd", "true", "--health-interval", "1s", "--timeout", "1", testkit.Image, "sh", "-c", "tty; sleep 1000")
	if h := field(t, name, "{{.State.Health.Status}} {{len .State.Health.Log}}"); h != "starting 0" {
		t.Errorf("health %s", h)
	}
	shared.Must(t, "start", name)
	testkit.Eventually(t, "the time limit ends it", func() bool { return field(t, name, "{{.State.Status}}") == "exited" })
	if out := shared.Must(t, "logs", name); !strings.Contains(out, "/dev/") {
		t.Errorf("no terminal: %q", out)
	}
}

// A monitor that is killed while it lets the command go leaves a container that can be started.
func TestInitMonitorKilledAtGo(t *testing.T) {
	t.Parallel()
	if os.Getenv("WHERRY_FAULT_BIN") == "" {
		t.Skip("WHERRY_FAULT_BIN is not set (make test sets it)")
	}
	s, done, err := testkit.Open("fault")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	s.Must(t, "create", "--name", "c", testkit.Image, "sleep", "1000")
	s.With("WHERRY_FAULT=kill:monitor.go").Must(t, "init", "c")
	pid := hostPid(t, s, "c")
	s.Must(t, "start", "c")
	if alive(pid) {
		t.Error("what was started first runs on")
	}
	if now := hostPid(t, s, "c"); now == pid || !alive(now) {
		t.Errorf("pid %d, was %d", now, pid)
	}
}
