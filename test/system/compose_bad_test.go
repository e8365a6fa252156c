package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Compose file that is wrong is told in one line: which file, which line of it, what is wrong. Nothing is made of it.
func TestComposeWrongFiles(t *testing.T) {
	t.Parallel()
	requireCompose(t)
	dir := t.TempDir()
	bomb := "x-a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'm'; c++ {
		bomb += "x-" + string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+",", 9) + "]\n"
	}
	for _, c := range []struct{ name, text, says string }{
		{"syntax", "services:\n  web:\n    image: busybox\n   command: x\n", "FILE:2: go-yaml load error"},
		{"tab", "services:\n\tweb:\n", "FILE:2: go-yaml"},
		{"key", "services:\n  web:\n    image: busybox\n    imgae: x\n", "FILE:4: services.web.imgae is not a key"},
		{"top", "servces:\n  web: {}\n", "FILE:1: servces is not a key"},
		{"type", "services:\n  web:\n    image: busybox\n    ports: 80\n", "FILE:4: services.web.ports must be a array"},
		{"port", "services:\n  web:\n    image: busybox\n    ports: [\"99999:80\"]\n", "invalid hostPort: 99999"},
		{"volume", "services:\n  web:\n    image: busybox\n    volumes: [db:/data]\n", `FILE:4: service "web" refers to undefined volume db`},
		{"network", "services:\n  web:\n    image: busybox\n    networks: [back]\n", `FILE:4: service "web" refers to undefined network back`},
		{"depends", "services:\n  web:\n    image: busybox\n    depends_on: [db]\n", `FILE:4: service "web" depends on undefined service "db"`},
		{"cycle", "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n", "dependency cycle detected"},
		{"nothing", "services:\n  web: {command: x}\n", `FILE:2: service "web" has neither an image nor a build context`},
		{"env", "services:\n  web: {image: x, env_file: gone.env}\n", "gone.env not found"},
		{"variable", "services:\n  web:\n    image: ${X:?say which}\n", "FILE:3: error while interpolating services.web.image: required variable X is missing a value: say which"},
		{"twice", "services:\n  web: {image: x}\n  web: {image: y}\n", `mapping key "web" already defined at line 2`},
		{"list", "- a\n", "FILE:1: yaml"},
		{"empty", "", "empty compose file"},
		{"bomb", bomb + "services: {web: {image: x, command: *l}}\n", "FILE: its aliases stand for more than 100000 values"},
		{"itself", "include: [FILE]\nservices: {web: {image: x}}\n", "include cycle detected"},
		{"condition", "services:\n  a:\n    image: x\n    depends_on:\n      b: {condition: ready}\n  b: {image: x}\n", "FILE:5: services.a.depends_on.b.condition value must be one of"},
		{"duration", "services:\n  a:\n    image: x\n    healthcheck:\n      interval: soon\n", `FILE:5: 'services[a].healthcheck.interval' time: invalid duration "soon"`},
		{"memory", "services:\n  a: {image: x, mem_limit: much}\n", "invalid size: 'much'"},
		{"bytes", "services: {a: {image: \"\xff\xfe\"}}\n", "invalid leading UTF-8"},
		{"zeros", strings.Repeat("\x00", 2000), "control characters are not allowed"},
		{"deep", strings.Repeat("[", 20000), "FILE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(dir, c.name+".yaml")
			if err := os.WriteFile(path, []byte(strings.ReplaceAll(c.text, "FILE", path)), 0o644); err != nil {
				t.Fatal(err)
			}
			shared.MustFail(t, 1, strings.ReplaceAll(c.says, "FILE", path), "compose", "-f", path, "up", "-d")
		})
	}
	shared.MustFail(t, 1, filepath.Join(dir, "gone.yaml"), "compose", "-f", filepath.Join(dir, "gone.yaml"), "up", "-d")
	shared.MustFail(t, 1, "no configuration file provided", "compose", "--project-directory", "/", "up")
	shared.MustFail(t, 1, `unknown command "wherry compose upp" (did you mean "up"?)`, "compose", "upp")
	shared.MustFail(t, 1, "unknown flag: --nope", "compose", "up", "--nope")
	shared.MustFail(t, 1, `no such service: nope`, "compose", "-f", write(t, dir, "fine.yaml", "services: {a: {image: busybox}}\n"), "up", "nope")
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// What the engine refuses of a Compose file names the service's container, and leaves nothing running.
func TestComposeRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, keys, says string }{
		{"image", "image: localhost:1/not/there", "localhost:1/not/there"},
		{"command", "command: /not/there", "/not/there"},
		{"device", "devices: [/dev/not-there]", "/dev/not-there"},
		{"capability", "cap_add: [FLY]", "FLY"},
		{"runtime", "runtime: warp", "warp"},
		{"mount", "volumes: [{type: bind, source: /not/there, target: /x, bind: {create_host_path: false}}]", "/not/there"},
		{"user", "user: nobody-here", "nobody-here"},
		{"sysctl", "sysctls: {kernel.panic: 1}", "kernel.panic"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			keys := c.keys
			if !strings.HasPrefix(keys, "image:") {
				keys = "image: busybox\n    " + keys
			}
			if !strings.Contains(keys, "command:") {
				keys += "\n    command: sleep 1000"
			}
			p := newProject(t, "services:\n  a:\n    stop_grace_period: 0s\n    "+keys+"\n")
			p.fails(1, c.says, "up", "-d", "--quiet-pull")
			for name, state := range p.states() {
				if state == "running" {
					t.Errorf("%s is running", name)
				}
			}
		})
	}
}
