package system

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// output is what a running command has printed so far.
type output struct {
	mu sync.Mutex
	bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.Write(p)
}

func (o *output) has(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Contains(o.String(), text)
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.String()
}

// start runs a command of Compose in the background; it is killed at the end of the test if it is still there.
func (p *project) start(args ...string) (*exec.Cmd, *output) {
	p.t.Helper()
	var out output
	cmd := p.s.Command(context.Background(), append(p.args(), args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd, &out
}

// An up in the foreground shows the lines of all services with their names; an interrupt stops what it started, and it ends.
func TestComposeForeground(t *testing.T) {
	t.Parallel()
	p := newProject(t, `
services:
  a: {image: busybox, command: sh -c "trap 'echo bye of a; exit 0' TERM; echo hello of a; while true; do sleep 0.05; done"}
  b: {image: busybox, command: sh -c "echo hello of b; exec sleep 1000", stop_grace_period: 0s}
`)
	cmd, out := p.start("up")
	testkit.Eventually(t, "the services' words", func() bool { return out.has("a-1  | hello of a") && out.has("b-1  | hello of b") })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 && code != 0 {
		t.Errorf("exit %d", code)
	}
	p.want("a-1=exited", "b-1=exited")
	if last := p.s.Must(t, "logs", p.container("a")); !strings.Contains(last, "bye of a") {
		t.Error("a was not stopped by its signal: " + last)
	}
}

// logs -f goes on until the last container has ended, and shows what came in the meantime.
func TestComposeFollow(t *testing.T) {
	t.Parallel()
	p := newProject(t, `
services:
  a: {image: busybox, command: sh -c "echo first; while ! test -e /go; do sleep 0.02; done; echo last"}
`)
	p.must("up", "-d")
	cmd, out := p.start("logs", "-f", "--no-log-prefix")
	testkit.Eventually(t, "the first line", func() bool { return out.has("first") })
	p.exec("a", "touch", "/go")
	if err := cmd.Wait(); err != nil || !out.has("last") {
		t.Errorf("%v: %s", err, out.text())
	}
}

// wait ends when a service has, with its exit status; events tell what happened, one document a line.
func TestComposeWaitAndEvents(t *testing.T) {
	t.Parallel()
	p := newProject(t, `
services:
  a: {image: busybox, command: sh -c "while ! test -e /go; do sleep 0.02; done; exit 6"}
`)
	p.must("up", "-d")
	events, seen := p.start("events", "--json")
	wait, out := p.start("wait", "a")
	time.Sleep(200 * time.Millisecond) // wait says nothing when it is ready
	p.exec("a", "touch", "/go")
	_ = wait.Wait()
	if code := wait.ProcessState.ExitCode(); code != 6 || !strings.Contains(out.text(), "6") {
		t.Errorf("wait: exit %d: %s", code, out.text())
	}
	testkit.Eventually(t, "the event", func() bool { return seen.has(`"action":"die"`) })
	_ = events.Process.Signal(os.Interrupt)
	_ = events.Wait()
	for _, line := range strings.Split(strings.TrimSpace(seen.text()), "\n") {
		var e struct{ Service, Action string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Service != "a" {
			t.Errorf("event %q: %v", line, err)
		}
	}
}

// watch copies what changes beside the file into the running container.
func TestComposeWatch(t *testing.T) {
	t.Parallel()
	p := newProject(t, "compose.yaml", `
services:
  a:
    image: busybox
    build: .
    command: sleep 1000
    stop_grace_period: 0s
    develop:
      watch:
        - {action: sync, path: ./src, target: /app, ignore: [skipped]}
        - {action: sync+restart, path: ./conf, target: /conf}
`, "Dockerfile", "FROM busybox\n", "src/one", "1\n", "conf/c", "1\n")
	p.must("up", "-d", "--no-build")
	_, out := p.start("watch", "--no-up")
	testkit.Eventually(t, "the watch", func() bool { return out.has("Watch enabled") })
	p.write("src/one", "2\n")
	p.write("src/skipped", "x\n")
	testkit.Eventually(t, "the file in the container", func() bool {
		return p.s.Try(t, "exec", p.container("a"), "cat", "/app/one").Out() == "2"
	})
	if r := p.s.Try(t, "exec", p.container("a"), "test", "-e", "/app/skipped"); r.Code == 0 {
		t.Error("an ignored file was copied")
	}
	began := p.inspect("a", "{{.State.StartedAt}}")
	p.write("conf/c", "2\n")
	testkit.Eventually(t, "the restart", func() bool { return p.inspect("a", "{{.State.StartedAt}}") != began })
}

// A project that is killed in the middle of up is whole after the next one, and gone after a down.
func TestComposeKilled(t *testing.T) {
	t.Parallel()
	p := newProject(t, `
x-one: &one {image: busybox, command: sleep 1000, stop_grace_period: 0s, volumes: ["data:/data"]}
services:
  a: *one
  b: {<<: *one, depends_on: [a]}
  c: {<<: *one, depends_on: [b]}
  d: *one
volumes:
  data:
`)
	for after := 30 * time.Millisecond; after < 400*time.Millisecond; after += 60 * time.Millisecond {
		cmd, _ := p.start("up", "-d")
		time.Sleep(after)
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		p.must("up", "-d")
		p.want("a-1=running", "b-1=running", "c-1=running", "d-1=running")
		down, _ := p.start("down", "-v")
		time.Sleep(after / 2)
		_ = down.Process.Signal(syscall.SIGKILL)
		_ = down.Wait()
		p.must("down", "-v")
		p.want()
	}
	if r := p.s.Try(t, "system", "check"); strings.Contains(r.Stdout+r.Stderr, p.name) {
		t.Errorf("system check: %s%s", r.Stdout, r.Stderr)
	}
}

// On a terminal, exec and run give the command one of the size of the user's, and progress is drawn.
func TestComposeTerminal(t *testing.T) {
	t.Parallel()
	p := newProject(t, `
services:
  a: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
`)
	run := func(args ...string) string {
		t.Helper()
		cmd := p.s.Command(context.Background(), append(p.args(), args...)...)
		tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 33, Cols: 99})
		if err != nil {
			t.Fatal(err)
		}
		defer tty.Close()
		var out bytes.Buffer
		_, _ = out.ReadFrom(tty) // ends with EIO when the other side is closed
		if err := cmd.Wait(); err != nil {
			t.Errorf("%q: %v: %s", args, err, out.String())
		}
		return out.String()
	}
	if out := run("up", "-d"); !strings.Contains(out, "\x1b[") || !strings.Contains(out, "Started") {
		t.Errorf("up -d: %q", out)
	}
	if out := run("exec", "a", "sh", "-c", "sleep 0.1; tty; stty size"); !strings.Contains(out, "/dev/pts/") || !strings.Contains(out, "33 99") {
		t.Errorf("exec: %q", out)
	}
	if out := run("run", "--rm", "a", "sh", "-c", "sleep 0.2; tty; stty size"); !strings.Contains(out, "/dev/pts/") || !strings.Contains(out, "33 99") {
		t.Errorf("run: %q", out)
	}
}

// commit, export and attach reach the service's container.
func TestComposeContainers(t *testing.T) {
	t.Parallel()
	p := newProject(t, `
services:
  a: {image: busybox, command: sh -c "read line; echo got $$line; exit 2", stdin_open: true}
`)
	p.must("up", "-d")
	p.exec("a", "touch", "/marked")
	image := projectName(t) + ":kept"
	p.must("commit", "a", image)
	t.Cleanup(func() { p.s.Try(t, "rmi", "-f", image) })
	p.s.Must(t, "run", "--rm", image, "test", "-e", "/marked")
	tar := filepath.Join(p.dir, "a.tar")
	p.must("export", "-o", tar, "a")
	if out, err := exec.Command("tar", "-tf", tar).Output(); err != nil || !strings.Contains(string(out), "marked") {
		t.Errorf("export: %v", err)
	}
	cmd := p.s.Command(context.Background(), append(p.args(), "attach", "a")...)
	cmd.Stdin = strings.NewReader("one\n")
	out, _ := cmd.CombinedOutput()
	if !strings.Contains(string(out), "got one") || cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("attach: %v %s", cmd.ProcessState, out)
	}
}

// The same program is docker-compose by name, and a plugin of the docker command line.
func TestComposeNames(t *testing.T) {
	t.Parallel()
	p := newProject(t, `
services:
  a: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
`)
	link := filepath.Join(t.TempDir(), "docker-compose")
	if err := os.Symlink(p.s.Bin, link); err != nil {
		t.Fatal(err)
	}
	named := *p.s
	named.Bin = link
	libexec := "WHERRY_LIBEXEC=" + filepath.Join(filepath.Dir(p.s.Bin), "libexec/wherry")
	named.Env = append(named.Env, libexec)
	named.Must(t, "--project-directory", p.dir, "-p", p.name, "up", "-d")
	p.want("a-1=running")
	if out := named.Must(t, "--version"); !strings.Contains(out, "Docker Compose version v5") {
		t.Error(out)
	}
	if out := named.Must(t, "docker-cli-plugin-metadata"); !strings.Contains(out, `"SchemaVersion": "0.1.0"`) {
		t.Error(out)
	}
	plugin := named.With("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND=/usr/bin/docker")
	if out := plugin.Must(t, "compose", "-p", p.name, "ps", "-q"); out == "" {
		t.Error("as a plugin ps shows nothing")
	}
	named.Must(t, "-p", p.name, "down", "-t", "0")
	p.want()
}
