package monitor_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/monitor"
)

func spawnAhead(t *testing.T) *monitor.Process {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := monitor.SpawnAhead(binary, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// A monitor that was started ahead gets its descriptors with its job, each where it belongs, and nothing else.
func TestAhead(t *testing.T) {
	leak, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	unix.FcntlInt(leak.Fd(), unix.F_SETFD, 0) // inherited by everything
	p := spawnAhead(t)
	c := newCtr(t, "sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; exit 7")
	lock, err := os.Open(c.job.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	conn, opts := client(t)
	opts.Lock = lock
	if err := p.Hand(opts); err != nil {
		t.Fatal(err)
	}
	opts.Client.Close()
	lock.Close() // the monitor has it still
	other, err := os.Open(c.job.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
		t.Errorf("the lock went with its first holder: %v", err)
	}
	if err := p.Send(c.job); err != nil {
		t.Fatal(err)
	}
	if c.live, err = p.Report(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	code, _, err := monitor.Attach(t.Context(), conn, monitor.Streams{Stdout: &out})
	if out.String() != "0 1 2 3 " || code != 7 || err != nil {
		t.Errorf("descriptors %q, exit %d, %v", out.String(), code, err)
	}
}

// One that is not needed, or whose caller is gone, ends.
func TestAheadDropped(t *testing.T) {
	p := spawnAhead(t)
	p.Drop()
	deadline := time.Now().Add(5 * time.Second)
	for {
		if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.Pid)); exe != binary {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it stays")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
