package system

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// joined joins the lines of a list by blanks.
func joined(out string) string { return strings.Join(strings.Fields(out), " ") }

// flag: ps --filter
func TestPsFilters(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "create", "--name", "first", "-l", "tier=db", "-v", "data:/data", "--restart", "always", testkit.Image, "sleep", "1")
	s.Must(t, "run", "--name", "ended", "--label", "tier", "--restart", "on-failure:1", testkit.Image, "sh", "-c", "exit 0")
	s.Must(t, "run", "-d", "--name", "up", "--network", "none", "--restart", "unless-stopped", testkit.Image, "sleep", "1000")
	s.Must(t, "import", "--change", "CMD true", filepath.Join(filepath.Dir(s.Data), "busybox.tar"), "other")
	s.Must(t, "create", "--name", "last", "--network", "none", "--health-cmd", "true", "other")
	id := s.Must(t, "inspect", "-f", "{{.Id}}", "first")
	for filter, wanted := range map[string]string{
		"id=" + id[:10]: "first", "name=fir": "first", "name=^up$": "up", "label=tier": "ended first", "label=tier=db": "first", "label!=tier": "last up",
		"status=created": "first last", "status=exited": "ended", "status=running": "up", "exited=0": "ended", "exited=1": "",
		"ancestor=other": "last", "ancestor=" + testkit.Image: "ended first up", "before=ended": "first", "since=ended": "last up", "until=10m": "", "until=0s": "ended first last up",
		"volume=data": "first", "volume=/data": "first", "network=none": "last up", "health=none": "ended first last up",
		"command=sleep": "first up", "restart-policy=always": "first", "restart-policy=on-failure": "ended",
		"should-start-on-boot=true": "first up", "should-start-on-boot=false": "ended last", "is-task=false": "ended first last up", "is-task=true": "",
	} {
		want(t, filter, joined(s.Must(t, "ps", "-a", "--sort", "names", "--format", "{{.Names}}", "--filter", filter)), wanted)
	}
	want(t, "two keys", s.Must(t, "ps", "-a", "--format", "{{.Names}}", "-f", "label=tier", "-f", "status=exited"), "ended")
	want(t, "two values", joined(s.Must(t, "ps", "-a", "--sort", "names", "--format", "{{.Names}}", "-f", "name=up", "-f", "name=last")), "last up")
	for filter, text := range map[string]string{
		"foo=1": `unknown filter "foo"`, "status=x": "invalid filter status=x", "health=x": "invalid filter health=x", "exited=x": "a number",
		"restart-policy=x": "invalid filter restart-policy=x", "until=x": "invalid filter until=x", "before=nope": `no container "nope"`,
		"should-start-on-boot=x": "true or false", "name=[": "invalid filter name=[",
	} {
		s.MustFail(t, 125, text, "ps", "-a", "--filter", filter)
	}
	s.MustFail(t, 125, "a filter looks like key=value", "ps", "--filter", "x")
}

// flag: ps --all --last --latest --no-trunc --noheading --quiet --size --sort --format --namespace --ns
func TestPsShows(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "run", "--name", "b", testkit.Image, "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=2")
	s.Must(t, "run", "-d", "--name", "a", testkit.Image, "sleep", "1000", "1", "1", "1", "1", "1")
	s.Must(t, "create", "--name", "c", testkit.Image, "true")
	full := s.Must(t, "inspect", "-f", "{{.Id}}", "a")
	want(t, "running", s.Must(t, "ps", "-q"), full[:12])
	want(t, "no-trunc", s.Must(t, "ps", "-q", "--no-trunc"), full)
	want(t, "all", fmt.Sprint(strings.Count(s.Must(t, "ps", "-a", "--noheading"), "\n")), "2")
	want(t, "last", joined(s.Must(t, "ps", "-n", "2", "--format", "{{.Names}}")), "c a")
	want(t, "latest", s.Must(t, "ps", "-l", "--format", "{{.Names}}"), "c")
	if row := s.Must(t, "ps", "--no-trunc", "--format", "{{.ID}} {{.Command}}"); row != full+` "sleep 1000 1 1 1 1 1"` {
		t.Errorf("no-trunc: %s", row)
	}
	for key, order := range map[string]string{"created": "c a b", "names": "a b c", "command": "b a c", "status": "c b a", "size": "c a b"} {
		got := joined(s.Must(t, "ps", "-a", "--sort", key, "--format", "{{.Names}}"))
		if key == "size" {
			got = got[len(got)-1:] // the others have none
			order = order[len(order)-1:]
		}
		want(t, "sort by "+key, got, order)
	}
	for _, key := range []string{"id", "image", "runningfor"} {
		s.Must(t, "ps", "-a", "--sort", key)
	}
	s.MustFail(t, 125, "created, command", "ps", "--sort", "age")
	if size := s.Must(t, "ps", "-a", "-s", "--filter", "name=b"); !strings.Contains(size, "2.1MB (virtual") {
		t.Errorf("size:\n%s", size)
	}
	var row struct{ ID, Names, State, Image string }
	if err := json.Unmarshal([]byte(s.Must(t, "ps", "--format", "json")), &row); err != nil || row.Names != "a" || row.State != "running" || row.ID != full[:12] {
		t.Errorf("json: %+v %v", row, err)
	}
	// Podman's fields, for templates.
	pid := hostPid(t, s, "a")
	want(t, "Podman's fields", s.Must(t, "ps", "--format", "{{.Pid}} {{.ExitCode}} {{.Exited}} {{.Restarts}} {{.AutoRemove}}"), fmt.Sprint(pid)+" 0 false 0 false")
	uts, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/uts", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--namespace", "--ns"} {
		want(t, flag, s.Must(t, "ps", flag, "--format", "uts:[{{.UTS}}] {{.PID}}"), uts+" "+fmt.Sprint(pid))
	}
	s.MustFail(t, 125, "do not go together", "ps", "-q", "--ns")
}

// flag: ps --sync
func TestPsSync(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "run", "-d", "--name", "a", testkit.Image, "sleep", "1000")
	pid := hostPid(t, s, "a")
	killMonitor(t, s, "a")
	killContainer(t, s, pid)
	want(t, "status", s.Must(t, "ps", "-a", "--sync", "--format", "{{.State}}"), "exited")
	state := s.Must(t, "unshare", "sh", "-c", "cat "+s.Data+"/containers/*/state.json")
	if !strings.Contains(state, `"Status":"exited"`) {
		t.Errorf("the record is not settled: %s", state)
	}
}

// flag: ps --watch
func TestPsWatch(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := shared.Command(ctx, "ps", "-a", "--watch", "1", "--noheading", "--filter", "name="+name, "--format", "{{.Names}}")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shared.Must(t, "create", "--name", name, testkit.Image, "true")
	seen := make([]byte, 100)
	n, _ := out.Read(seen) // blocks until it is shown
	cancel()
	cmd.Wait()
	want(t, "a container made meanwhile", strings.TrimSpace(string(seen[:n])), name)
	shared.MustFail(t, 125, "at least one second", "ps", "-w", "0")
}

// flag: inspect --type --size --format --latest
func TestInspectKinds(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "create", "--name", "same", testkit.Image, "true")
	s.Must(t, "volume", "create", "same")
	s.Must(t, "tag", testkit.Image, "same")
	want(t, "a container comes first", s.Must(t, "inspect", "-f", "{{.Name}}", "same"), "/same")
	want(t, "volume", s.Must(t, "inspect", "--type", "volume", "-f", "{{.Driver}} {{.Name}}", "same"), "local same")
	if tags := s.Must(t, "inspect", "-t", "image", "-f", "{{.RepoTags}}", "same"); !strings.Contains(tags, "same:latest") {
		t.Errorf("image: %s", tags)
	}
	want(t, "several kinds", s.Must(t, "inspect", "-f", "{{.Created | len | lt 5}}", "same", testkit.Image), "true\ntrue")
	want(t, "latest", s.Must(t, "inspect", "-l", "-f", "{{.Name}}"), "/same")
	if size := s.Must(t, "inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "same"); !strings.HasPrefix(size, "0 ") || size == "0 0" {
		t.Errorf("size: %s", size)
	}
	r := s.Try(t, "inspect", "same", "nope")
	var docs []map[string]any
	if json.Unmarshal([]byte(r.Stdout), &docs) != nil || len(docs) != 1 || r.Code != 1 || !strings.Contains(r.Stderr, `"nope"`) {
		t.Errorf("one found, one not: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	s.MustFail(t, 1, `no container "`+testkit.Image, "inspect", "--type", "container", testkit.Image)
	s.MustFail(t, 125, "container, image, volume", "inspect", "--type", "thing", "same")
}

// flag: images --all --digests --filter --format --history --no-trunc --noheading --quiet --sort
func TestImagesList(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	tar := filepath.Join(filepath.Dir(s.Data), "busybox.tar")
	s.Must(t, "import", "--change", "LABEL tier=db", "--change", "CMD true", tar, "zeta:v1")
	s.Must(t, "tag", "zeta:v1", "old")
	s.Must(t, "untag", "zeta:v1", "old")
	id := s.Must(t, "inspect", "--type", "image", "-f", "{{.Id}}", "zeta:v1")
	id = strings.TrimPrefix(id, "sha256:")
	want(t, "quiet", s.Must(t, "images", "-q", "zeta"), id[:12])
	want(t, "no-trunc", s.Must(t, "images", "-q", "--no-trunc", "zeta"), "sha256:"+id)
	want(t, "sort", joined(s.Must(t, "images", "--sort", "repository", "--format", "{{.Repository}}:{{.Tag}}")), testkit.Image+":latest zeta:v1")
	want(t, "noheading", fmt.Sprint(strings.Count(s.Must(t, "images", "-n"), "\n")), "1")
	for filter, names := range map[string]string{"label=tier=db": "zeta", "reference=z*": "zeta", "dangling=true": "", "before=zeta:v1": testkit.Image,
		"since=" + testkit.Image: "zeta", "until=10m": "", "id=" + id[:8]: "zeta", "readonly=true": ""} {
		want(t, filter, joined(s.Must(t, "images", "--filter", filter, "--format", "{{.Repository}}")), names)
	}
	if out := s.Must(t, "images", "--digests", "zeta"); !strings.Contains(out, "DIGEST") {
		t.Errorf("digests:\n%s", out)
	}
	if out := s.Must(t, "images", "--history", "zeta"); !strings.Contains(out, "docker.io/library/old:latest") {
		t.Errorf("history:\n%s", out)
	}
	s.Must(t, "untag", "zeta:v1")
	want(t, "without a name", s.Must(t, "images", "-a", "--filter", "dangling=true", "-q"), id[:12])
	var row struct{ ID string }
	if err := json.Unmarshal([]byte(s.Must(t, "images", "--format", "json", testkit.Image)), &row); err != nil || row.ID == "" {
		t.Errorf("json: %+v %v", row, err)
	}
}

// flag: info, version --format
func TestInfoAndVersion(t *testing.T) {
	t.Parallel()
	var info struct {
		Containers, ContainersRunning, Images int
		Driver, OSType, DockerRootDir         string
	}
	if err := json.Unmarshal([]byte(shared.Must(t, "info", "--format", "json")), &info); err != nil || info.OSType != "linux" || info.DockerRootDir != shared.Data {
		t.Errorf("info: %+v %v", info, err)
	}
	want(t, "info", shared.Must(t, "system", "info", "-f", "{{.OSType}}"), "linux")
	if host := shared.Must(t, "info", "-f", "{{.Host.Arch}} {{.Host.OCIRuntime.Name}} {{.Host.Security.Rootless}}"); host != runtime.GOARCH+" "+shared.Must(t, "info", "-f", "{{.DefaultRuntime}}")+" "+shared.Must(t, "info", "-f", "{{.Rootless.Rootless}}") {
		t.Errorf("Podman's fields: %s", host)
	}
	want(t, "version", shared.Must(t, "version", "-f", "{{.Client.Version}}"), shared.Must(t, "version", "--format", "{{.Server.Version}}"))
	var version struct {
		Client struct{ Version, ApiVersion string }
	}
	if err := json.Unmarshal([]byte(shared.Must(t, "version", "--format", "json")), &version); err != nil || version.Client.ApiVersion == "" {
		t.Errorf("version: %+v %v", version, err)
	}
}

// flag: start, stop, restart, kill, pause, unpause, wait, attach, exec, logs, rm --latest
func TestLatestEverywhere(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "create", "--name", "older", testkit.Image, "true")
	s.Must(t, "create", "--name", "newest", "--stop-signal", "KILL", testkit.Image, "sh", "-c", "echo said; sleep 1000")
	state := func(wanted string) {
		t.Helper()
		want(t, "newest", s.Must(t, "ps", "-a", "-f", "name=newest", "--format", "{{.State}}"), wanted)
		want(t, "older", s.Must(t, "ps", "-a", "-f", "name=older", "--format", "{{.State}}"), "created")
	}
	s.Must(t, "start", "-l")
	state("running")
	want(t, "exec", s.Must(t, "exec", "-l", "echo", "in"), "in")
	testkit.Eventually(t, "it has said something", func() bool { return s.Must(t, "logs", "-l") == "said" })
	s.Must(t, "pause", "-l")
	state("paused")
	s.Must(t, "unpause", "-l")
	state("running")
	s.Must(t, "restart", "-l")
	state("running")
	s.Must(t, "kill", "-l")
	want(t, "wait", s.Must(t, "wait", "-l"), "137")
	s.MustFail(t, 125, `container "newest" is not running`, "attach", "-l")
	s.Must(t, "start", "-l")
	s.Must(t, "stop", "-l")
	state("exited")
	s.Must(t, "rm", "-l")
	want(t, "left", s.Must(t, "ps", "-a", "--format", "{{.Names}}"), "older")
}

// flag: (global) --log-level --debug --out --config --root --runroot --version --runtime
func TestGlobalFlags(t *testing.T) {
	t.Parallel()
	base := dir(t)
	out := filepath.Join(base, "out")
	want(t, "nothing on standard output", shared.Must(t, "--out", out, "version", "-f", "{{.Client.Os}}"), "")
	data, _ := os.ReadFile(out)
	want(t, "in the file", string(data), "linux\n")
	for _, flags := range [][]string{{"-D"}, {"--debug"}, {"--log-level", "debug"}, {"-l", "trace"}} {
		r := shared.Try(t, append(flags, "ps", "-q")...)
		if r.Code != 0 || !strings.Contains(r.Stderr, "Debug: ") || !strings.Contains(r.Stderr, "store "+shared.Data) {
			t.Errorf("%v: exit %d %s", flags, r.Code, r.Stderr)
		}
	}
	// A broken record is worth a warning, which error keeps back.
	s := ownStore(t)
	id := s.Must(t, "create", testkit.Image, "true")
	inStore(t, s, id, "echo nonsense >$2/config.json")
	if r := s.Try(t, "ps", "-a"); !strings.Contains(r.Stderr, "Warning: ") {
		t.Errorf("no warning: %s", r.Stderr)
	}
	if r := s.Try(t, "--log-level", "error", "ps", "-a"); r.Stderr != "" {
		t.Errorf("--log-level error: %s", r.Stderr)
	}
	shared.MustFail(t, 125, "it is panic, fatal", "--log-level", "loud", "ps")
	shared.MustFail(t, 125, "it is not a directory", "--config", filepath.Join(base, "none"), "ps")
	auth := `{"auths":{"registry.example":{"auth":"dXNlcjpwYXNz"}}}`
	if err := os.WriteFile(filepath.Join(base, "config.json"), []byte(auth), 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, "log-in of --config", shared.Must(t, "--config", base, "login", "--get-login", "registry.example"), "user")
	want(t, "another store", shared.Must(t, "--root", filepath.Join(base, "data"), "--runroot", shared.Run, "images", "-q"), "")
	shared.MustFail(t, 125, `OCI runtime "nope" not found`, "--runtime", "nope", "run", "--rm", testkit.Image, "true")
	if v := shared.Must(t, "--version"); !strings.HasPrefix(v, "wherry version ") {
		t.Errorf("version: %s", v)
	}
}
