package monitor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/procs"
)

// pss is the proportional set size of a process in kB.
func pss(t *testing.T, pid int) (kb int) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if n, err := fmt.Sscanf(line, "Pss: %d kB", &kb); n == 1 && err == nil {
			return kb
		}
	}
	return 0
}

// idle says whether the Go runtime is absent: it would have more than one thread.
func (c *ctr) idle() bool {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", c.live.Monitor))
	cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.live.Monitor))
	return len(threads) == 1 && strings.Contains(string(cmdline), "\x00idle\x00")
}

func TestIdleIsSmallAndWakes(t *testing.T) {
	c := newCtr(t, "sh", "-c", "printf 'name: '; read a; echo hello $a; read b; exit 7")
	c.job.OpenStdin = true
	c.mustStart(monitor.SpawnOptions{})
	active := pss(t, c.live.Monitor)
	c.until("idle", c.idle)
	time.Sleep(50 * time.Millisecond)
	quiet := pss(t, c.live.Monitor)
	t.Logf("PSS %d kB active, %d kB idle", active, quiet)
	if quiet > 364 {
		t.Errorf("idle monitor holds %d kB", quiet)
	}
	conn, err := monitor.Dial(c.path("run/attach.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var out bytes.Buffer
	in, typed, _ := os.Pipe()
	typed.WriteString("wherry\n")
	result := make(chan int)
	go func() {
		code, _, err := monitor.Attach(t.Context(), conn, monitor.Streams{Stdin: in, Stdout: &out})
		if err != nil {
			t.Error(err)
		}
		result <- code
	}()
	c.until("answer", func() bool { return strings.Contains(c.log(), `"log":"name: hello wherry\n"`) })
	if c.idle() {
		t.Error("still idle")
	}
	syscall.Kill(c.live.Monitor, syscall.SIGHUP)
	c.until("idle with a client", c.idle)
	syscall.Kill(c.live.Monitor, syscall.SIGTERM) // means nothing while the container runs
	syscall.Kill(c.live.Monitor, syscall.SIGHUP)
	typed.WriteString("\n")
	if code := <-result; code != 7 || out.String() != "hello wherry\n" {
		t.Errorf("exit %d, %q", code, out.String())
	}
	c.end()
	if st := c.state(); st.ExitCode != 7 || st.Status != record.Exited || st.Error != "" {
		t.Errorf("%+v", st)
	}
}

func TestExitWhileIdle(t *testing.T) {
	c := newCtr(t, "sleep", "60")
	c.job.Lifecycle.AutoRemove = true
	c.mustStart(monitor.SpawnOptions{})
	c.until("idle", c.idle)
	procs.PidfdSignal(c.live.Pid, c.live.PidStart, unix.SIGKILL)
	c.end()
	if _, err := os.Stat(c.job.Dir); err == nil {
		t.Error("the container is left")
	}
}

func TestTimeoutAndRestartWhileIdle(t *testing.T) {
	c := newCtr(t, "sleep", "60")
	c.job.Lifecycle.Timeout = 5
	c.job.Lifecycle.Restart, c.job.Lifecycle.MaxRetries = "on-failure", 1
	c.mustStart(monitor.SpawnOptions{})
	c.until("idle", c.idle)
	c.until("restart", func() bool { return c.state().RestartCount == 1 })
	procs.PidfdSignal(c.live.Pid, c.live.PidStart, 0)
	data, _ := os.ReadFile(c.path("run/live.json"))
	if err := json.Unmarshal(data, c.live); err != nil {
		t.Fatal(err)
	}
	procs.PidfdSignal(c.live.Pid, c.live.PidStart, unix.SIGTERM)
	c.end()
	if st := c.state(); st.ExitCode != 143 {
		t.Errorf("%+v", st)
	}
}

func TestStopInIdleBackoff(t *testing.T) {
	c := newCtr(t, "false")
	c.job.Lifecycle.Restart = "always"
	c.mustStart(monitor.SpawnOptions{})
	c.until("idle", c.idle)
	st := c.state()
	if st.Status != record.Restarting {
		t.Fatalf("%+v", st)
	}
	st.UserStopped = true
	c.setState(st)
	syscall.Kill(c.live.Monitor, syscall.SIGTERM)
	c.endWithin(time.Second)
	if st := c.state(); st.Status != record.Exited || !st.UserStopped {
		t.Errorf("%+v", st)
	}
}

func TestRegularLoggerDoesNotFlip(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	c := newCtr(t, "sh", "-c", "while sleep 3; do echo tick; done")
	c.mustStart(monitor.SpawnOptions{})
	flips, was := 0, false
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if is := c.idle(); is != was {
			flips, was = flips+1, is
		}
	}
	if flips > 4 {
		t.Errorf("changed stage %d times", flips)
	}
}

func TestManyIdle(t *testing.T) {
	const n = 10
	var all []*ctr
	for range n {
		c := newCtr(t, "sleep", "60")
		c.mustStart(monitor.SpawnOptions{})
		all = append(all, c)
	}
	sum := 0
	for _, c := range all {
		c.until("idle", c.idle)
	}
	for _, c := range all {
		sum += pss(t, c.live.Monitor)
	}
	t.Logf("%d idle monitors: %d kB PSS each", n, sum/n)
	if sum/n > 100 {
		t.Errorf("want at most 100")
	}
}
