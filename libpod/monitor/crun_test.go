package monitor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/procs"
)

// newReal is a container of the real crun with a busybox root. It needs root, for its own mount namespace.
func newReal(t *testing.T, terminal bool, args ...string) *ctr {
	t.Helper()
	crun, err := exec.LookPath("crun")
	busybox, err2 := exec.LookPath("busybox")
	if err != nil || err2 != nil || os.Getuid() != 0 {
		t.Skip("needs root, crun and a static busybox")
	}
	c := newCtr(t)
	c.job.ID = filepath.Base(c.root)
	root := c.path("rootfs")
	os.Mkdir(c.path("run/root"), 0o755)
	for _, dir := range []string{"bin", "proc", "dev", "tmp"} {
		os.MkdirAll(filepath.Join(root, dir), 0o755)
	}
	data, _ := os.ReadFile(busybox)
	os.WriteFile(filepath.Join(root, "bin/busybox"), data, 0o755)
	for _, name := range []string{"sh", "cat", "sleep", "true", "stty", "echo", "rm", "touch", "test", "ls"} {
		os.Symlink("busybox", filepath.Join(root, "bin", name))
	}
	spec := exec.Command(crun, "spec")
	spec.Dir = c.path("state")
	if out, err := spec.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	var doc map[string]any
	text, _ := os.ReadFile(c.path("state/config.json"))
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	process := doc["process"].(map[string]any)
	process["args"], process["terminal"] = args, terminal
	doc["root"] = map[string]any{"path": c.path("run/root")}
	bundle := c.path("run/bundle")
	os.MkdirAll(bundle, 0o700)
	text, _ = json.Marshal(doc)
	os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o600)
	global := []string{"crun", "--root", c.path("state"), "--cgroup-manager=disabled", "--log-format=json", "--log=" + c.path("run/runtime.log")}
	c.job.Runtime, c.job.Terminal, c.job.Leftovers = crun, terminal, []string{filepath.Join(c.path("state"), c.job.ID)}
	c.job.StartArgs = append(global, "run", "--detach", "--bundle", bundle, "--pid-file", c.path("run/pid"))
	if terminal {
		c.job.StartArgs = append(c.job.StartArgs, "--console-socket", c.path("run/console.sock"))
	}
	c.job.StartArgs = append(c.job.StartArgs, c.job.ID)
	c.job.ExecArgs = append(global[:len(global):len(global)], "exec", "--process")
	c.job.ExecSpec, _ = json.Marshal(process)
	return c
}

// startReal starts the container in a mount namespace with only cgroup v2, which crun wants.
func (c *ctr) startReal(opts monitor.SpawnOptions) error {
	opts.Path = binary
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH)
		err = errors.Join(err, unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""))
		err = errors.Join(err, unix.Mount(c.path("rootfs"), c.path("run/root"), "", unix.MS_BIND, ""))
		if err == nil {
			c.proc, err = monitor.Spawn(c.t.Context(), opts)
		}
		done <- err
	}()
	err := <-done
	if err != nil {
		return err
	}
	if err := c.proc.Send(c.job); err != nil {
		return err
	}
	c.live, err = c.proc.Report(c.t.Context())
	return err
}

func TestCrunTerminalAndResize(t *testing.T) {
	c := newReal(t, true, "sh", "-c", "read a; stty size; echo got $a; exit 5")
	c.job.OpenStdin = true
	conn, opts := client(t)
	if err := c.startReal(opts); err != nil {
		t.Fatal(err)
	}
	opts.Client.Close()
	if err := monitor.Resize(conn, 33, 111); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	code, _, err := monitor.Attach(t.Context(), conn, monitor.Streams{Stdin: strings.NewReader("word\n"), Stdout: &out, Terminal: true})
	if err != nil || code != 5 || !strings.Contains(out.String(), "33 111\r\n") || !strings.HasSuffix(out.String(), "got word\r\n") {
		t.Errorf("exit %d, %v, %q", code, err, out.String())
	}
	c.end()
	if _, err := os.Stat(c.path("run")); err == nil {
		t.Error("the run directory is left")
	}
	if left, _ := os.ReadDir(c.path("state")); len(left) != 1 { // config.json of ours
		t.Errorf("runtime state: %v", left)
	}
}

func TestCrunDetach(t *testing.T) {
	c := newReal(t, true, "sleep", "60")
	conn, opts := client(t)
	if err := c.startReal(opts); err != nil {
		t.Fatal(err)
	}
	opts.Client.Close()
	_, detached, err := monitor.Attach(t.Context(), conn, monitor.Streams{Stdin: strings.NewReader("a\x10\x10\x11"), Terminal: true})
	if !detached || err != nil || !procs.Alive(c.live.Pid, c.live.PidStart) {
		t.Errorf("%v %v", detached, err)
	}
}

func TestCrunErrors(t *testing.T) {
	for command, kind := range map[string]error{"nonexistent": errdefs.ErrNoCommand, "/nonexistent": errdefs.ErrNoCommand, "/tmp": errdefs.ErrNotExecutable, "/dev/null": errdefs.ErrNotExecutable} {
		c := newReal(t, false, command)
		err := c.startReal(monitor.SpawnOptions{})
		if !errors.Is(err, kind) || strings.Contains(err.Error(), "{") {
			t.Errorf("%s: %v", command, err)
		}
		t.Log(err)
	}
}

func TestCrunHealth(t *testing.T) {
	c := newReal(t, false, "sh", "-c", "touch /tmp/ok; sleep 60")
	c.job.Health = &record.Health{Test: []string{"CMD-SHELL", "echo probed; test -e /tmp/ok"}, Interval: 100 * time.Millisecond,
		Timeout: 2 * time.Second, Retries: 2, OnFailure: "kill"}
	if err := c.startReal(monitor.SpawnOptions{}); err != nil {
		t.Fatal(err)
	}
	health := func() (h record.HealthState) {
		data, _ := os.ReadFile(c.path("run/health.json"))
		json.Unmarshal(data, &h)
		return h
	}
	if h := health(); h.Status != "starting" {
		t.Errorf("%+v", h)
	}
	c.until("healthy", func() bool { return health().Status == "healthy" })
	if h := health(); h.Log[0].Output != "probed\n" || h.Log[0].ExitCode != 0 {
		t.Errorf("%+v", h)
	}
	os.Remove(c.path("rootfs/tmp/ok"))
	c.end()
	if st := c.state(); st.ExitCode != 137 {
		t.Errorf("%+v", st)
	}
}

func TestCrunHealthTimeout(t *testing.T) {
	c := newReal(t, false, "sleep", "60")
	c.job.Health = &record.Health{Test: []string{"CMD", "sleep", "50"}, Interval: 50 * time.Millisecond, Timeout: 200 * time.Millisecond,
		Retries: 1, OnFailure: "stop"}
	c.job.Lifecycle.Restart = "always"
	zero := 0
	c.job.Lifecycle.StopTimeout = &zero
	if err := c.startReal(monitor.SpawnOptions{}); err != nil {
		t.Fatal(err)
	}
	var h record.HealthState
	c.until("unhealthy", func() bool {
		data, _ := os.ReadFile(c.path("run/health.json"))
		json.Unmarshal(data, &h)
		return h.Status == "unhealthy" || c.state().Status == record.Exited
	})
	c.end()
	if st := c.state(); st.Status != record.Exited || !st.UserStopped {
		t.Errorf("%+v, %+v", st, h)
	}
}
