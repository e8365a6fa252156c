package system

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// ticking writes to its terminal for ever, so that it would end by a hang-up, or stand still where nobody reads.
const ticking = `trap "" INT; i=0; while :; do i=$((i+1)); echo $i > /count; head -c 4000 /dev/zero | tr '\0' x; sleep 0.01; done`

func countIn(t *testing.T, name string) string {
	t.Helper()
	return shared.Try(t, "exec", name, "cat", "/count").Out()
}

// goesOn waits until the count has grown by far more than a terminal's buffer holds.
func goesOn(t *testing.T, name string) {
	t.Helper()
	number := func() (n int) {
		fmt.Sscan(countIn(t, name), &n)
		return n
	}
	start := number()
	testkit.Eventually(t, "the command goes on", func() bool { return number() > start+20 })
}

// A command on a terminal goes on when the client is killed, or detaches; nobody's reading does not hold it up.
// flag: exec --tty --interactive --detach-keys
func TestExecTerminalOutlivesTheClient(t *testing.T) {
	t.Parallel()
	for what, leave := range map[string]func(x *terminal){
		"killed":   func(x *terminal) { x.cmd.Process.Kill() },
		"detached": func(x *terminal) { x.typed("\x10\x11") },
	} {
		name := shared.Name(t) + what
		t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", name) })
		upAs(t, shared, name, trapping)
		x := onTerminal(t, "exec", "-it", name, "sh", "-c", ticking)
		x.sees("xxxx")
		leave(x)
		<-x.done
		goesOn(t, name)
	}
}

// Nothing is held for one without a session: its terminal is hung up.
// flag: exec --no-session
func TestExecNoSession(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	x := onTerminal(t, "exec", "-it", "--no-session", name, "sh", "-c", "trap 'touch /hung' HUP; echo up; while :; do sleep 0.02; done")
	x.sees("up")
	x.cmd.Process.Kill()
	<-x.done
	testkit.Eventually(t, "the command is hung up", func() bool { return shared.Try(t, "exec", name, "test", "-e", "/hung").Code == 0 })
	if got := eventsOf(t, name, "--filter", "event=exec_create"); strings.Contains(got, "touch") {
		t.Errorf("events %q", got)
	}
}

// -d -t has a terminal that the monitor holds.
// flag: exec --detach --env --env-file --workdir --user --privileged
func TestExecDetachedWithTerminal(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	file := filepath.Join(t.TempDir(), "env")
	os.WriteFile(file, []byte("A=1\nB=2\n"), 0o644)
	if out := shared.Must(t, "exec", "-d", "-t", "--env-file", file, "-e", "B=3", "-w", "/tmp", name, "sh", "-c",
		`test -t 0 && echo "$A $B $PWD" > /seen; `+ticking); out != "" {
		t.Errorf("%q", out)
	}
	testkit.Eventually(t, "it has a terminal", func() bool { return shared.Try(t, "exec", name, "cat", "/seen").Out() == "1 3 /tmp" })
	goesOn(t, name)
	shared.Must(t, "exec", "-d", name, "sh", "-c", "test -t 0 || touch /plain")
	testkit.Eventually(t, "a plain one has none", func() bool { return shared.Try(t, "exec", name, "test", "-e", "/plain").Code == 0 })
	plain, all := shared.Must(t, "exec", name, "grep", "CapEff", "/proc/self/status"), shared.Must(t, "exec", "--privileged", name, "grep", "CapEff", "/proc/self/status")
	if plain == all || !strings.HasSuffix(all, "ffffffff") {
		t.Errorf("%q privileged, %q not", all, plain)
	}
}

// Descriptors go on by number; what lies between two of a list does not.
// flag: exec --preserve-fds --preserve-fd
func TestExecPreserveFDs(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	dir := t.TempDir()
	var files []*os.File
	for _, text := range []string{"three", "four", "five"} {
		path := filepath.Join(dir, text)
		os.WriteFile(path, []byte(text), 0o644)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	run := func(args ...string) string {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		cmd := shared.Command(ctx, append([]string{"exec"}, args...)...)
		cmd.ExtraFiles = files
		for _, f := range files {
			f.Seek(0, 0)
		}
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	const show = `for i in 3 4 5 6 7 8; do [ -e /proc/self/fd/$i ] && head -c 9 <&$i; done; true`
	if got := run("--preserve-fds", "2", name, "sh", "-c", show); got != "threefour" {
		t.Errorf("two: %q", got)
	}
	if got := run("--preserve-fd", "3,5", name, "sh", "-c", show); got != "threefive" {
		t.Errorf("a list: %q", got)
	}
	if got := run(name, "sh", "-c", show); got != "" {
		t.Errorf("none: %q", got)
	}
	shared.MustFail(t, 125, "is not open", "exec", "--preserve-fds", "40", name, "true")
	shared.MustFail(t, 125, "numbers from 3 on", "exec", "--preserve-fd", "1", name, "true")
}

// The container is named by a file, or is the newest.
// flag: exec --cidfile --latest
func TestExecByFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "cid")
	name := up(t, trapping, "--cidfile", file)
	if out := shared.Must(t, "exec", "--cidfile", file, "hostname"); out != field(t, name, "{{slice .Id 0 12}}") {
		t.Errorf("%q", out)
	}
}

// Output that cannot be written is no success, and the container's own failure stays what it is.
func TestOutputThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for code, script := range map[int]string{125: "echo x", 3: "echo x; exit 3", 0: "true"} {
		cmd := shared.Command(context.Background(), "run", "--rm", testkit.Image, "sh", "-c", script)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &said
		cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != code || code == 125 && !strings.Contains(said.String(), "no space left") {
			t.Errorf("%s: exit %d, %s", script, got, &said)
		}
	}
}

// A client that stops reading for a while gets all of the output.
func TestAttachOfOneThatPauses(t *testing.T) {
	t.Parallel()
	name := up(t, `trap "go=1" USR1; echo ready; while [ -z "$go" ]; do sleep 0.02; done; head -c 5000000 /dev/zero`)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := shared.Command(context.Background(), "attach", "--no-stdin", "--sig-proxy=false", name)
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	testkit.Eventually(t, "attached", func() bool { return attachedTo(name) == 1 })
	shared.Must(t, "kill", "-s", "USR1", name)
	total, buf := 0, make([]byte, 64<<10)
	for pause := 600 * time.Millisecond; ; pause = 0 { // longer than all of the output takes
		time.Sleep(pause)
		n, err := r.Read(buf)
		total += n
		if err != nil {
			break
		}
	}
	cmd.Wait()
	if total != 5000000 {
		t.Errorf("%d bytes of 5000000", total)
	}
}
