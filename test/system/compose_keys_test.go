package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// Secrets and configurations come from files, variables, the Compose file itself and the store, with the mode that is asked for.
func TestComposeSecretsAndConfigs(t *testing.T) {
	t.Parallel()
	p := newProject(t, "compose.yaml", `
services:
  app:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    secrets:
      - from_file
      - {source: from_env, target: other, uid: "1000", gid: "1000", mode: 0400}
      - {source: stored, target: /etc/stored}
      - renamed
    configs:
      - {source: inline, target: /etc/inline.conf, mode: 0440}
      - {source: from_file, target: /etc/file.conf}
      - plain
secrets:
  from_file: {file: ./secret.txt}
  from_env: {environment: TOKEN}
  stored: {external: true}
  renamed: {external: true, name: "${STORED}"}
configs:
  inline: {content: "value=${TOKEN}\n"}
  from_file: {file: ./file.conf}
  plain: {content: plain}
`, "secret.txt", "of a file\n", "file.conf", "conf\n", ".env", "TOKEN=s3cret\nSTORED=stored2\n")
	p.write("value", "of the store")
	p.fails(1, `external secret "stored" does not exist`, "up", "-d")
	for _, name := range []string{"stored", "stored2"} {
		p.s.Must(t, "secret", "create", name, filepath.Join(p.dir, "value"))
		t.Cleanup(func() { p.s.Try(t, "secret", "rm", name) })
	}
	p.must("up", "-d")
	for path, want := range map[string]string{
		"/run/secrets/from_file": "of a file",
		"/run/secrets/other":     "s3cret",
		"/etc/stored":            "of the store",
		"/run/secrets/renamed":   "of the store",
		"/etc/inline.conf":       "value=s3cret",
		"/etc/file.conf":         "conf",
		"/plain":                 "plain",
	} {
		if got := p.exec("app", "cat", path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]string{"/run/secrets/other": "400 1000:1000", "/etc/inline.conf": "440 0:0", "/etc/stored": "444 0:0"} {
		if got := p.exec("app", "stat", "-c", "%a %u:%g", path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if r := p.s.Try(t, "exec", p.container("app"), "sh", "-c", "echo x >/run/secrets/from_file"); r.Code == 0 {
		t.Error("a secret of a file can be written")
	}
	if out := p.s.Must(t, "inspect", p.container("app")); strings.Contains(out, "of the store") {
		t.Error("inspect shows the value of a secret of the store")
	}
}

// Services meet on the networks they share, and only there, under their names and aliases and with the addresses they asked for.
func TestComposeNetworks(t *testing.T) {
	t.Parallel()
	ext := projectName(t) + "-outside"
	p := newProject(t, `
x-sleeper: &sleeper {image: busybox, command: sleep 1000, stop_grace_period: 0s}
services:
  proxy:
    <<: *sleeper
    networks: [front, outside]
  app:
    <<: *sleeper
    networks:
      front: {aliases: [www, api.example]}
      back: {ipv4_address: 10.213.7.10}
  db:
    <<: *sleeper
    hostname: dbhost
    links: ["app:linked"]
    networks: [back]
  alone:
    <<: *sleeper
    network_mode: none
  inside:
    <<: *sleeper
    network_mode: "service:app"
networks:
  front: {driver: bridge, labels: {made: here}}
  back:
    internal: true
    ipam: {config: [{subnet: 10.213.7.0/24, gateway: 10.213.7.1}]}
  outside: {external: true, name: `+ext+`}
`)
	p.fails(1, ext, "up", "-d")
	p.s.Must(t, "network", "create", ext)
	t.Cleanup(func() { p.s.Try(t, "network", "rm", "-f", ext) })
	p.must("up", "-d")
	for _, name := range []string{"www", "api.example", "app"} {
		p.exec("proxy", "nslookup", name)
	}
	if got := p.exec("app", "ip", "-4", "-o", "addr"); !strings.Contains(got, "10.213.7.10/24") {
		t.Error("addresses of app:", got)
	}
	if got := p.exec("db", "nslookup", "app"); !strings.Contains(got, "10.213.7.10") {
		t.Error("app as db sees it:", got)
	}
	p.exec("db", "grep", "10.213.7.10.*linked", "/etc/hosts")
	if r := p.s.Try(t, "exec", p.container("proxy"), "nslookup", "db"); r.Code == 0 {
		t.Error("proxy finds db, on a network that it is not on:", r.Stdout)
	}
	if got := p.exec("db", "hostname"); got != "dbhost" {
		t.Error("hostname of db:", got)
	}
	if got := p.exec("alone", "ip", "-o", "link"); strings.Count(got, "\n") != 0 {
		t.Error("links of a container without a network:", got)
	}
	if p.exec("inside", "ip", "-4", "-o", "addr") != p.exec("app", "ip", "-4", "-o", "addr") {
		t.Error("network_mode: service:app has other addresses")
	}
	if got := p.s.Must(t, "network", "inspect", "-f", "{{.Labels.made}}", p.name+"_front"); got != "here" {
		t.Error("label of front:", got)
	}
	p.must("down", "-t", "0")
	p.s.Must(t, "network", "inspect", ext) // it is not ours to remove
}

// Keys of a service that say how its container is to be.
func TestComposeServiceKeys(t *testing.T) {
	t.Parallel()
	p := newProject(t, "compose.yaml", `
services:
  a:
    image: busybox
    container_name: `+projectName(t)+`-given
    entrypoint: ["sh", "-c"]
    command: ["trap 'exit 0' QUIT; while true; do sleep 0.05; done"]
    hostname: thehost
    user: "1000:1000"
    group_add: ["29"]
    working_dir: /tmp
    environment: [FROM_LIST=1, PASSED]
    env_file: [a.env, {path: gone.env, required: false}]
    labels: {com.example.a: "1"}
    annotations: {org.example.b: "2"}
    stop_signal: SIGQUIT
    stop_grace_period: 5s
    cap_drop: [ALL]
    cap_add: [NET_BIND_SERVICE]
    read_only: true
    tmpfs: ["/scratch:size=1m,mode=1777"]
    shm_size: 8m
    ulimits: {nofile: {soft: 100, hard: 200}, core: 0}
    sysctls: {net.ipv4.ip_unprivileged_port_start: 0}
    dns: [192.0.2.53]
    dns_search: [example.test]
    dns_opt: ["ndots:3"]
    extra_hosts: ["db.example:192.0.2.7"]
    oom_score_adj: 300
    pids_limit: 0
    ipc: private
    security_opt: ["no-new-privileges:true"]
    init: true
    restart: unless-stopped
    logging: {driver: json-file, options: {max-size: 1m, tag: t}}
    volumes:
      - ./dir:/dir:ro
      - {type: bind, source: ./made, target: /made, bind: {create_host_path: true}}
      - {type: tmpfs, target: /t2, tmpfs: {size: 65536}}
      - {type: volume, source: v, target: /v, volume: {subpath: sub}}
    healthcheck: {disable: true}
    expose: ["9000"]
    mac_address: 02:42:ac:11:65:43
volumes:
  v: {labels: {kind: test}}
`, "a.env", "FROM_FILE=2\n", "dir/f", "x")
	given := projectName(t) + "-given"
	p.s.Must(t, "volume", "create", "--label", "com.docker.compose.project="+p.name, "--label", "com.docker.compose.volume=v", p.name+"_v")
	p.s.Must(t, "run", "--rm", "-v", p.name+"_v:/v", "busybox", "mkdir", "/v/sub")
	p.s = shared.With("PASSED=3")
	if r := p.try("up", "-d"); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	in := func(command string) string { return p.s.Must(t, "exec", given, "sh", "-c", command) }
	for _, c := range []struct{ command, want string }{
		{"hostname", "thehost"},
		{"id -u; id -G", "1000\n1000 29"},
		{"pwd", "/tmp"},
		{"echo $FROM_LIST $FROM_FILE $PASSED", "1 2 3"},
		{"cat /proc/1/comm", "init"},
		{"grep CapBnd /proc/self/status | cut -f2", "0000000000000400"},
		{"grep NoNewPrivs /proc/self/status | cut -f2", "1"},
		{"ulimit -Sn; ulimit -Hn; ulimit -c", "100\n200\n0"},
		{"cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
		{"grep -c 'search example.test\\|options ndots:3' /etc/resolv.conf", "2"},
		{"grep -c '192.0.2.7.*db.example' /etc/hosts", "1"},
		{"cat /proc/1/oom_score_adj", "300"},
		{"grep ' /dev/shm ' /proc/mounts | grep -o size=[0-9]*k", "size=8192k"},
		{"grep ' /scratch ' /proc/mounts | grep -o size=[0-9]*k", "size=1024k"},
		{"grep ' /t2 ' /proc/mounts | grep -o size=[0-9]*k", "size=64k"},
		{"touch /x 2>/dev/null || echo read-only", "read-only"},
		{"touch /dir/x 2>/dev/null || echo read-only", "read-only"},
		{"cat /dir/f", "x"},
		{"grep -q ' /v ' /proc/mounts && ls -d /v/sub 2>/dev/null || echo below", "below"},
		{"cat /sys/class/net/eth0/address", "02:42:ac:11:65:43"},
	} {
		if got := in(c.command); got != c.want {
			t.Errorf("%s: %q, want %q", c.command, got, c.want)
		}
	}
	if info, err := os.Stat(filepath.Join(p.dir, "made")); err != nil || !info.IsDir() {
		t.Error("the source of a bind mount was not made:", err)
	}
	for format, want := range map[string]string{
		`{{index .Config.Labels "com.example.a"}}`:          "1",
		`{{.HostConfig.RestartPolicy.Name}}`:                "unless-stopped",
		`{{index .HostConfig.LogConfig.Config "max-size"}}`: "1m",
		`{{.Config.StopSignal}}`:                            "SIGQUIT",
	} {
		if got := p.s.Must(t, "inspect", "-f", format, given); !strings.EqualFold(got, want) {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
	p.must("stop")
	if code := p.s.Must(t, "inspect", "-f", "{{.State.ExitCode}}", given); code != "0" {
		t.Error("stop_signal SIGQUIT: exit", code)
	}
}

// A project may be of many files, with profiles, extends, include, variables and their defaults.
func TestComposeFiles(t *testing.T) {
	t.Parallel()
	p := newProject(t, "compose.yaml", `
include: [./more/compose.yaml]
services:
  web:
    extends: {file: common.yaml, service: base}
    environment: {LEVEL: "${LEVEL:-info}", NAME: "${NAME:?a name is needed}", TWO: "$${not}"}
  debug:
    extends: web
    profiles: [debug]
`, "common.yaml", `
services:
  base: {image: "${IMAGE}", command: sleep 1000, stop_grace_period: 0s, labels: {from: base}}
`, "more/compose.yaml", `
services:
  included: {image: "${IMAGE}", command: sleep 1000, stop_grace_period: 0s, env_file: [here.env]}
`, "more/.env", "IMAGE=busybox\n", "more/here.env", "IN=more\n", "override.yaml", `
services:
  web: {environment: {LEVEL: debug}, labels: !reset null}
`, ".env", "IMAGE=busybox\nNAME=test\n", "prod.env", "IMAGE=busybox\nNAME=prod\nLEVEL=warn\n")
	env := func(service string) string { return p.exec(service, "sh", "-c", "echo $LEVEL $NAME $TWO") }
	p.must("up", "-d")
	p.want("web-1=running", "included-1=running")
	if got := env("web"); got != "info test ${not}" {
		t.Error("variables:", got)
	}
	if got := p.exec("included", "sh", "-c", "echo $IN"); got != "more" {
		t.Error("env_file of an included file:", got)
	}
	p.must("--profile", "debug", "up", "-d")
	p.want("web-1=running", "included-1=running", "debug-1=running")
	if got := p.inspect("debug", `{{.Config.Labels.from}}`); got != "base" {
		t.Error("extends of extends:", got)
	}
	p.must("--env-file", filepath.Join(p.dir, "prod.env"), "-f", filepath.Join(p.dir, "compose.yaml"), "-f", filepath.Join(p.dir, "override.yaml"), "up", "-d", "web")
	if got := env("web"); got != "debug prod ${not}" {
		t.Error("with --env-file and a second file:", got)
	}
	if got := p.inspect("web", `{{json .Config.Labels}}`); strings.Contains(got, "base") {
		t.Error("a label that is !reset:", got)
	}
	p.write(".env", "IMAGE=busybox\n")
	p.fails(1, "a name is needed", "config")
}

// Restart policies, whichever way they are said, bring a service back.
func TestComposeRestart(t *testing.T) {
	t.Parallel()
	p := newProject(t, `
services:
  always: {image: busybox, command: sleep 1000, restart: always, stop_grace_period: 0s}
  tries: {image: busybox, command: "false", restart: "on-failure:2"}
  deployed: {image: busybox, command: "false", deploy: {restart_policy: {condition: on-failure, max_attempts: 1}}}
`)
	p.must("up", "-d")
	testkit.Eventually(t, "the last try", func() bool {
		return p.inspect("tries", "{{.RestartCount}} {{.State.Status}}") == "2 exited" && p.inspect("deployed", "{{.RestartCount}} {{.State.Status}}") == "1 exited"
	})
	pid := p.inspect("always", "{{.State.Pid}}")
	p.s.Must(t, "unshare", "kill", "-9", pid)
	testkit.Eventually(t, "the restart", func() bool {
		now := p.inspect("always", "{{.State.Pid}}")
		return now != pid && now != "0"
	})
}
