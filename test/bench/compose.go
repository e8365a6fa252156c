package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// composeServices is how many services the project has.
const composeServices = 10

// composeProject writes the project for everybody to read, and returns its directory.
func composeProject(at places) (string, error) {
	var b strings.Builder
	b.WriteString("services:\n")
	for i := range composeServices {
		fmt.Fprintf(&b, "  s%d:\n    image: %s\n    command: sleep 1000\n    stop_grace_period: 0s\n", i, image)
		if i > 0 {
			fmt.Fprintf(&b, "    depends_on: [s%d]\n", (i-1)/3)
		}
		if i%3 == 0 {
			b.WriteString("    volumes: [\"data:/data\"]\n")
		}
	}
	b.WriteString("volumes: {data: {}}\n")
	dir := filepath.Join(at.dir, "bench-project")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(b.String()), 0o644)
}

// composeCmd is Compose with a project. For podman it is the same program in the form in which the docker command line runs
// it as its plugin: it goes to the service that DOCKER_HOST names.
func composeCmd(at places, p *peer, args ...string) []string {
	args = append([]string{"compose", "--project-directory", filepath.Join(at.dir, "bench-project")}, args...)
	if p.name == "wherry" {
		return p.cmd(args...)
	}
	script := `DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND=docker DOCKER_HOST=unix://` + podmanSocket + ` exec -a docker-compose "$0" "$@"`
	return append([]string{"bash", "-c", script, filepath.Join(at.tree, "bin/libexec/wherry/wherry-compose")}, args...)
}

const podmanSocket = `"$XDG_RUNTIME_DIR"/bench-podman.sock`

// composePrepare starts podman's service, and brings the project up once, or down.
func composePrepare(at places, args ...string) func(*peer) error {
	return func(p *peer) error {
		if _, err := composeProject(at); err != nil {
			return err
		}
		if p.name != "wherry" {
			service := `test -S ` + podmanSocket + ` || { podman system service -t 0 unix://` + podmanSocket + ` >/dev/null 2>&1 & }; ` +
				`for i in $(seq 100); do test -S ` + podmanSocket + ` && exit 0; sleep 0.05; done; exit 1`
			if _, err := p.do("bash", "-c", service); err != nil {
				return err
			}
		}
		_, err := p.do(composeCmd(at, p, args...)...)
		return err
	}
}

// composeRows bring a project of ten services up and take it down.
func composeRows(at places) []row {
	up, down := []string{"up", "-d"}, []string{"down"}
	compose := func(args []string) func(*peer, int) job {
		return func(p *peer, _ int) job { return once(composeCmd(at, p, args...)) }
	}
	undo := func(args []string) func(*peer, int) [][]string {
		return func(p *peer, _ int) [][]string { return [][]string{composeCmd(at, p, args...)} }
	}
	peers := []string{"wherry", "podman"}
	return []row{
		{name: "composeup", title: "compose up -d, 10 services", limit: time.Second, rounds: 5, peers: peers,
			prepare: composePrepare(at, down...), job: compose(up), after: undo(down), against: atMost(0.4, "podman")},
		{name: "composedown", title: "compose down, 10 services", limit: time.Second, rounds: 5, peers: peers,
			prepare: composePrepare(at, up...), job: compose(down), after: undo(up), against: atMost(0.4, "podman")},
	}
}
