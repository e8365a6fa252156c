package system

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// eventsOf are the actions noted about a container, oldest first, joined by blanks.
func eventsOf(t *testing.T, name string, more ...string) string {
	t.Helper()
	args := append([]string{"events", "--since", "1h", "--stream=false", "--filter", "container=" + name, "--format", "{{.Action}}"}, more...)
	return strings.ReplaceAll(shared.Must(t, args...), "\n", " ")
}

// What happens to a container is noted in the order in which it happens.
// flag: events, system events --since --stream --filter --format
func TestEventsOfALife(t *testing.T) {
	t.Parallel()
	name := up(t, trapping, "--label", "role=x")
	shared.Must(t, "exec", name, "true")
	shared.Must(t, "pause", name)
	shared.Must(t, "unpause", name)
	shared.Must(t, "restart", "-t", "5", name)
	shared.Must(t, "kill", name)
	testkit.Eventually(t, "it died", func() bool { return field(t, name, "{{.State.Status}}") == "exited" })
	shared.Must(t, "rename", name, name+"2")
	id := field(t, name+"2", "{{.Id}}")
	shared.Must(t, "rm", name+"2")
	want := "create start exec_create: true exec_start: true exec_die pause unpause kill die stop start restart kill die rename destroy"
	if got := eventsOf(t, id, "--filter", "type=container"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := shared.Must(t, "events", "--since", "1h", "--stream=false", "--filter", "container="+id, "--filter", "event=die", "--format", "{{.ContainerExitCode}}"); got != "7\n137" {
		t.Errorf("exit codes %q", got)
	}
	if got := eventsOf(t, id, "--filter", "event=died", "--filter", "label=role=x"); got != "die die" {
		t.Errorf("by Podman's word: %q", got)
	}
	if got := shared.Must(t, "system", "events", "--since", "1h", "--no-stream", "--filter", "container="+id, "--filter", "event=rename", "--format", "{{.Name}} {{.Actor.Attributes.oldName}}"); got != name+"2 "+name {
		t.Errorf("%q", got)
	}
}

// Removal, kills and exit codes of a foreground run that is removed at its end.
func TestEventsOfARun(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Try(t, "run", "--rm", "--name", name, testkit.Image, "sh", "-c", "exit 3")
	if got := eventsOf(t, name); got != "create attach start die destroy" {
		t.Errorf("%q", got)
	}
	out := shared.Must(t, "events", "--since", "1h", "--stream=false", "--filter", "container="+name, "--filter", "event=die", "--format", "json")
	var e struct {
		Status, ID, From, Type, Action, Scope string
		Actor                                 struct {
			ID         string
			Attributes map[string]string
		}
		Time, TimeNano    int64
		Name              string
		ContainerExitCode int
	}
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		t.Fatal(err)
	}
	if e.Status != "die" || e.Action != "die" || e.Type != "container" || e.From != testkit.Image || e.Actor.ID != e.ID || len(e.ID) != 64 ||
		e.Actor.Attributes["exitCode"] != "3" || e.ContainerExitCode != 3 || e.Name != name || e.TimeNano/1e9 != e.Time || e.Scope != "local" {
		t.Errorf("%s", out)
	}
}

// watchingEvents is `events` under way.
func watchingEvents(t *testing.T, args ...string) (next func() string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	cmd := shared.Command(ctx, append([]string{"events"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() { cancel(); cmd.Wait() }
	t.Cleanup(stop)
	lines := bufio.NewReader(out)
	return func() string {
		line, err := lines.ReadString('\n')
		if err != nil && err != io.EOF {
			t.Error(err)
		}
		return strings.TrimSuffix(line, "\n")
	}, stop
}

// They come as they happen; Docker's line has time, type, action, id and attributes.
// flag: events --no-trunc
func TestEventsFollowed(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	next, stop := watchingEvents(t, "--since", "0s", "--filter", "container="+name)
	shared.Must(t, "create", "--name", name, testkit.Image, "true")
	line := next()
	id := field(t, name, "{{.Id}}")
	at, rest, _ := strings.Cut(line, " ")
	if when, err := time.Parse(time.RFC3339Nano, at); err != nil || time.Since(when) > time.Minute || rest != "container create "+id+" (image="+testkit.Image+", name="+name+")" {
		t.Errorf("%q", line)
	}
	shared.Must(t, "start", name)
	if line := next(); !strings.Contains(line, " container start "+id) {
		t.Errorf("%q", line)
	}
	stop()
	if out := shared.Must(t, "events", "--since", "1h", "--until", "0s", "--no-trunc=false", "--filter", "container="+name, "--filter", "event=create"); !strings.Contains(out, " create "+id[:12]+" (") {
		t.Errorf("%q", out)
	}
}

// --until in the future ends by itself.
// flag: events --until
func TestEventsUntil(t *testing.T) {
	t.Parallel()
	start := time.Now()
	shared.Must(t, "events", "--until", "-300ms", "--filter", "container=nosuch")
	if took := time.Since(start); took < 250*time.Millisecond || took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestEventsOfVolumesAndImages(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "run", "--rm", "--name", name, "-v", name+":/data", testkit.Image, "true")
	testkit.Eventually(t, "the volume is free", func() bool { return shared.Try(t, "volume", "rm", name).Code == 0 })
	if got := shared.Must(t, "events", "--since", "1h", "--stream=false", "--filter", "type=volume", "--filter", "volume="+name, "--format", "{{.Action}}"); got != "create\nmount\nunmount\ndestroy" {
		t.Errorf("%q", got)
	}
	tag := "events.test/" + strings.ToLower(name) + ":1"
	shared.Must(t, "tag", testkit.Image, tag)
	shared.Must(t, "rmi", tag)
	if got := shared.Must(t, "events", "--since", "1h", "--stream=false", "--filter", "image="+tag, "--format", "{{.Type}} {{.Action}}"); got != "image tag\nimage untag" {
		t.Errorf("%q", got)
	}
}

// A change of the health is an event; with events as its log each check is.
// flag: run, create --health-log-destination
func TestEventsOfHealth(t *testing.T) {
	t.Parallel()
	name := up(t, "echo ready; sleep 1000", "--health-cmd", "test -e /ok && echo well", "--health-interval", "1h", "--health-retries", "1", "--health-log-destination", "events_logger")
	shared.Try(t, "healthcheck", "run", name)
	shared.Must(t, "exec", name, "touch", "/ok")
	shared.Must(t, "healthcheck", "run", name)
	if got := eventsOf(t, name, "--filter", "event=health_status"); got != "health_status: unhealthy health_status: healthy" {
		t.Errorf("%q", got)
	}
	if got := shared.Must(t, "events", "--since", "1h", "--stream=false", "--filter", "container="+name, "--filter", "event=health_status: healthy", "--format", "{{.HealthStatus}} {{.Attributes.health_log}}"); strings.TrimSpace(got) != "healthy well" {
		t.Errorf("%q", got)
	}
}

// Nothing is kept where that is asked for.
// flag: (global) --events-backend
func TestEventsBackendNone(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "--events-backend", "none", "run", "--name", name, testkit.Image, "true")
	if got := eventsOf(t, name); got != "" {
		t.Errorf("%q", got)
	}
	shared.MustFail(t, 125, "events are not kept", "--events-backend", "none", "events")
	shared.MustFail(t, 125, "file, journald", "--events-backend", "nosuch", "ps")
}

// Commands that read or change a container without running anything in it are noted, too.
func TestEventsOfFiles(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "create", "--name", name, testkit.Image, "true")
	shared.Must(t, "cp", name+":/etc/passwd", t.TempDir()+"/passwd")
	shared.Must(t, "cp", "/etc/hostname", name+":/tmp/")
	shared.Must(t, "export", "-o", t.TempDir()+"/tar", name)
	shared.Must(t, "update", "--restart", "no", name)
	tag := "events.test/files:1"
	shared.Must(t, "commit", name, tag)
	shared.Must(t, "rmi", tag)
	if got := eventsOf(t, name); got != "create archive-path extract-to-dir export update commit" {
		t.Errorf("%q", got)
	}
}

// containers.conf says where events go, and a flag goes over it.
func TestEventsLoggerOfContainersConf(t *testing.T) {
	t.Parallel()
	s, name := confStore(t, "[engine]\nevents_logger = \"none\"\n"), shared.Name(t)
	s.Must(t, "create", "--name", name, testkit.Image, "true")
	s.Must(t, "--events-backend", "file", "start", "-a", name)
	if got := eventsOf(t, name); got != "attach start die" {
		t.Errorf("%q", got)
	}
	s.MustFail(t, 125, "events are not kept", "events")
}
