package monitor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/procs"
)

// binary is the monitor under test, built as `make` does it.
var binary string

func TestMain(m *testing.M) {
	if os.Args[0] == "fake" {
		fakeRuntime(os.Args[1:])
	}
	dir, err := os.MkdirTemp("", "monitor-test")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "wherry-monitor")
	cmd := exec.Command("go", "build", "-ldflags", "-s -w -E wherry_start", "-o", binary, "../../cmd/wherry-monitor")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v\n%s", err, out))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// fakeRuntime starts a command in the background, as an OCI runtime leaves a container. Its arguments are the pid
// file and the command, or "fail" and its last words.
func fakeRuntime(args []string) {
	if args[1] == "fail" {
		fmt.Fprintln(os.Stderr, args[2])
		os.Exit(1)
	}
	path, err := exec.LookPath(args[1])
	if err != nil {
		panic(err)
	}
	pid, err := syscall.ForkExec(path, args[1:], &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		panic(err)
	}
	os.WriteFile(args[0], []byte(fmt.Sprint(pid)), 0o600)
	os.Exit(0)
}

// ctr is one container of a test.
type ctr struct {
	t    *testing.T
	job  monitor.Job
	root string
	proc *monitor.Process
	live *record.Live
}

func newCtr(t *testing.T, command ...string) *ctr {
	t.Helper()
	root, err := os.MkdirTemp("", "ctr") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	c := &ctr{t: t, root: root}
	for _, dir := range []string{"containers/abc", "names", "trash", "run", "volumes/anon", "state"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	os.Symlink("abc", filepath.Join(root, "names", "web"))
	c.job = monitor.Job{ID: "abc", Name: "web", Dir: c.path("containers/abc"), RunDir: c.path("run"), Trash: c.path("trash"),
		Names: c.path("names"), Runtime: self, Env: os.Environ(), BootID: "boot", Leftovers: []string{c.path("state")},
		StartArgs: append([]string{"fake", c.path("run/pid")}, command...)}
	t.Cleanup(func() {
		if c.live != nil {
			procs.PidfdSignal(c.live.Monitor, c.live.MonitorStart, unix.SIGKILL)
			procs.PidfdSignal(c.live.Pid, c.live.PidStart, unix.SIGKILL)
		}
		os.RemoveAll(root)
	})
	return c
}

func (c *ctr) path(name string) string { return filepath.Join(c.root, name) }

func (c *ctr) start(opts monitor.SpawnOptions) error {
	c.t.Helper()
	opts.Path = binary
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		c.proc, err = monitor.Spawn(c.t.Context(), opts)
	}()
	<-done
	if err != nil {
		return err
	}
	if err := c.proc.Send(c.job); err != nil {
		return err
	}
	c.live, err = c.proc.Report(c.t.Context())
	return err
}

func (c *ctr) mustStart(opts monitor.SpawnOptions) {
	c.t.Helper()
	if err := c.start(opts); err != nil {
		c.t.Fatal(err)
	}
}

// client is a socket pair for the first client; the monitor's end is in the returned options.
func client(t *testing.T) (*os.File, monitor.SpawnOptions) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, monitor.SpawnOptions{Client: theirs}
}

// run starts the container with a foreground client and returns its output and exit code.
func (c *ctr) run(stdin string) (stdout, stderr string, code int) {
	c.t.Helper()
	conn, opts := client(c.t)
	c.mustStart(opts)
	opts.Client.Close()
	var out, err bytes.Buffer
	streams := monitor.Streams{Stdout: &out, Stderr: &err}
	if c.job.OpenStdin {
		streams.Stdin = strings.NewReader(stdin)
	}
	code, _, e := monitor.Attach(c.t.Context(), conn, streams)
	if e != nil {
		c.t.Fatal(e)
	}
	return out.String(), err.String(), code
}

func (c *ctr) state() (st record.State) {
	data, _ := os.ReadFile(filepath.Join(c.job.Dir, record.StateFile))
	json.Unmarshal(data, &st)
	return st
}

func (c *ctr) setState(st record.State) {
	data, _ := json.Marshal(st)
	tmp := filepath.Join(c.job.Dir, "tmp")
	os.WriteFile(tmp, data, 0o600)
	os.Rename(tmp, filepath.Join(c.job.Dir, record.StateFile))
}

// end waits for the monitor's end.
func (c *ctr) end() {
	c.t.Helper()
	c.endWithin(20 * time.Second)
}

func (c *ctr) endWithin(d time.Duration) {
	c.t.Helper()
	fd, err := procs.PidfdOpen(c.live.Monitor, c.live.MonitorStart)
	if errors.Is(err, procs.ErrGone) {
		return
	}
	if err != nil {
		c.t.Fatal(err)
	}
	defer unix.Close(fd)
	ctx, cancel := context.WithTimeout(c.t.Context(), d)
	defer cancel()
	if err := procs.WaitPidfd(ctx, fd); err != nil {
		c.t.Fatalf("the monitor does not end: %v", err)
	}
}

// until waits for a condition that another process brings about.
func (c *ctr) until(what string, ok func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: never", what)
		}
	}
}

func (c *ctr) log() string {
	data, _ := os.ReadFile(filepath.Join(c.job.Dir, record.LogFile))
	return string(data)
}

func TestExitCodes(t *testing.T) {
	for command, want := range map[string]int{"exit 0": 0, "exit 3": 3, "kill -9 $$": 137, "kill -15 $$": 143, "exit 255": 255} {
		c := newCtr(t, "sh", "-c", "echo out; echo err >&2; "+command)
		stdout, stderr, code := c.run("")
		if code != want || stdout != "out\n" || stderr != "err\n" {
			t.Errorf("%s: exit %d, %q %q", command, code, stdout, stderr)
		}
		st := c.state()
		if st.ExitCode != want || st.Status != record.Exited || st.StartedAt.IsZero() || st.FinishedAt.Before(st.StartedAt) || st.BootID != "boot" || st.Error != "" {
			t.Errorf("%s: state %+v", command, st)
		}
		c.end()
		for _, gone := range []string{"run", "state"} {
			if _, err := os.Stat(c.path(gone)); err == nil {
				t.Errorf("%s: %s is left", command, gone)
			}
		}
		if _, err := os.Lstat(c.path("names/web")); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		if log := c.log(); !strings.Contains(log, `{"log":"out\n","stream":"stdout","time":"`) || !strings.Contains(log, `{"log":"err\n","stream":"stderr","time":"`) {
			t.Errorf("%s: log %q", command, log)
		}
	}
}

func TestAutoRemoveLeavesNothing(t *testing.T) {
	c := newCtr(t, "true")
	c.job.Lifecycle.AutoRemove = true
	c.job.Volumes = []string{c.path("volumes/anon")}
	c.run("")
	for _, gone := range []string{"run", "state", "containers/abc", "names/web", "volumes/anon"} {
		if _, err := os.Lstat(c.path(gone)); err == nil {
			t.Errorf("%s is left when the client is told", gone)
		}
	}
	c.end()
	if left, _ := os.ReadDir(c.path("trash")); len(left) > 0 {
		t.Errorf("trash: %v", left)
	}
}

func TestAutoRemoveKeepsAnothersName(t *testing.T) {
	c := newCtr(t, "true")
	c.job.Lifecycle.AutoRemove = true
	os.Remove(c.path("names/web"))
	os.Symlink("def", c.path("names/web"))
	c.run("")
	if id, _ := os.Readlink(c.path("names/web")); id != "def" {
		t.Errorf("the name of another container is gone")
	}
}

func TestStdinHalfClose(t *testing.T) {
	c := newCtr(t, "sh", "-c", "cat; echo end")
	c.job.OpenStdin, c.job.StdinOnce = true, true
	text := strings.Repeat("0123456789abcde\n", 20000)
	stdout, _, code := c.run(text)
	if code != 0 || stdout != text+"end\n" {
		t.Errorf("exit %d, %d bytes", code, len(stdout))
	}
}

func TestManyBytesArriveAndAreLogged(t *testing.T) {
	c := newCtr(t, "sh", "-c", "yes 0123456789012345678901234567890123456789 | head -c 100000000; echo; echo last")
	conn, opts := client(t)
	c.mustStart(opts)
	opts.Client.Close()
	var out countWriter
	code, _, err := monitor.Attach(t.Context(), conn, monitor.Streams{Stdout: &out})
	if code != 0 || err != nil || out.n != 100000006 {
		t.Fatalf("exit %d, %v, %d bytes", code, err, out.n)
	}
	c.end()
	log, total := c.log(), 0
	if n := strings.Count(log, "\n"); n != 100000000/41+2 {
		t.Errorf("%d lines in the log", n)
	}
	for line := range strings.Lines(log) {
		total += strings.Index(line, `","stream`) - len(`{"log":"`)
	}
	if want := 100000006 + 100000000/41 + 2; total != want { // newlines take two bytes
		t.Errorf("%d bytes logged, want %d", total, want)
	}
}

type countWriter struct{ n int }

func (w *countWriter) Write(p []byte) (int, error) { w.n += len(p); return len(p), nil }

func TestSlowForegroundClientLosesNothing(t *testing.T) {
	c := newCtr(t, "sh", "-c", "head -c 3000000 /dev/zero; echo; echo the end")
	conn, opts := client(t)
	c.mustStart(opts)
	opts.Client.Close()
	time.Sleep(300 * time.Millisecond) // it is stuck behind us now
	var out bytes.Buffer
	slow := writerFunc(func(p []byte) (int, error) {
		if out.Len() == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		if out.Len() > 2000000 && out.Len() < 2100000 { // the container has ended: the monitor must not wait for us
			c.endWithin(5 * time.Second)
		}
		return out.Write(p)
	})
	code, _, err := monitor.Attach(t.Context(), conn, monitor.Streams{Stdout: slow})
	if err != nil || code != 0 || !strings.HasSuffix(out.String(), "the end\n") || out.Len() != 3000009 {
		t.Fatalf("exit %d, %v, %d bytes", code, err, out.Len())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestSeveralClients(t *testing.T) {
	c := newCtr(t, "sh", "-c", "read a; echo got $a; read b; head -c 8000000 /dev/zero; echo; echo got $b")
	c.job.OpenStdin = true
	c.mustStart(monitor.SpawnOptions{})
	dial := func() *os.File {
		conn, err := monitor.Dial(c.path("run/attach.sock"))
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	stuck, killed, first, second := dial(), dial(), dial(), dial()
	defer stuck.Close() // never reads: neither the container nor the others must wait for it
	type result struct {
		out  string
		code int
		err  error
	}
	results := make(chan result, 2)
	follow := func(conn *os.File, stdin string) {
		var out bytes.Buffer
		code, _, err := monitor.Attach(t.Context(), conn, monitor.Streams{Stdin: strings.NewReader(stdin), Stdout: &out})
		results <- result{out.String(), code, err}
	}
	go follow(first, "one\n")
	c.until("first line", func() bool { return strings.Contains(c.log(), "got one") })
	killed.Close()
	go follow(second, "two\n")
	for range 2 {
		r := <-results
		if r.err != nil || r.code != 0 || !strings.HasSuffix(r.out, "got two\n") {
			t.Errorf("exit %d, %v, %d bytes", r.code, r.err, len(r.out))
		}
	}
	c.end()
}

func TestKilledMonitorIsTold(t *testing.T) {
	c := newCtr(t, "sleep", "60")
	conn, opts := client(t)
	c.mustStart(opts)
	opts.Client.Close()
	go func() {
		time.Sleep(50 * time.Millisecond)
		syscall.Kill(c.live.Monitor, syscall.SIGKILL)
	}()
	_, _, err := monitor.Attach(t.Context(), conn, monitor.Streams{})
	if !errors.Is(err, monitor.ErrMonitorGone) {
		t.Error(err)
	}
	if !procs.Alive(c.live.Pid, c.live.PidStart) {
		t.Error("the container died with its monitor")
	}
}

func TestRuntimeFailure(t *testing.T) {
	for text, want := range map[string]string{
		"something went wrong": "monitor.test: something went wrong",
		"executable file `x` not found in $PATH: No such file or directory": "monitor.test: executable file `x` not found",
	} {
		c := newCtr(t, "fail", text)
		err := c.start(monitor.SpawnOptions{})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v", err)
		}
	}
	c := newCtr(t, "true")
	c.job.Runtime = "/nonexistent"
	if err := c.start(monitor.SpawnOptions{}); err == nil || !strings.Contains(err.Error(), "/nonexistent") {
		t.Errorf("%v", err)
	}
}

func TestRestartBackoff(t *testing.T) {
	c := newCtr(t, "sh", "-c", "echo started; exit 4")
	c.job.Lifecycle.Restart, c.job.Lifecycle.MaxRetries = "on-failure", 3
	begun := time.Now()
	c.mustStart(monitor.SpawnOptions{})
	c.until("restarting", func() bool { return c.state().Status == record.Restarting })
	c.end()
	st := c.state()
	if st.RestartCount != 3 || st.ExitCode != 4 || st.Status != record.Exited {
		t.Errorf("%+v", st)
	}
	if n := strings.Count(c.log(), "started"); n != 4 {
		t.Errorf("started %d times", n)
	}
	if d := time.Since(begun); d < 700*time.Millisecond || d > 3*time.Second {
		t.Errorf("took %v, want 100+200+400 ms", d)
	}
}

func TestStopDuringBackoff(t *testing.T) {
	c := newCtr(t, "false")
	c.job.Lifecycle.Restart = "always"
	c.mustStart(monitor.SpawnOptions{})
	c.until("a long back-off", func() bool { st := c.state(); return st.Status == record.Restarting && st.RestartCount == 4 })
	syscall.Kill(c.live.Monitor, syscall.SIGTERM) // nothing asked for it: goes on
	time.Sleep(50 * time.Millisecond)
	dir, err := os.Open(c.job.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	unix.Flock(int(dir.Fd()), unix.LOCK_EX)
	st := c.state()
	if st.Status != record.Restarting {
		t.Fatalf("%+v", st)
	}
	st.UserStopped = true
	c.setState(st)
	unix.Flock(int(dir.Fd()), unix.LOCK_UN)
	syscall.Kill(c.live.Monitor, syscall.SIGTERM)
	c.endWithin(500 * time.Millisecond)
	if st := c.state(); st.Status != record.Exited || !st.UserStopped || st.ExitCode != 1 {
		t.Errorf("%+v", st)
	}
}

func TestUserStopRestsThePolicy(t *testing.T) {
	c := newCtr(t, "sleep", "60")
	c.job.Lifecycle.Restart = "always"
	c.mustStart(monitor.SpawnOptions{})
	syscall.Kill(c.live.Monitor, syscall.SIGTERM) // ignored while the container runs
	c.setState(record.State{Version: 1, Status: record.Running, UserStopped: true, Name: "renamed"})
	procs.PidfdSignal(c.live.Pid, c.live.PidStart, unix.SIGTERM)
	c.end()
	if st := c.state(); st.Status != record.Exited || st.ExitCode != 143 || st.RestartCount != 0 || st.Name != "renamed" {
		t.Errorf("%+v", st)
	}
}

func TestTimeout(t *testing.T) {
	c := newCtr(t, "sleep", "60")
	c.job.Lifecycle.Timeout = 1
	begun := time.Now()
	_, _, code := c.run("")
	if d := time.Since(begun); code != 137 || d < time.Second || d > 3*time.Second {
		t.Errorf("exit %d after %v", code, d)
	}
}

func TestPassthroughGetsOurStreams(t *testing.T) {
	c := newCtr(t, "sh", "-c", "readlink /proc/self/fd/1")
	c.job.Log.Driver = "passthrough"
	c.mustStart(monitor.SpawnOptions{Passthrough: true})
	c.end()
	if _, err := os.Stat(filepath.Join(c.job.Dir, record.LogFile)); err == nil {
		t.Error("passthrough has a log")
	}
}

func TestNoDescriptorOfOursReachesTheContainer(t *testing.T) {
	leak, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	unix.FcntlInt(leak.Fd(), unix.F_SETFD, 0) // inherited by everything
	c := newCtr(t, "sh", "-c", "ls /proc/self/fd | tr '\\n' ' '")
	stdout, _, _ := c.run("")
	if stdout != "0 1 2 3 " { // 3 is ls reading the directory
		t.Errorf("descriptors %s", stdout)
	}
}

func TestEmptyJob(t *testing.T) {
	p, err := monitor.Spawn(t.Context(), monitor.SpawnOptions{Path: binary})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Send(monitor.Job{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Report(t.Context()); err == nil || !strings.Contains(err.Error(), "read job: incomplete") {
		t.Errorf("%v", err)
	}
}
