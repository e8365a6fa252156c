package system

import (
	"bytes"
	"io"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// execIn runs a command over the API and returns what it said and its exit code.
func execIn(t testing.TB, c *client.Client, id, stdin string, opts client.ExecCreateOptions) (out, errs string, code int) {
	t.Helper()
	opts.AttachStdout, opts.AttachStderr, opts.AttachStdin = true, true, stdin != ""
	made, err := c.ExecCreate(t.Context(), id, opts)
	if err != nil {
		t.Fatal(err)
	}
	attached, err := c.ExecAttach(t.Context(), made.ID, client.ExecAttachOptions{TTY: opts.TTY})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	if stdin != "" {
		go func() {
			io.WriteString(attached.Conn, stdin)
			attached.CloseWrite()
		}()
	}
	var o, e bytes.Buffer
	if opts.TTY {
		_, err = io.Copy(&o, attached.Reader)
	} else {
		_, err = stdcopy.StdCopy(&o, &e, attached.Reader)
	}
	if err != nil {
		t.Error(err)
	}
	got, err := c.ExecInspect(t.Context(), made.ID, client.ExecInspectOptions{})
	if err != nil || got.Running || got.ContainerID != id {
		t.Errorf("%+v %v", got, err)
	}
	return o.String(), e.String(), got.ExitCode
}

func TestAPIExec(t *testing.T) {
	t.Parallel()
	c := docker(t)
	id := started(t, c, client.ContainerCreateOptions{Config: shell(trapping)})
	out, errs, code := execIn(t, c, id, "", client.ExecCreateOptions{Cmd: []string{"sh", "-c", "echo $A; pwd; echo err >&2; exit 5"}, Env: []string{"A=b"}, WorkingDir: "/tmp"})
	if out != "b\n/tmp\n" || errs != "err\n" || code != 5 {
		t.Errorf("%q %q %d", out, errs, code)
	}
	big := strings.Repeat("0123456789abcdef", 1<<16)
	if out, _, code = execIn(t, c, id, big, client.ExecCreateOptions{Cmd: []string{"cat"}}); out != big || code != 0 {
		t.Errorf("%d bytes of %d came back, exit %d", len(out), len(big), code)
	}
	// What is left behind with the output open is not waited for.
	if out, _, code = execIn(t, c, id, "", client.ExecCreateOptions{Cmd: []string{"sh", "-c", "sleep 1000 & echo left"}}); out != "left\n" || code != 0 {
		t.Errorf("%q %d", out, code)
	}
	if out, errs, code = execIn(t, c, id, "", client.ExecCreateOptions{Cmd: []string{"nosuch"}}); code != 127 || !strings.Contains(out+errs, "nosuch") {
		t.Errorf("%q %q %d", out, errs, code)
	}
	if out, _, code = execIn(t, c, id, "", client.ExecCreateOptions{Cmd: []string{"sh", "-c", "tty; stty size; exit 6"}, TTY: true, ConsoleSize: client.ConsoleSize{Height: 33, Width: 77}}); code != 6 || !strings.Contains(out, "/dev/pts/") || !strings.Contains(out, "33 77") {
		t.Errorf("%q %d", out, code)
	}
	if out, _, code = execIn(t, c, id, "", client.ExecCreateOptions{Cmd: []string{"id", "-u"}, User: "1234"}); out != "1234\n" {
		t.Errorf("%q %d", out, code)
	}
}

func TestAPIExecDetached(t *testing.T) {
	t.Parallel()
	c := docker(t)
	id := started(t, c, client.ContainerCreateOptions{Config: shell(trapping)})
	for _, tty := range []bool{false, true} {
		made, err := c.ExecCreate(t.Context(), id, client.ExecCreateOptions{Cmd: []string{"sh", "-c", "while [ ! -e /go ]; do sleep 0.02; done; exit 9"}, TTY: tty})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.ExecStart(t.Context(), made.ID, client.ExecStartOptions{Detach: true, TTY: tty}); err != nil {
			t.Fatal(err)
		}
		got, err := c.ExecInspect(t.Context(), made.ID, client.ExecInspectOptions{})
		if err != nil || !got.Running || got.PID == 0 || !alive(got.PID) {
			t.Errorf("tty %v: %+v %v", tty, got, err)
		}
		if _, err := c.ExecStart(t.Context(), made.ID, client.ExecStartOptions{Detach: true, TTY: tty}); !cerrdefs.IsConflict(err) {
			t.Errorf("started twice: %v", err)
		}
		shared.Must(t, "exec", id, "touch", "/go")
		testkit.Eventually(t, "the exit code is known", func() bool {
			got, err = c.ExecInspect(t.Context(), made.ID, client.ExecInspectOptions{})
			return err == nil && !got.Running && got.ExitCode == 9
		})
		shared.Must(t, "exec", id, "rm", "/go")
	}
	made, err := c.ExecCreate(t.Context(), id, client.ExecCreateOptions{Cmd: []string{"nosuch"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExecStart(t.Context(), made.ID, client.ExecStartOptions{Detach: true}); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Error(err)
	}
	if _, err := c.ExecCreate(t.Context(), id, client.ExecCreateOptions{}); err == nil || !strings.Contains(err.Error(), "No exec command specified") {
		t.Error(err)
	}
}

// TestAPIExecTerminal: the terminal follows the client's size, and the detach keys leave the command running.
func TestAPIExecTerminal(t *testing.T) {
	t.Parallel()
	c := docker(t)
	id := started(t, c, client.ContainerCreateOptions{Config: shell(trapping)})
	made, err := c.ExecCreate(t.Context(), id, client.ExecCreateOptions{Cmd: []string{"sh"}, TTY: true, AttachStdin: true, AttachStdout: true, AttachStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	attached, err := c.ExecAttach(t.Context(), made.ID, client.ExecAttachOptions{TTY: true})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	screen := &screenText{}
	gone := make(chan struct{})
	go func() {
		io.Copy(screen, attached.Reader)
		close(gone)
	}()
	testkit.Eventually(t, "it can be resized", func() bool {
		_, err := c.ExecResize(t.Context(), made.ID, client.ExecResizeOptions{Height: 35, Width: 95})
		return err == nil
	})
	io.WriteString(attached.Conn, "stty size\n")
	testkit.Eventually(t, "it has the size", func() bool { return strings.Contains(screen.String(), "35 95") })
	io.WriteString(attached.Conn, "sleep 1234\n\x10\x11")
	<-gone
	testkit.Eventually(t, "the command goes on", func() bool { return strings.Contains(shared.Must(t, "top", id, "args"), "sleep 1234") })
	if got, err := c.ExecInspect(t.Context(), made.ID, client.ExecInspectOptions{}); err != nil || !got.Running {
		t.Errorf("%+v %v", got, err)
	}
}
