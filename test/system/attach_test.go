package system

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
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

func TestAttachWithoutTerminal(t *testing.T) {
	t.Parallel()
	name := up(t, `echo ready; echo to stderr >&2; while read line; do echo "got $line"; [ "$line" != end ] || exit 3; done`, "-i")
	out, errs, code := piped(t, strings.NewReader("one\nend\n"), "attach", name)
	if code != 3 || out != "got one\ngot end\n" || errs != "" {
		t.Errorf("exit %d %q %q", code, out, errs)
	}
	shared.MustFail(t, 125, "not running", "attach", name)
}

// Several readers each get all output from when they came; one that stops reading does not stop the container.
func TestAttachOfSeveral(t *testing.T) {
	t.Parallel()
	name := up(t, `trap "" TERM; echo ready; read go; i=0; while [ $i -lt 30000 ]; do echo "line $i ........................................................"; i=$((i+1)); done`, "-i")
	stuck := shared.Command(context.Background(), "attach", "--no-stdin", name)
	unread, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	stuck.Stdout = w
	if err := stuck.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	defer func() { stuck.Process.Kill(); stuck.Wait() }()
	type result struct {
		out  string
		code int
	}
	results := make(chan result, 3)
	for range 3 {
		go func() { r := shared.Try(t, "attach", "--no-stdin", name); results <- result{r.Stdout, r.Code} }()
	}
	testkit.Eventually(t, "four readers are attached", func() bool { return attachedTo(name) >= 4 })
	time.Sleep(100 * time.Millisecond) // until they have connected
	if _, errs, code := piped(t, strings.NewReader("go\n"), "attach", name); code != 0 {
		t.Errorf("exit %d %s", code, errs)
	}
	for range 3 {
		if r := <-results; r.code != 0 || strings.Count(r.out, "\n") != 30000 {
			t.Errorf("exit %d, %d lines", r.code, strings.Count(r.out, "\n"))
		}
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
