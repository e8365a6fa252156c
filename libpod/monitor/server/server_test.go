package server

import (
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
)

func TestRuntimeMessages(t *testing.T) {
	cases := []struct {
		line, want string
		exit       int
	}{
		{`{"msg":"executable file ` + "`x`" + ` not found in $PATH: No such file or directory","level":"error","time":"2026"}`,
			"executable file `x` not found in $PATH: No such file or directory", 127},
		{`2026-01-02T03:04:05.123456Z: open executable: Permission denied`, "open executable: Permission denied", 126},
		{`open executable: Operation not permitted`, "open executable: Operation not permitted", 126},
		{`time="2026-01-02T03:04:05Z" level=error msg="runc run failed: exec: \"x\": executable file not found in $PATH"`,
			`runc run failed: exec: "x": executable file not found in $PATH`, 127},
		{"exec: \"/bin/x\": stat /bin/x: no such file or directory", "exec: \"/bin/x\": stat /bin/x: no such file or directory", 127},
		{"exec /x: exec format error", "exec /x: exec format error", 126},
		{"mount `proc`: Permission denied", "mount `proc`: Permission denied", 125},
		{"mount exec dir: no such file or directory", "mount exec dir: no such file or directory", 125},
	}
	for _, c := range cases {
		if got := lastLine([]byte("earlier\n"+c.line+"\n\n"), "none"); got != c.want || classify(got) != c.exit {
			t.Errorf("%s: %q, exit %d", c.line, got, classify(got))
		}
	}
	if got := lastLine(nil, "none"); got != "none" {
		t.Errorf("%q", got)
	}
}

func TestLogPath(t *testing.T) {
	for in, want := range map[string]string{"crun --log=/a run": "/a", "runc --log /b run": "/b", "crun run": "", "x --log": ""} {
		if got := logPath(strings.Fields(in)); got != want {
			t.Errorf("%s: %q", in, got)
		}
	}
}

func TestMountsBelow(t *testing.T) {
	const info = `22 27 0:21 / /proc rw - proc proc rw
30 22 0:1 / /run/c/abc/root rw - overlay overlay rw
31 30 0:2 / /run/c/abc/root/with\040space rw - tmpfs tmpfs rw
32 22 0:3 / /run/c/abcd/root rw - overlay overlay rw
short
`
	got := mountsBelow([]byte(info), "/run/c/abc")
	if strings.Join(got, "|") != "/run/c/abc/root|/run/c/abc/root/with space" {
		t.Errorf("%q", got)
	}
}

func TestBackoff(t *testing.T) {
	var r restarts
	want := 100 * time.Millisecond
	for range 12 {
		if got := r.wait(time.Second); got != want {
			t.Fatalf("%v, want %v", got, want)
		}
		want = min(2*want, time.Minute)
	}
	if got := r.wait(10 * time.Second); got != 100*time.Millisecond {
		t.Errorf("after a good run: %v", got)
	}
}

func TestRestartPolicy(t *testing.T) {
	cases := []struct {
		policy     string
		max, count int
		code       int
		want       bool
	}{
		{"", 0, 0, 1, false}, {"no", 0, 0, 1, false}, {"always", 0, 9, 0, true}, {"unless-stopped", 0, 9, 0, true},
		{"on-failure", 0, 99, 1, true}, {"on-failure", 0, 0, 0, false}, {"on-failure", 3, 2, 1, true}, {"on-failure", 3, 3, 1, false},
	}
	for _, c := range cases {
		r := restarts{Count: c.count}
		if got := r.wanted(record.Lifecycle{Restart: c.policy, MaxRetries: c.max}, c.code); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestHealthCounts(t *testing.T) {
	var st record.HealthState
	steps := []struct {
		exit     int
		starting bool
		status   string
		streak   int
	}{
		{1, true, "starting", 0}, {1, false, "starting", 1}, {0, false, "healthy", 0}, {1, false, "healthy", 1},
		{-1, false, "unhealthy", 2}, {1, false, "unhealthy", 3}, {0, false, "healthy", 0},
	}
	st.Status = healthStarting
	for i, step := range steps {
		count(&st, record.HealthResult{ExitCode: step.exit}, step.starting, 2)
		if st.Status != step.status || st.FailingStreak != step.streak || len(st.Log) > maxHealthLog {
			t.Errorf("step %d: %+v", i, st)
		}
	}
}

func TestCountsOOM(t *testing.T) {
	for in, want := range map[string]bool{"oom 1\noom_kill 0\noom_group_kill 0\n": false, "low 0\noom_kill 2\n": true, "": false, "oom_kill_disable 1\n": false} {
		if countsOOM(in) != want {
			t.Errorf("%q", in)
		}
	}
}
