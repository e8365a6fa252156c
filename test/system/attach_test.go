package system

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

const winch = syscall.SIGWINCH

// piped runs wherry with in as its standard input, which it closes at the end.
func piped(t *testing.T, in io.Reader, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := shared.Command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// flag: run --interactive
func TestStdinOfAPipe(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MB
	for _, args := range [][]string{{"run", "--rm", "-i", testkit.Image}, {"exec", "-i", up(t, trapping)}} {
		out, errs, code := piped(t, bytes.NewReader(big), append(args, "cat")...)
		if code != 0 || out != string(big) {
			t.Errorf("%v: exit %d, %d bytes of %d came back: %s", args, code, len(out), len(big), errs)
		}
		// The end of stdin is seen while the output still flows.
		out, errs, code = piped(t, strings.NewReader("a\nb\n"), append(args, "sh", "-c", "wc -l; echo more; exit 3")...)
		if code != 3 || strings.Fields(out)[0] != "2" || !strings.HasSuffix(out, "more\n") {
			t.Errorf("%v: exit %d %q %s", args, code, out, errs)
		}
		// Without -i there is no stdin.
		args = append([]string{}, args...)
		for i := range args {
			if args[i] == "-i" {
				args = append(args[:i], args[i+1:]...)
				break
			}
		}
		if out, errs, _ = piped(t, strings.NewReader("secret"), append(args, "cat")...); out != "" {
			t.Errorf("%v: %q came through %s", args, out, errs)
		}
	}
}

// A container that does not read its input does not keep the command from ending.
func TestStdinThatNobodyReads(t *testing.T) {
	t.Parallel()
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() // open for as long as the command runs
	if _, errs, code := piped(t, in, "run", "--rm", "-i", testkit.Image, "sh", "-c", "exit 6"); code != 6 {
		t.Errorf("exit %d %s", code, errs)
	}
}

func TestOutputIsComplete(t *testing.T) {
	t.Parallel()
	const size = 50 << 20
	want := sha256.New()
	block := bytes.Repeat([]byte("wherry carries every byte, one after the other\n"), 1000)
	for n := 0; n < size; n += len(block) {
		want.Write(block)
	}
	name := shared.Name(t)
	script := fmt.Sprintf("yes 'wherry carries every byte, one after the other' | head -n %d", (size+len(block)-1)/len(block)*1000)
	for _, driver := range []string{"none", "json-file"} {
		got := sha256.New()
		cmd := shared.Command(context.Background(), "run", "--log-driver", driver, "--name", name+driver, testkit.Image, "sh", "-c", script)
		t.Cleanup(func() { shared.Try(t, "rm", "-f", name+driver) })
		cmd.Stdout = got
		if err := cmd.Run(); err != nil || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
			t.Errorf("%s: %v, and the output is not whole", driver, err)
		}
	}
	logged := sha256.New()
	cmd := shared.Command(context.Background(), "logs", name+"json-file")
	cmd.Stdout = logged
	if err := cmd.Run(); err != nil || !bytes.Equal(logged.Sum(nil), want.Sum(nil)) {
		t.Errorf("the log is not whole (%v)", err)
	}
}

// A reader that goes away, as in `| head -1`, lets the command end as the container does.
func TestOutputThatNobodyReads(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	for _, args := range [][]string{{"run", "--rm", testkit.Image}, {"exec", name}} {
		cmd := shared.Command(context.Background(), append(args, "sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done")...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out.Read(make([]byte, 8))
		out.Close()
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			cmd.Process.Kill()
			t.Errorf("%v hangs", args)
		}
	}
}

// flag: run --interactive --detach
func TestAttachWithoutTerminal(t *testing.T) {
	t.Parallel()
	name := up(t, `echo to stderr >&2; sleep 0.1; echo ready; while read line; do echo "got $line"; [ "$line" != end ] || exit 3; done`, "-i")
	out, errs, code := piped(t, strings.NewReader("one\nend\n"), "attach", name)
	if code != 3 || out != "got one\ngot end\n" || errs != "" {
		t.Errorf("exit %d %q %q", code, out, errs)
	}
	shared.MustFail(t, 125, "not running", "attach", name)
}

// Several readers each get all output from when they came.
func TestAttachOfSeveral(t *testing.T) {
	t.Parallel()
	const lines = 10000 // about 600 kB: a late reader may be 1 MB behind
	name := up(t, `echo ready; while read go && [ "$go" = tick ]; do echo tick; done; i=0; while [ $i -lt `+strconv.Itoa(lines)+` ]; do echo "line $i ..................................................."; i=$((i+1)); done`, "-i")
	type reader struct {
		out  safeBuffer
		code chan int
	}
	readers := make([]*reader, 3)
	for i := range readers {
		r := &reader{code: make(chan int, 1)}
		readers[i] = r
		cmd := shared.Command(context.Background(), "attach", "--no-stdin", name)
		cmd.Stdout = &r.out
		go func() { cmd.Run(); r.code <- cmd.ProcessState.ExitCode() }()
	}
	testkit.Eventually(t, "all readers are there", func() bool {
		detached(t, "tick\n", name)
		return !slices.ContainsFunc(readers, func(r *reader) bool { return r.out.count("tick\n") == 0 })
	})
	detached(t, "go\n", name)
	for _, r := range readers {
		if code := <-r.code; code != 0 || r.out.count("line ") != lines {
			t.Errorf("exit %d, %d lines", code, r.out.count("line "))
		}
	}
}

// detached types text into a container and goes away.
func detached(t *testing.T, text, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	cmd := shared.Command(ctx, "attach", "--sig-proxy=false", name)
	cmd.Stdin = strings.NewReader(text)
	cmd.Run() // it is killed where the container goes on
}

// safeBuffer is a buffer that may be looked at while it is written.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.buf.String(), text)
}

// A reader that stops reading does not stop the container.
func TestAttachOfOneThatIsStuck(t *testing.T) {
	t.Parallel()
	name := up(t, `trap "go=1" USR1; echo ready; while [ -z "$go" ]; do sleep 0.02; done; head -c 5000000 /dev/zero; exit 3`, "--log-driver=json-file")
	unread, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	stuck := shared.Command(context.Background(), "attach", "--no-stdin", "--sig-proxy=false", name)
	stuck.Stdout = w
	if err := stuck.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	defer func() { stuck.Process.Kill(); stuck.Wait() }()
	testkit.Eventually(t, "attached", func() bool { return attachedTo(name) == 1 })
	shared.Must(t, "kill", "-s", "USR1", name)
	if code := shared.Must(t, "wait", name); code != "3" {
		t.Errorf("exit %s", code)
	}
}

// attachedTo counts the processes that are attached to a container by name.
func attachedTo(name string) int {
	count := 0
	for _, pid := range entries("/proc") {
		data, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if err == nil && strings.Contains(string(data), "\x00attach\x00") && strings.Contains(string(data), name) {
			count++
		}
	}
	return count
}

func TestExec(t *testing.T) {
	t.Parallel()
	name := up(t, trapping, "-e", "FIRST=1", "-w", "/tmp")
	for want, args := range map[string][]string{
		"1 2 /tmp":          {"-e", "SECOND=2", name, "sh", "-c", "echo $FIRST $SECOND $PWD"},
		"/etc":              {"-w", "/etc", name, "pwd"},
		"1000 1000":         {"-u", "user", name, "sh", "-c", "echo $(id -u) $(id -g)"},
		"5 6 /":             {"-u", "5:6", name, "sh", "-c", "echo $(id -u) $(id -g) $HOME"},
		"/home/user":        {"-u", "user", name, "sh", "-c", "echo $HOME"},
		"not a terminal":    {name, "sh", "-c", "test -t 0 || echo not a terminal"},
		"CapEff:\t00000000": {"-u", "user", name, "sh", "-c", "grep CapEff /proc/self/status | cut -c-16"},
	} {
		if got := shared.Must(t, append([]string{"exec"}, args...)...); got != want {
			t.Errorf("exec %v: %q, want %q", args, got, want)
		}
	}
	for code, args := range map[int][]string{9: {"sh", "-c", "exit 9"}, 137: {"sh", "-c", "kill -9 $$"}, 126: {"/etc/passwd"}, 127: {"nosuch"}} {
		if r := shared.Try(t, append([]string{"exec", name}, args...)...); r.Code != code || strings.Count(r.Stderr, "\n") > 1 {
			t.Errorf("exec %v: exit %d: %s", args, r.Code, r.Stderr)
		}
	}
	shared.Must(t, "exec", "-d", name, "sh", "-c", "echo x >/detached; sleep 1000")
	testkit.Eventually(t, "the detached command has run", func() bool { return shared.Try(t, "exec", name, "cat", "/detached").Code == 0 })
	shared.MustFail(t, 125, "nosuch", "exec", "-u", "nosuch", name, "true")
	shared.Must(t, "pause", name)
	shared.MustFail(t, 125, "paused", "exec", name, "true")
	shared.Must(t, "unpause", name)
	shared.Must(t, "stop", "-t", "0", name)
	shared.MustFail(t, 125, "not running", "exec", name, "true")
	if left := entries(shared.Run + "/c/" + field(t, name, "{{.Id}}")); len(left) > 0 {
		t.Errorf("left in the run directory: %v", left)
	}
}
