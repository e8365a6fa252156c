package procs

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	const tail = " 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 6 7"
	cases := []struct {
		name, in string
		state    byte
		start    uint64
		bad      bool
	}{
		{"plain", "7 (sh) S" + tail, 'S', 12345, false},
		{"parentheses", "7 (a) R 1 (b) Z" + tail, 'Z', 12345, false},
		{"newline in name", "7 (a\n) ) S" + tail + "\n", 'S', 12345, false},
		{"empty", "", 0, 0, true},
		{"short", "7 (sh) S 1 2", 0, 0, true},
		{"no number", "7 (sh) S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 x 6 7", 0, 0, true},
	}
	for _, c := range cases {
		state, start, err := parseStat([]byte(c.in))
		if (err != nil) != c.bad || state != c.state || start != c.start {
			t.Errorf("%s: got %c %d %v", c.name, state, start, err)
		}
	}
}

func TestSignalOnlyTheOneThatIsMeant(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	pid := cmd.Process.Pid
	start, err := StartTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := PidfdSignal(pid, start+1, syscall.SIGKILL); !errors.Is(err, ErrGone) {
		t.Errorf("signal to a recycled pid: %v", err)
	}
	if !Alive(pid, start) || Alive(pid, start+1) {
		t.Error("alive is wrong about the process")
	}
	fd, err := PidfdOpen(pid, start)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := WaitPidfd(ctx, fd); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait for a process that runs: %v", err)
	}
	if err := PidfdSignal(pid, start, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := WaitPidfd(t.Context(), fd); err != nil {
		t.Error(err)
	}
	if Alive(pid, start) {
		t.Error("a zombie counts as alive")
	}
	cmd.Wait()
	if _, err := StartTime(pid); !errors.Is(err, ErrGone) {
		t.Errorf("start time of a reaped process: %v", err)
	}
	if err := PidfdSignal(pid, start, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("signal to a reaped process: %v", err)
	}
}

func TestBootID(t *testing.T) {
	id, err := BootID()
	if err != nil || len(id) != 36 {
		t.Errorf("%q %v", id, err)
	}
	if _, err := StartTime(os.Getpid()); err != nil {
		t.Error(err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("7 (sh) S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 6 7"))
	f.Fuzz(func(t *testing.T, data []byte) { parseStat(data) })
}
