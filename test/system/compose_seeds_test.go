package system

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// server says what an image of a guide is stood for by: who answers on its port, and what it insists on, as the real one does.
func standFor(port, before string) string { return before + "exec nc -ll -p " + port + " -e cat" }

const (
	standWeb      = `d=/usr/share/nginx/html; mkdir -p $d; [ -e $d/index.html ] || echo Welcome to nginx >$d/index.html; exec httpd -f -p 80 -h $d`
	standPostgres = `f=${POSTGRES_PASSWORD_FILE:-${POSTGRESQL_PASSWORD_FILE:-/run/secrets/db_password}}; p=${POSTGRES_PASSWORD:-$(cat $f)}; ` +
		`[ -n "$p" ] || { echo superuser password is not specified; exit 1; }; mkdir -p /var/lib/postgresql/data; echo "$p" >>/var/lib/postgresql/data/PG_VERSION; `
)

// composeStands are the images of the guides' Compose files, made here under their names.
var composeStands = map[string]string{
	"nginx:alpine":                            standWeb,
	"nginx:latest":                            standWeb,
	"postgres:13":                             standFor("5432", standPostgres),
	"postgres:15":                             standFor("5432", standPostgres),
	"bitnami/postgresql:13":                   standFor("5432", standPostgres),
	"redis:6-alpine":                          standFor("6379", ""),
	"traefik:v2.4":                            standFor("80", ""),
	"myapp/frontend:latest":                   standFor("80", ""),
	"myapp/api:latest":                        standFor("8000", ""),
	"myapi:latest":                            standFor("8000", ""),
	"prom/node-exporter:latest":               standFor("9100", "test -e /host/proc/1/stat && test -d /rootfs/etc || exit 1; "),
	"prom/prometheus:latest":                  standFor("9090", "test -s /etc/prometheus/prometheus.yml || exit 1; "),
	"grafana/grafana:latest":                  standFor("3000", ""),
	"192.168.1.18:5000/simple-rest-app:amd64": standFor("5000", ""),
	"192.168.1.18:5000/simple-rest-app:arm":   standFor("5000", ""),
}

// Every Compose file of the guides comes up as it is printed, with other host ports. The images are stood for.
func TestComposeSeeds(t *testing.T) {
	t.Parallel()
	requireCompose(t)
	store, done, err := testkit.Open("bin")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(done)
	store.Must(t, "create", "--name", "stand", testkit.Image)
	for name, command := range composeStands {
		store.Must(t, "commit", "-q", "-c", fmt.Sprintf(`ENTRYPOINT ["sh","-c",%q,"stand"]`, command), "-c", `STOPSIGNAL SIGKILL`, "stand", name)
	}
	for _, name := range []string{"db_password", "repl_password"} {
		store.Must(t, "secret", "create", name, write(t, t.TempDir(), "value", "from "+name))
	}
	serveAPI(t, store) // for the container that wants Docker's socket
	all := func(names ...string) (states []string) {
		for _, name := range names {
			states = append(states, name+"=running")
		}
		return states
	}
	for _, c := range []struct {
		file  string
		files []string // what lies beside it
		fix   string   // old=>new: what the guide's author forgot
		says  string   // without the fix
		up    []string
		want  []string
		check func(t *testing.T, p *project, ports map[string]string)
	}{
		{file: "web-db", files: []string{"site/index.html", "my site\n"}, want: all("web-1", "db-1"), check: func(t *testing.T, p *project, ports map[string]string) {
			testkit.Eventually(t, "the site", func() bool { return strings.Contains(httpGet("127.0.0.1:"+ports["80"]), "my site") })
			answers(t, p, "web", "db", "5432")
		}},
		// Three of a service cannot have one host port, with Docker neither: that is for a swarm.
		{file: "replicas", up: []string{"--scale", "web=1"}, want: all("web-1", "db-1")},
		{file: "registry", want: all("web-alfred-1", "web-rpi1-1")},
		{file: "three-tiers", files: tiers("frontend", "80", "backend", "3000"), fix: "postgres_data:=>db_data:", says: `service "db" refers to undefined volume db_data`,
			want: all("web-1", "api-1", "db-1", "cache-1"), check: func(t *testing.T, p *project, ports map[string]string) {
				testkit.Eventually(t, "the page", func() bool { return strings.Contains(httpGet("127.0.0.1:"+ports["80"]), "page of frontend") })
				testkit.Eventually(t, "the answer", func() bool { return strings.Contains(httpGet("127.0.0.1:"+ports["3000"]), "page of backend") })
				answers(t, p, "api", "db", "5432")
				answers(t, p, "api", "cache", "6379")
			}},
		{file: "hot-reload", files: tiers("frontend", "3000", "backend", "8000"), want: all("frontend-1", "backend-1", "db-1"),
			check: func(t *testing.T, p *project, ports map[string]string) {
				testkit.Eventually(t, "the page", func() bool { return strings.Contains(httpGet("127.0.0.1:"+ports["3000"]), "page of frontend") })
				p.write("frontend/index.html", "changed\n")
				if page := httpGet("127.0.0.1:" + ports["3000"]); !strings.Contains(page, "changed") {
					t.Errorf("after a change of the file: %s", page)
				}
				p.exec("frontend", "sh", "-c", "touch /app/node_modules/x")
				if _, err := os.Stat(filepath.Join(p.dir, "frontend/node_modules/x")); err == nil {
					t.Error("what is in the anonymous volume is in the source")
				}
			}},
		{file: "microservices", want: all("traefik-1", "frontend-1", "frontend-2", "frontend-3", "api-1", "api-2", "api-3", "db-1"), check: secretTaken},
		{file: "stack", up: []string{"--scale", "web=1"}, want: all("web-1", "api-1", "api-2", "db-1"), check: secretTaken},
		{file: "load-balancing", want: all("traefik-1", "frontend-1", "frontend-2", "frontend-3", "api-1", "api-2", "api-3", "db-1"), check: secretTaken},
		{file: "monitoring", files: []string{"prometheus.yml", "global: {}\n"}, want: all("monitoring_agent-1", "prometheus-1", "grafana-1"),
			check: func(t *testing.T, p *project, _ map[string]string) { answers(t, p, "grafana", "prometheus", "9090") }},
		{file: "database-cluster", want: all("pg_master-1", "pg_replica-1", "pg_replica-2"),
			check: func(t *testing.T, p *project, _ map[string]string) {
				if got := p.exec("pg_replica", "cat", "/run/secrets/repl_password"); got != "from repl_password" {
					t.Error("secret:", got)
				}
				answers(t, p, "pg_replica", "pg_master", "5432")
			}},
	} {
		t.Run(c.file, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata/compose", c.file+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			file, ports := otherPorts(t, string(text))
			p := newProject(t, append([]string{"compose.yaml", file}, c.files...)...)
			p.s = store
			if c.fix != "" {
				p.fails(1, c.says, "up", "-d")
				before, after, _ := strings.Cut(c.fix, "=>")
				p.write("compose.yaml", strings.Replace(file, "\n  "+before, "\n  "+after, 1))
			}
			p.must(append([]string{"up", "-d", "--quiet-build"}, c.up...)...)
			p.want(c.want...)
			if c.check != nil {
				c.check(t, p, ports)
			}
			p.must("down", "-v", "-t", "0")
			p.want()
		})
	}
}

// tiers are the sources of services that the guides build: each serves a page on its port.
func tiers(nameAndPort ...string) (files []string) {
	for i := 0; i < len(nameAndPort); i += 2 {
		name, port := nameAndPort[i], nameAndPort[i+1]
		dockerfile := "FROM busybox\nWORKDIR /app\nCOPY . .\nSTOPSIGNAL SIGKILL\nCMD [\"httpd\", \"-f\", \"-p\", \"" + port + "\"]\n"
		files = append(files, name+"/Dockerfile", dockerfile, name+"/Dockerfile.dev", dockerfile, name+"/index.html", "page of "+name+"\n")
	}
	return files
}

// otherPorts replaces the host's ports of a file and says by the container's which they are now.
func otherPorts(t *testing.T, file string) (string, map[string]string) {
	ports := map[string]string{}
	return regexp.MustCompile(`- "\d+:(\d+)"`).ReplaceAllStringFunc(file, func(line string) string {
		_, inside, _ := strings.Cut(strings.Trim(line, `- "`), ":")
		ports[inside] = freePort(t)
		return `- "` + ports[inside] + ":" + inside + `"`
	}), ports
}

// answers asks, from a service, another one by its name.
func answers(t *testing.T, p *project, from, host, port string) {
	t.Helper()
	testkit.Eventually(t, host+" answers "+from, func() bool {
		return p.s.Try(t, "exec", p.container(from), "sh", "-c", "echo ping | nc -w 2 "+host+" "+port).Out() == "ping"
	})
}

// serveAPI lets the service of Docker's API listen while the test runs.
func serveAPI(t *testing.T, s *testkit.Store) {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	cmd := s.Command(ctx, "system", "service", "--time", "0")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end()
		_ = cmd.Wait() // it was interrupted
	})
	testkit.Eventually(t, "the service", func() bool {
		_, err := os.Stat(filepath.Join(s.Run, "wherry.sock"))
		return err == nil
	})
}

// secretTaken looks whether the database has the password of the secret.
func secretTaken(t *testing.T, p *project, _ map[string]string) {
	t.Helper()
	if p.states()["traefik-1"] != "" {
		p.exec("traefik", "test", "-S", "/var/run/docker.sock")
	}
	testkit.Eventually(t, "the password", func() bool {
		return p.s.Try(t, "exec", p.container("db"), "cat", "/var/lib/postgresql/data/PG_VERSION").Out() == "from db_password"
	})
}
