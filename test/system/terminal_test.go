package system

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// terminal is a wherry command on a terminal of its own.
type terminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	slave  *os.File // kept open, to look at the terminal's mode
	before *term.State
	done   chan int

	mu  sync.Mutex
	out bytes.Buffer
}

// onTerminal starts wherry on a terminal of 24 rows and 80 columns.
func onTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 80})
	x := &terminal{t: t, master: master, slave: slave, done: make(chan int, 1), cmd: shared.Command(context.Background(), args...)}
	x.before, err = term.GetState(int(slave.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = slave, slave, slave
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go x.read()
	go func() { x.cmd.Wait(); x.done <- x.cmd.ProcessState.ExitCode() }()
	t.Cleanup(func() { x.cmd.Process.Kill(); slave.Close(); master.Close() })
	return x
}

func (x *terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := x.master.Read(buf)
		x.mu.Lock()
		x.out.Write(buf[:n])
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (x *terminal) shown() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.out.String()
}

func (x *terminal) typed(keys string) { x.master.WriteString(keys) }

func (x *terminal) sees(text string) {
	x.t.Helper()
	testkit.Eventually(x.t, "the terminal shows "+text, func() bool {
		return strings.Contains(x.shown(), text)
	})
}

// ends waits for the command's end, whose exit code must be want and which must leave the terminal as it was.
func (x *terminal) ends(want int) {
	x.t.Helper()
	var code int
	testkit.Eventually(x.t, "the command ends", func() bool {
		select {
		case code = <-x.done:
			return true
		default:
			return false
		}
	})
	if code != want {
		x.t.Errorf("exit %d, want %d; it showed %q", code, want, x.shown())
	}
	if after, err := term.GetState(int(x.slave.Fd())); err != nil || *after != *x.before {
		x.t.Errorf("the terminal's mode was not put back (%v)", err)
	}
}

func TestTerminalRun(t *testing.T) {
	t.Parallel()
	x := onTerminal(t, "run", "-it", "--name", shared.Name(t), testkit.Image, "sh")
	x.sees("# ")
	x.typed("stty size; echo TERM=$TERM\r")
	x.sees("24 80\r\n")
	x.sees("TERM=xterm\r\n")
	pty.Setsize(x.master, &pty.Winsize{Rows: 33, Cols: 111})
	x.cmd.Process.Signal(winch)
	testkit.Eventually(t, "the new size is seen inside", func() bool {
		x.typed("stty size\r")
		return strings.Contains(x.shown(), "33 111\r\n")
	})
	x.typed("sh -c \"echo sl''eeping; exec sleep 100\"\r")
	x.sees("sleeping")
	x.typed("\x03") // ctrl-c goes to the container's foreground job
	x.typed("echo in$?ter\r")
	x.sees("in130ter")
	x.typed("exit 5\r")
	x.ends(5)
}

// flag: run, attach --detach-keys
// flag: run --tty --interactive
func TestTerminalDetachAndAttach(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	x := onTerminal(t, "run", "-it", "--name", name, testkit.Image, "sh")
	x.sees("# ")
	x.typed("A=kept\r\x10\x11")
	x.ends(0)
	if got := field(t, name, "{{.State.Status}}"); got != "running" {
		t.Fatalf("status %s after detaching", got)
	}
	first, second := onTerminal(t, "attach", name), onTerminal(t, "attach", "--detach-keys", "ctrl-a,x", name)
	testkit.Eventually(t, "both are attached", func() bool {
		first.typed("echo $A-$A\r")
		return strings.Contains(first.shown(), "kept-kept\r\n") && strings.Contains(second.shown(), "kept-kept\r\n")
	})
	second.typed("echo from 2nd; echo se''cond\r")
	first.sees("second\r\n")
	second.typed("\x01x")
	second.ends(0)
	first.typed("exit 9\r")
	first.ends(9)
	if code := field(t, name, "{{.State.ExitCode}}"); code != "9" {
		t.Errorf("exit %s", code)
	}
}

// flag: start --attach --interactive
func TestTerminalStart(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "create", "-it", "--name", name, testkit.Image, "sh")
	for range 2 {
		x := onTerminal(t, "start", "-ai", name)
		x.sees("# ")
		x.typed("exit 4\r")
		x.ends(4)
	}
}

func TestTerminalOfAKilledClient(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	x := onTerminal(t, "run", "-it", "--name", name, testkit.Image, "sh")
	x.sees("# ")
	x.cmd.Process.Kill()
	<-x.done
	y := onTerminal(t, "attach", name)
	y.typed("echo still''here\r")
	y.sees("stillhere")
	y.typed("exit\r")
	y.ends(0)
}

func TestTerminalExec(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	x := onTerminal(t, "exec", "-it", name, "sh")
	x.sees("# ")
	x.typed("tty; stty size\r")
	x.sees("/dev/pts/")
	x.sees("24 80\r\n")
	pty.Setsize(x.master, &pty.Winsize{Rows: 40, Cols: 90})
	x.cmd.Process.Signal(winch)
	testkit.Eventually(t, "the new size is seen inside", func() bool {
		x.typed("stty size\r")
		return strings.Contains(x.shown(), "40 90\r\n")
	})
	x.typed("exit 6\r")
	x.ends(6)
	y := onTerminal(t, "exec", "-it", name, "cat")
	y.typed("hello\r")
	y.sees("hello\r\nhello\r\n")
	y.typed("\x10\x11")
	y.ends(0)
	shared.MustFail(t, 125, "no", "exec", "-it", "nosuch-container", "sh")
}

// A window is no terminal: -t gives the container one all the same, and the output is not mangled.
func TestTerminalWithoutOne(t *testing.T) {
	t.Parallel()
	r := shared.Try(t, "run", "--rm", "-t", testkit.Image, "sh", "-c", "test -t 1 && echo yes; exit 3")
	if r.Code != 3 || r.Stdout != "yes\r\n" {
		t.Errorf("exit %d %q %q", r.Code, r.Stdout, r.Stderr)
	}
}
