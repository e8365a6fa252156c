package system

import (
	"strings"
	"testing"
	"time"
)

// started is when a service's container started.
func (p *project) started(service string) time.Time {
	p.t.Helper()
	at, err := time.Parse(time.RFC3339Nano, p.inspect(service, `{{json .State.StartedAt}}`)[1:len(p.inspect(service, `{{json .State.StartedAt}}`))-1])
	if err != nil {
		p.t.Fatal(err)
	}
	return at
}

// A service starts when what it depends on has started, is healthy, or has done its job, as its condition says.
func TestComposeDependsOn(t *testing.T) {
	t.Parallel()
	p := newProject(t, `
x-fast: &fast {image: busybox, stop_grace_period: 0s}
services:
  app:
    <<: *fast
    command: sh -c "cat /shared/migrated && sleep 1000"
    volumes: ["shared:/shared"]
    depends_on:
      db: {condition: service_healthy}
      migrate: {condition: service_completed_successfully}
      cache: {condition: service_started}
  migrate:
    <<: *fast
    command: sh -c "sleep 0.2; echo done >/shared/migrated"
    volumes: ["shared:/shared"]
    depends_on: {db: {condition: service_healthy}}
  db:
    <<: *fast
    command: sh -c "sleep 0.3; touch /ready; sleep 1000"
    healthcheck: {test: ["CMD", "test", "-e", "/ready"], interval: 100ms, timeout: 2s, retries: 50}
  cache:
    <<: *fast
    command: sleep 1000
volumes:
  shared:
`)
	p.must("up", "-d")
	p.want("app-1=running", "migrate-1=exited", "db-1=running", "cache-1=running")
	db, migrate, app := p.started("db"), p.started("migrate"), p.started("app")
	if migrate.Sub(db) < 300*time.Millisecond || app.Sub(migrate) < 200*time.Millisecond {
		t.Errorf("started: db %v, migrate %v, app %v", db, migrate, app)
	}
	if health := p.inspect("db", "{{.State.Health.Status}}"); health != "healthy" {
		t.Error("health of db:", health)
	}
}

// What a failed dependency was needed for does not start, and up says which one it was.
func TestComposeDependencyFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, says string }{
		{"job", `
services:
  app: {image: busybox, command: sleep 1000, depends_on: {job: {condition: service_completed_successfully}}}
  job: {image: busybox, command: "false"}
`, `service "job" didn't complete successfully: exit 1`},
		{"sick", `
services:
  app: {image: busybox, command: sleep 1000, depends_on: {job: {condition: service_healthy}}}
  job: {image: busybox, command: sleep 1000, stop_grace_period: 0s, healthcheck: {test: "false", interval: 50ms, timeout: 1s, retries: 1}}
`, "is unhealthy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, c.file)
			p.fails(1, c.says, "up", "-d")
			if state := p.states()["app-1"]; state != "created" {
				t.Errorf("app is %q", state)
			}
		})
	}
}

// up --wait returns when all are healthy, and fails when one cannot be; up --exit-code-from ends with that service.
func TestComposeUpEnds(t *testing.T) {
	t.Parallel()
	p := newProject(t, `
services:
  slow:
    image: busybox
    command: sh -c "sleep 0.4; touch /ready; sleep 1000"
    stop_grace_period: 0s
    healthcheck: {test: ["CMD", "test", "-e", "/ready"], interval: 100ms, timeout: 2s, retries: 50}
  other:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
  sick:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    profiles: [sick]
    healthcheck: {test: "false", interval: 50ms, timeout: 1s, retries: 1}
  tests:
    image: busybox
    command: sh -c "echo a test; exit 7"
    profiles: [tests]
    depends_on: [other]
`)
	p.must("up", "-d", "--wait")
	if health := p.inspect("slow", "{{.State.Health.Status}}"); health != "healthy" {
		t.Error("after up --wait:", health)
	}
	p.fails(1, "is unhealthy", "--profile", "sick", "up", "-d", "--wait")
	p.must("down", "-t", "0")
	r := p.try("--profile", "tests", "up", "--exit-code-from", "tests", "tests", "other")
	if r.Code != 7 || !strings.Contains(r.Stdout, "a test") {
		t.Errorf("up --exit-code-from: %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	p.want("tests-1=exited", "other-1=exited")
}

// --scale and deploy.replicas make so many; fewer take the last ones away.
func TestComposeScale(t *testing.T) {
	t.Parallel()
	p := newProject(t, `
services:
  worker:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    deploy: {replicas: 2}
  one:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
`)
	p.must("up", "-d")
	p.want("worker-1=running", "worker-2=running", "one-1=running")
	p.must("up", "-d", "--scale", "worker=4")
	p.want("worker-1=running", "worker-2=running", "worker-3=running", "worker-4=running", "one-1=running")
	if out := p.exec("one", "nslookup", "worker"); strings.Count(out, "Address") < 4 {
		t.Errorf("the name of four workers has\n%s", out)
	}
	p.must("scale", "worker=1")
	p.want("worker-1=running", "one-1=running")
	p.must("up", "-d", "--scale", "worker=0", "--no-recreate")
	p.want("one-1=running")
}

// A container is made anew when its service has changed, or when that is asked for, and keeps its anonymous volumes.
func TestComposeRecreate(t *testing.T) {
	t.Parallel()
	file := `
services:
  a: {image: busybox, command: sleep 1000, environment: {V: "1"}, volumes: [/keep], stop_grace_period: 0s}
  b: {image: busybox, command: sleep 1000, stop_grace_period: 0s, depends_on: [a]}
`
	p := newProject(t, file)
	id := func(service string) string { return p.inspect(service, "{{.ID}}") }
	p.must("up", "-d")
	p.exec("a", "touch", "/keep/this")
	a, b := id("a"), id("b")
	p.must("up", "-d")
	if id("a") != a || id("b") != b {
		t.Fatal("an up of the same file makes containers anew")
	}
	p.write("compose.yaml", strings.Replace(file, `V: "1"`, `V: "2"`, 1))
	p.must("up", "-d", "--no-recreate")
	if id("a") != a {
		t.Error("--no-recreate made a anew")
	}
	p.must("up", "-d")
	if id("a") == a || id("b") != b {
		t.Error("after a change of a: a", id("a") != a, "b", id("b") != b)
	}
	p.exec("a", "test", "-e", "/keep/this")
	a = id("a")
	p.must("up", "-d", "--force-recreate", "--no-deps", "b")
	if id("a") != a || id("b") == b {
		t.Error("--force-recreate --no-deps b: a", id("a") != a, "b", id("b") != b)
	}
	p.must("up", "-d", "--force-recreate", "-V", "a")
	if r := p.s.Try(t, "exec", p.container("a"), "test", "-e", "/keep/this"); r.Code == 0 {
		t.Error("-V kept the anonymous volume")
	}
	p.write("compose.yaml", strings.Split(file, "  b:")[0])
	p.must("up", "-d", "--remove-orphans")
	p.want("a-1=running")
}

// --dry-run tells and does nothing.
func TestComposeDryRun(t *testing.T) {
	t.Parallel()
	p := newProject(t, `
services:
  a: {image: busybox, command: sleep 1000, volumes: ["vol:/v"], stop_grace_period: 0s}
volumes: {vol: }
`)
	if r := p.try("--dry-run", "up", "-d"); r.Code != 0 || !strings.Contains(r.Stderr, "a-1") {
		t.Errorf("--dry-run up: %d %s", r.Code, r.Stderr)
	}
	p.want()
	p.must("up", "-d")
	p.must("--dry-run", "down", "-v")
	p.want("a-1=running")
}
