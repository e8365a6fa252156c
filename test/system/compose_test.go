package system

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// project is a directory with a Compose file, and what `wherry compose` does there.
type project struct {
	t    *testing.T
	s    *testkit.Store
	dir  string
	name string
}

// newProject writes files, a name and a text each; a single text is compose.yaml. What comes up of it goes with the test.
func newProject(t *testing.T, files ...string) *project {
	t.Helper()
	requireCompose(t)
	p := &project{t: t, s: shared, dir: t.TempDir(), name: projectName(t)}
	if len(files) == 1 {
		files = []string{"compose.yaml", files[0]}
	}
	for i := 0; i < len(files); i += 2 {
		p.write(files[i], files[i+1])
	}
	t.Cleanup(func() {
		p.s.Try(t, append(p.args(), "--profile", "*", "down", "-v", "-t", "0", "--remove-orphans")...)
		for _, kind := range []string{"network", "volume"} { // of a file that has been spoiled in the meantime
			if ids := p.s.Try(t, kind, "ls", "-q", "--filter", "label=com.docker.compose.project="+p.name).Out(); ids != "" {
				p.s.Try(t, append([]string{kind, "rm", "-f"}, strings.Fields(ids)...)...)
			}
		}
	})
	return p
}

func requireCompose(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(filepath.Dir(shared.Bin), "libexec/wherry/wherry-compose")); err != nil {
		t.Skip("there is no companion for Compose: ", err)
	}
}

func projectName(t *testing.T) string {
	name := strings.ToLower(strings.TrimPrefix(t.Name(), "Test"))
	return "p" + strings.NewReplacer("/", "-", " ", "-", "=", "-", ",", "-", ":", "-", ".", "-", "'", "", "`", "", "(", "", ")", "").Replace(name)
}

func (p *project) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *project) read(name string) string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

func (p *project) args() []string {
	return []string{"compose", "--project-directory", p.dir, "-p", p.name}
}

// must runs a command of Compose and returns its standard output.
func (p *project) must(args ...string) string {
	p.t.Helper()
	return p.s.Must(p.t, append(p.args(), args...)...)
}

func (p *project) try(args ...string) testkit.Result {
	p.t.Helper()
	return p.s.Try(p.t, append(p.args(), args...)...)
}

// fails runs a command that must end with code and say text in its last line on standard error.
func (p *project) fails(code int, text string, args ...string) testkit.Result {
	p.t.Helper()
	r := p.try(args...)
	lines := strings.Split(strings.TrimRight(r.Stderr, "\n"), "\n")
	if r.Code != code || !strings.Contains(lines[len(lines)-1], text) {
		p.t.Errorf("compose %s: exit %d, want %d with %q:\n%s%s", strings.Join(args, " "), r.Code, code, text, r.Stdout, r.Stderr)
	}
	return r
}

// container is the name of a service's first container.
func (p *project) container(service string) string { return p.name + "-" + service + "-1" }

// inspect is a template's answer for a service's first container.
func (p *project) inspect(service, format string) string {
	p.t.Helper()
	return p.s.Must(p.t, "inspect", "-f", format, p.container(service))
}

// exec is what a command in a service's first container prints.
func (p *project) exec(service string, command ...string) string {
	p.t.Helper()
	return p.s.Must(p.t, append([]string{"exec", p.container(service)}, command...)...)
}

// states are the containers of the project with their states, by name: "web-1=running".
func (p *project) states() map[string]string {
	p.t.Helper()
	found := map[string]string{}
	for _, line := range strings.Split(p.s.Must(p.t, "ps", "-a", "--filter", "label=com.docker.compose.project="+p.name, "--format", "{{.Names}} {{.State}}"), "\n") {
		if name, state, ok := strings.Cut(line, " "); ok {
			found[strings.TrimPrefix(name, p.name+"-")] = state
		}
	}
	return found
}

// want compares the containers there are with those wanted, as states returns them.
func (p *project) want(wanted ...string) {
	p.t.Helper()
	got := p.states()
	for _, w := range wanted {
		name, state, _ := strings.Cut(w, "=")
		if got[name] != state {
			p.t.Errorf("container %s: %q, want %q; all: %v", name, got[name], state, got)
		}
	}
	if len(got) != len(wanted) {
		p.t.Errorf("%d containers, want %d: %v", len(got), len(wanted), got)
	}
}

// A file of three services comes up in order, its services find each other by name, a port is reachable; down takes all
// but the volume, which the next up finds again; down -v takes that too.
func TestComposeUpDown(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	p := newProject(t, `
services:
  web:
    image: busybox
    command: sh -c "mkdir /w && echo hello from web >/w/index.html && httpd -f -h /w -p 80"
    ports: ["`+port+`:80"]
    depends_on: [db, cache]
  db:
    image: busybox
    command: sh -c "test -e /data/kept || echo $$HOSTNAME >/data/kept; sleep 1000"
    stop_grace_period: 0s
    volumes: ["data:/data"]
  cache:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
volumes:
  data:
`)
	p.must("up", "-d")
	p.want("web-1=running", "db-1=running", "cache-1=running")
	testkit.Eventually(t, "the page of web", func() bool { return strings.Contains(httpGet("127.0.0.1:"+port), "hello from web") })
	p.exec("web", "nslookup", "db")
	first := p.exec("db", "cat", "/data/kept")

	p.must("up", "-d") // nothing has changed: nothing happens
	if now := p.exec("db", "hostname"); now != first {
		t.Errorf("a second up made db anew: %s, before %s", now, first)
	}
	p.must("down", "-t", "0")
	p.want()
	if nets := p.s.Must(t, "network", "ls", "-q", "--filter", "label=com.docker.compose.project="+p.name); nets != "" {
		t.Error("networks after down:", nets)
	}
	p.must("up", "-d", "db")
	p.want("db-1=running")
	if kept := p.exec("db", "cat", "/data/kept"); kept != first {
		t.Errorf("the volume has %q, want %q", kept, first)
	}
	p.must("down", "-v", "-t", "0")
	if vols := p.s.Must(t, "volume", "ls", "-q", "--filter", "label=com.docker.compose.project="+p.name); vols != "" {
		t.Error("volumes after down -v:", vols)
	}
}

// httpGet is the answer of an HTTP server, empty without one.
func httpGet(address string) string {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return ""
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.0\r\n\r\n")
	answer := make([]byte, 4096)
	text := ""
	for {
		n, err := conn.Read(answer)
		text += string(answer[:n])
		if err != nil {
			return text
		}
	}
}

// What each command that looks at a project shows is what is there.
func TestComposeLooks(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	p := newProject(t, `
services:
  web:
    image: busybox
    command: sh -c "echo line of web; exec sleep 1001"
    ports: ["127.0.0.1:`+port+`:80"]
    stop_grace_period: 0s
  job:
    image: busybox
    command: sh -c "echo line of job; exit 3"
    volumes: ["data:/data"]
volumes:
  data:
`)
	p.must("up", "-d")
	testkit.Eventually(t, "the end of job", func() bool { return p.states()["job-1"] == "exited" })
	type row struct {
		Name, Service, State string
		ExitCode             int
	}
	rows := map[string]row{}
	for _, line := range strings.Split(p.must("ps", "-a", "--format", "json"), "\n") {
		var r row
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		rows[r.Service] = r
	}
	if rows["web"].State != "running" || rows["job"].State != "exited" || rows["job"].ExitCode != 3 {
		t.Errorf("ps: %+v", rows)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"ps", "--services"}, "web"},
		{[]string{"logs", "--no-color", "--no-log-prefix", "job"}, "line of job"},
		{[]string{"logs", "--no-color", "web"}, "web-1  | line of web"},
		{[]string{"port", "web", "80"}, "127.0.0.1:" + port},
		{[]string{"top", "web"}, "sleep 1001"},
		{[]string{"images"}, "busybox"},
		{[]string{"ls", "-a"}, p.name},
		{[]string{"stats", "--no-stream"}, p.container("web")},
		{[]string{"volumes"}, p.name + "_data"},
		{[]string{"config", "--services"}, "job"},
		{[]string{"convert"}, "image: busybox"},
	} {
		if out := p.must(c.args...); !strings.Contains(out, c.want) {
			t.Errorf("compose %q: want %q in\n%s", c.args, c.want, out)
		}
	}
	if out := p.must("port", "web", "80"); strings.Count(out, "\n") != 0 {
		t.Error("port:", out)
	}
}

// Commands in containers: their standard streams and their exit statuses are the caller's.
func TestComposeExecAndRun(t *testing.T) {
	t.Parallel()
	p := newProject(t, `
services:
  web:
    image: busybox
    command: sleep 1000
    environment: {WHO: web}
    stop_grace_period: 0s
  tool:
    image: busybox
    entrypoint: ["sh", "-c"]
    command: ["cat; exit 5"]
    profiles: [tools]
    depends_on: [web]
`)
	p.must("up", "-d")
	p.want("web-1=running")
	if out := p.must("exec", "-T", "web", "sh", "-c", "echo $WHO"); out != "web" {
		t.Error("exec:", out)
	}
	if r := p.try("exec", "-T", "-e", "A=b", "-w", "/tmp", "-u", "1000", "web", "sh", "-c", "echo $A $PWD $(id -u); exit 9"); r.Code != 9 || r.Out() != "b /tmp 1000" {
		t.Errorf("exec: %d %q %s", r.Code, r.Out(), r.Stderr)
	}
	cmd := p.s.Command(context.Background(), append(p.args(), "exec", "-T", "web", "wc", "-c")...)
	cmd.Stdin = strings.NewReader(strings.Repeat("0123456789", 30000))
	if out, err := cmd.Output(); err != nil || strings.TrimSpace(string(out)) != "300000" {
		t.Errorf("exec with input: %v %s", err, out)
	}
	cmd = p.s.Command(context.Background(), append(p.args(), "run", "--rm", "-T", "tool")...)
	cmd.Stdin = strings.NewReader("through run\n")
	out, _ := cmd.Output()
	if cmd.ProcessState.ExitCode() != 5 || string(out) != "through run\n" {
		t.Errorf("run: %v %q", cmd.ProcessState, out)
	}
	p.want("web-1=running") // --rm took it away
	if out := p.must("run", "--rm", "-T", "--no-deps", "-e", "X=y", "--entrypoint", "sh", "web", "-c", "echo $X"); out != "y" {
		t.Error("run --entrypoint:", out)
	}
	p.write("in", "a file\n")
	p.must("cp", filepath.Join(p.dir, "in"), "web:/tmp/in")
	p.must("cp", "web:/tmp/in", filepath.Join(p.dir, "out"))
	if text, err := os.ReadFile(filepath.Join(p.dir, "out")); err != nil || string(text) != "a file\n" {
		t.Errorf("cp: %q %v", text, err)
	}
}

// The verbs that change the state of containers do so.
func TestComposeStates(t *testing.T) {
	t.Parallel()
	p := newProject(t, `
services:
  a:
    image: busybox
    command: sh -c "trap 'exit 4' USR1; trap 'exit 0' TERM; while true; do sleep 0.05; done"
  b:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
`)
	p.must("create")
	p.want("a-1=created", "b-1=created")
	p.must("start")
	p.want("a-1=running", "b-1=running")
	p.must("pause", "b")
	p.want("a-1=running", "b-1=paused")
	p.must("unpause", "b")
	p.want("a-1=running", "b-1=running")
	id := p.inspect("a", "{{.State.StartedAt}}")
	p.must("restart", "-t", "1", "a")
	if p.inspect("a", "{{.State.StartedAt}}") == id {
		t.Error("restart did not")
	}
	p.must("kill", "-s", "USR1", "a")
	testkit.Eventually(t, "the end of a", func() bool { return p.states()["a-1"] == "exited" })
	if code := p.inspect("a", "{{.State.ExitCode}}"); code != "4" {
		t.Error("exit code of a after kill -s USR1:", code)
	}
	p.must("stop", "-t", "0")
	p.want("a-1=exited", "b-1=exited")
	p.must("rm", "-f", "a")
	p.want("b-1=exited")
	p.must("start", "b")
	p.want("b-1=running")
}
