package system

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// finished runs script to its end and returns the container's name.
func finished(t *testing.T, script string, flags ...string) string {
	t.Helper()
	name := shared.Name(t)
	args := append([]string{"run", "--name", name}, flags...)
	shared.Try(t, append(args, testkit.Image, "sh", "-c", script)...)
	return name
}

// logFiles are the files of a container's log, which only the user namespace's root may see by right: here it is ours.
func logFiles(t *testing.T, name string) []string {
	t.Helper()
	files, err := filepath.Glob(shared.Data + "/containers/" + field(t, name, "{{.Id}}") + "/ctr.log*")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// The file is Docker's, line by line.
func TestLogFormatOnDisk(t *testing.T) {
	t.Parallel()
	name := finished(t, `echo out; echo err >&2; sleep 0.05; printf 'no "end"\t\001'`, "--label", "role=x", "--log-opt", "labels=role")
	f, err := os.Open(field(t, name, "{{.LogPath}}"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct {
			Log, Stream, Time string
			Attrs             map[string]string
		}
		decoder := json.NewDecoder(strings.NewReader(lines.Text()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&line); err != nil {
			t.Errorf("%s: %v", lines.Text(), err)
		}
		if at, err := time.Parse(time.RFC3339Nano, line.Time); err != nil || time.Since(at) > time.Minute || !strings.HasSuffix(line.Time, "Z") {
			t.Errorf("time %q: %v", line.Time, err)
		}
		if line.Attrs["role"] != "x" {
			t.Errorf("attributes %v", line.Attrs)
		}
		got[line.Log] = line.Stream
	}
	if len(got) != 3 || got["out\n"] != "stdout" || got["err\n"] != "stderr" || got["no \"end\"\t\x01"] != "stdout" {
		t.Errorf("%v", got)
	}
}

func TestLogsShow(t *testing.T) {
	t.Parallel()
	name := finished(t, `for i in 1 2 3 4 5; do echo line $i; done; echo err >&2; sleep 0.5; printf last`, "--label", "role=x", "--log-opt", "labels=role")
	r := shared.Try(t, "logs", name)
	if r.Stdout != "line 1\nline 2\nline 3\nline 4\nline 5\nlast" || r.Stderr != "err\n" {
		t.Errorf("%q %q", r.Stdout, r.Stderr)
	}
	if out := shared.Try(t, "logs", "--tail", "2", name); out.Stdout+out.Stderr != "lasterr\n" {
		t.Errorf("--tail 2: %q", out.Stdout+out.Stderr)
	}
	for flag, want := range map[string]int{"--tail=0": 0, "--tail=100": 7, "--tail=all": 7, "-n3": 3} {
		if r := shared.Try(t, "logs", "-t", flag, name); strings.Count(r.Stdout+r.Stderr, "Z ") != want || r.Code != 0 {
			t.Errorf("%s: %q", flag, r.Stdout+r.Stderr)
		}
	}
	stamped := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line [1-5]$`)
	if out := shared.Must(t, "logs", "-t", name); len(stamped.FindAllString(out, -1)) != 5 {
		t.Errorf("-t: %q", out)
	}
	if out := shared.Must(t, "logs", "--details", "--tail=7", name); !strings.HasPrefix(out, "role=x line 1\n") {
		t.Errorf("--details: %q", out)
	}
	if out := shared.Must(t, "logs", "-f", name); !strings.HasSuffix(out, "last") {
		t.Errorf("-f of an ended one: %q", out)
	}
	shared.MustFail(t, 125, "nosuch-container", "logs", "nosuch-container")
}

func TestLogsBetween(t *testing.T) {
	t.Parallel()
	name := finished(t, "echo one; sleep 0.3; echo two; sleep 0.3; echo three")
	at := func(n int) time.Time {
		fields := strings.Fields(shared.Must(t, "logs", "-t", name))
		when, err := time.Parse(time.RFC3339Nano, fields[2*n])
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	middle := at(1)
	before, after := middle.Add(-100*time.Millisecond), middle.Add(100*time.Millisecond)
	unix := func(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }
	for want, args := range map[string][]string{
		"two\nthree":      {"--since", before.Format(time.RFC3339Nano)},
		"one\ntwo":        {"--until", unix(after)},
		"two":             {"--since", unix(before), "--until", after.Format(time.RFC3339Nano)},
		"three":           {"--since", unix(before), "--tail", "1"},
		"one\ntwo\nthree": {"--since", "10m"},
		"":                {"--until", "10m"},
	} {
		if got := shared.Must(t, append(append([]string{"logs"}, args...), name)...); got != want {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
	shared.MustFail(t, 125, "--since", "logs", "--since", "yesterday-ish", name)
}

// following starts `logs -f` and returns its output lines and what waits for its end.
func following(t *testing.T, args ...string) (lines <-chan string, ended func() int) {
	t.Helper()
	cmd := shared.Command(context.Background(), append([]string{"logs", "-f"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ch := make(chan string, 100000)
	go func() {
		scan := bufio.NewScanner(out)
		for scan.Scan() {
			ch <- scan.Text()
		}
		close(ch)
	}()
	t.Cleanup(func() { cmd.Process.Kill() })
	return ch, func() int { cmd.Wait(); return cmd.ProcessState.ExitCode() }
}

func next(t *testing.T, lines <-chan string) string {
	t.Helper()
	select {
	case line, ok := <-lines:
		if !ok {
			return "(end)"
		}
		return line
	case <-time.After(10 * time.Second):
		t.Fatal("no line within 10 s")
		return ""
	}
}

// Follow sees each line as it is written, and ends with the container, also with one that is removed at its end.
func TestLogsFollowUntilTheEnd(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"kept": nil, "removed": {"--rm"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			name := up(t, `trap "echo bye; printf end; exit" TERM; trap "echo more" USR1; echo ready; while :; do sleep 1000 & wait; done`, flags...)
			lines, ended := following(t, name)
			tail, tailEnded := following(t, "--tail", "0", name)
			if got := next(t, lines); got != "ready" {
				t.Errorf("first %q", got)
			}
			testkit.Eventually(t, "both follow", func() bool {
				shared.Must(t, "kill", "-s", "USR1", name)
				return len(lines) > 0 && len(tail) > 0
			})
			shared.Must(t, "stop", name)
			for _, lines := range []<-chan string{lines, tail} {
				var all []string
				for line := next(t, lines); line != "(end)"; line = next(t, lines) {
					all = append(all, line)
				}
				if n := len(all); n < 3 || all[0] != "more" || all[n-2] != "bye" || all[n-1] != "end" {
					t.Errorf("%q", all)
				}
			}
			if ended() != 0 || tailEnded() != 0 {
				t.Error("follow failed at the end")
			}
		})
	}
}

// Not a line is lost or doubled where the log is rotated while it is written and read.
func TestLogsAcrossRotation(t *testing.T) {
	t.Parallel()
	for name, compress := range map[string]string{"plain": "false", "compressed": "true"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const count = 12000
			flags := []string{"--log-opt", "max-size=64k", "--log-opt", "max-file=100", "--log-opt", "compress=" + compress}
			script := "echo ready; sleep 0.3; i=0; while [ $i -lt " + strconv.Itoa(count) + " ]; do echo $i; i=$((i+1)); done"
			name := up(t, script, flags...)
			lines, ended := following(t, name)
			if first := next(t, lines); first != "ready" {
				t.Errorf("first %q", first)
			}
			for i := range count {
				if line := next(t, lines); line != strconv.Itoa(i) {
					t.Fatalf("follow: %q in the place of %d", line, i)
				}
			}
			if code := ended(); code != 0 {
				t.Errorf("exit %d", code)
			}
			all := strings.Split(shared.Must(t, "logs", name), "\n")
			if len(all) != count+1 || all[1] != "0" || all[count] != strconv.Itoa(count-1) {
				t.Errorf("%d lines", len(all))
			}
			if got := shared.Must(t, "logs", "--tail", "5000", name); strings.Count(got, "\n") != 4999 || !strings.HasPrefix(got, strconv.Itoa(count-5000)+"\n") {
				t.Errorf("--tail across files: %d lines, %.20q", strings.Count(got, "\n")+1, got)
			}
			rotated(t, logFiles(t, name), compress == "true")
		})
	}
}

// rotated checks the files of a log: several, none too big, and the older ones compressed if asked for.
func rotated(t *testing.T, files []string, compressed bool) {
	t.Helper()
	if len(files) < 5 {
		t.Errorf("files %v", files)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.Size() > 64<<10+200 {
			t.Errorf("%s: %v", file, info)
		}
		if filepath.Ext(file) != ".log" && strings.HasSuffix(file, ".gz") != compressed {
			t.Errorf("%s, compressed: %v", file, compressed)
		}
	}
}

// No more files are kept than asked for.
func TestLogsMaxFile(t *testing.T) {
	t.Parallel()
	name := finished(t, "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done", "--log-opt", "max-size=20k", "--log-opt", "max-file=3")
	if files := logFiles(t, name); len(files) != 3 {
		t.Errorf("files %v", files)
	}
	out := strings.Split(shared.Must(t, "logs", name), "\n")
	for i := range out {
		if out[len(out)-1-i] != "line "+strconv.Itoa(4999-i) {
			t.Fatalf("%q, %d from the end", out[len(out)-1-i], i)
		}
	}
}

func TestLogsOfSeveral(t *testing.T) {
	t.Parallel()
	base := shared.Name(t)
	a, b := base+"a", base+"b"
	t.Cleanup(func() { shared.Try(t, "rm", "-f", a, b) })
	for _, name := range []string{a, b} {
		upAs(t, shared, name, `trap "echo bye; exit" TERM; echo ready; sleep 1000 & wait`)
	}
	lines, ended := following(t, a, b)
	seen := map[string]bool{next(t, lines): true, next(t, lines): true}
	if !seen[a+" | ready"] || !seen[b+" | ready"] {
		t.Errorf("%v", seen)
	}
	shared.Must(t, "stop", a)
	if got := next(t, lines); got != a+" | bye" {
		t.Errorf("%q", got)
	}
	shared.Must(t, "stop", b)
	if got := next(t, lines); got != b+" | bye" {
		t.Errorf("%q", got)
	}
	if code := ended(); code != 0 {
		t.Errorf("exit %d", code)
	}
	shared.MustFail(t, 125, "nosuch-container", "logs", a, "nosuch-container")
}

// A second run goes on in the same log.
func TestLogsOfASecondRun(t *testing.T) {
	t.Parallel()
	name := finished(t, "echo run; exit 1")
	shared.Try(t, "start", "-a", name)
	if out := shared.Must(t, "logs", name); out != "run\nrun" {
		t.Errorf("%q", out)
	}
}

func TestLogDrivers(t *testing.T) {
	t.Parallel()
	none := finished(t, "echo hello", "--log-driver", "none")
	if files := logFiles(t, none); len(files) > 0 {
		t.Errorf("driver none wrote %v", files)
	}
	shared.MustFail(t, 125, "none", "logs", none)
	pass := shared.Name(t) + "-pass"
	t.Cleanup(func() { shared.Try(t, "rm", "-f", pass) })
	r := shared.Try(t, "run", "--name", pass, "--log-driver", "passthrough", testkit.Image, "sh", "-c", "echo out; echo err >&2; exit 4")
	if r.Code != 4 || r.Stdout != "out\n" || r.Stderr != "err\n" {
		t.Errorf("passthrough: exit %d %q %q", r.Code, r.Stdout, r.Stderr)
	}
	if files := logFiles(t, pass); len(files) > 0 {
		t.Errorf("passthrough wrote %v", files)
	}
	shared.MustFail(t, 125, "passthrough", "logs", pass)
	shared.MustFail(t, 125, "nosuch", "run", "--rm", "--log-driver", "nosuch", testkit.Image)
	shared.MustFail(t, 125, "max-size", "run", "--rm", "--log-opt", "max-size=big", testkit.Image)
}
