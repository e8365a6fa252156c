package system

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// confStore is the shared store with a containers.conf of the test's own.
func confStore(t *testing.T, text string) *testkit.Store {
	t.Helper()
	return shared.With("CONTAINERS_CONF=" + file(t, "containers.conf", text))
}

// What containers.conf sets takes effect inside, and what the command line says goes before it.
func TestContainersConf(t *testing.T) {
	t.Parallel()
	s := confStore(t, `
[containers]
env = ["A=conf", "B=conf"]
default_ulimits = ["nofile=100:200"]
volumes = ["/usr:/fromconf:ro"]
tmpfs = []
annotations = ["x=conf", "y=conf"]
default_capabilities = ["CHOWN", "KILL"]
default_sysctls = ["net.core.somaxconn=55"]
umask = "0077"
init = true
shm_size = "3m"
container_name_as_hostname = true
log_driver = "none"
[engine]
stop_timeout = 3
`)
	script := "echo $A $B; ulimit -n; test -d /fromconf/bin && echo mounted; grep CapBnd /proc/self/status; umask; hostname; cat /proc/1/comm; " +
		"df /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2; cat /proc/sys/net/core/somaxconn"
	name := shared.Name(t)
	run := func(flags ...string) string {
		args := append([]string{"run", "--rm", "--network", "none", "--name", name}, flags...)
		return strings.Join(strings.Fields(s.Must(t, append(args, testkit.Image, "sh", "-c", script)...)), " ")
	}
	want(t, "the file's", run(), "conf conf 100 mounted CapBnd: 0000000000000021 0077 "+name+" init 3072 55")
	want(t, "the command line's", run("-e", "A=mine", "--ulimit", "nofile=150", "-v", "/tmp:/fromconf", "--cap-add", "SETUID", "--cap-drop", "KILL", "--umask", "0002",
		"--hostname", "other", "--init=false", "--shm-size", "2m", "--sysctl", "net.core.somaxconn=66"),
		"mine conf 150 CapBnd: 0000000000000081 0002 other sh 2048 66")
	s.Must(t, "create", "--name", name, "--annotation", "x=mine", testkit.Image, "true")
	want(t, "annotations, log driver and stop time", inspected(t, name, `{{.HostConfig.Annotations.x}} {{.HostConfig.Annotations.y}} {{.HostConfig.LogConfig.Type}} {{.Config.StopTimeout}}`), "mine conf none 3")
}

// What is set and means nothing is said where the user looks for such things.
func TestContainersConfIgnored(t *testing.T) {
	t.Parallel()
	r := confStore(t, "[engine]\nnum_locks = 5\n[network]\nfirewall_driver = \"iptables\"\n").Try(t, "info")
	if text := r.Stdout + r.Stderr; !strings.Contains(text, "engine.num_locks, network.firewall_driver") {
		t.Errorf("info does not name the keys: %s", text)
	}
}

// A second file goes over the first, and a change is seen at once.
//
// flag: (global) --module
func TestContainersConfOverride(t *testing.T) {
	t.Parallel()
	over := file(t, "over.conf", "[containers]\nenv = [\"A=over\"]\n")
	s := confStore(t, "[containers]\nenv = [\"A=base\"]\ntz = \"UTC\"\n").With("CONTAINERS_CONF_OVERRIDE=" + over)
	args := runArgs("echo $A")
	want(t, "override", s.Must(t, args...), "over")
	os.WriteFile(over, []byte("[containers]\nenv = [\"A=changed\", {append=true}]\n"), 0o644)
	want(t, "changed", s.Must(t, args...), "changed")
	os.Remove(over)
	s.MustFail(t, 125, "CONTAINERS_CONF_OVERRIDE: stat "+over, args...)
	home := dir(t)
	os.MkdirAll(filepath.Join(home, "containers/containers.conf.d"), 0o755)
	os.MkdirAll(filepath.Join(home, "containers/containers.conf.modules"), 0o755)
	os.WriteFile(filepath.Join(home, "containers/containers.conf"), []byte("[containers]\nenv = [\"A=user\", \"B=user\"]\n"), 0o644)
	os.WriteFile(filepath.Join(home, "containers/containers.conf.d/10.conf"), []byte("[containers]\nenv = [\"A=dropin\", {append=true}]\n"), 0o644)
	os.WriteFile(filepath.Join(home, "containers/containers.conf.modules/m.conf"), []byte("[containers]\nenv = [\"B=module\", {append=true}]\n"), 0o644)
	user := shared.With("XDG_CONFIG_HOME=" + home)
	want(t, "the user's own", user.Must(t, runArgs("echo $A $B")...), "dropin user")
	want(t, "with a module", user.Must(t, append([]string{"--module", "m.conf"}, runArgs("echo $A $B")...)...), "dropin module")
	user.MustFail(t, 125, "--module nosuch", append([]string{"--module", "nosuch"}, args...)...)
}

// A mistake in the file is one line that names the key.
func TestContainersConfErrors(t *testing.T) {
	t.Parallel()
	for text, wanted := range map[string]string{
		"[containers]\numask = \"99\"\n":              `containers.conf: containers.umask: "99"`,
		"[containers]\ntz = \"No/Where\"\n":           "knows no such time zone",
		"[containers]\ntz = 5\n":                      "containers.conf",
		"nonsense":                                    "containers.conf",
		"[containers]\ndefault_capabilities=[\"X\"]":  "containers.default_capabilities",
		"[containers]\nseccomp_profile=\"/nosuch\"\n": "containers.seccomp_profile",
		"[engine]\nruntime=\"nosuchruntime\"\n":       `OCI runtime "nosuchruntime" not found`,
	} {
		confStore(t, text).MustFail(t, 125, wanted, "run", "--rm", testkit.Image, "true")
	}
	want(t, "ps needs none of it", shared.With("CONTAINERS_CONF=/nosuch").Must(t, "ps", "-q", "--filter", "name=nosuchname"), "")
}

// Runtimes by name, by path and with flags; a container stays with the one it was started by.
//
// flag: (global) --runtime-flag
// flag: run, create --runtime
func TestRuntimesByName(t *testing.T) {
	t.Parallel()
	log := filepath.Join(dir(t), "log")
	os.WriteFile(log, nil, 0o666)
	os.Chmod(log, 0o666)
	runtime := file(t, "wrapped", "#!/bin/sh\necho \"$@\" >>"+log+"\nfor r in /usr/bin/crun /usr/sbin/crun /usr/local/bin/crun /usr/sbin/runc /usr/bin/runc; do test -x $r && exec $r \"$@\"; done\n")
	os.Chmod(runtime, 0o755)
	s := confStore(t, "[engine]\nruntime = \"mine\"\n[engine.runtimes]\nmine = [\"/nosuch\", \""+runtime+"\"]\ngone = [\"/nosuch\"]\n")
	name := shared.Name(t)
	s.Must(t, "run", "-d", "--network", "none", "--name", name, testkit.Image, "sleep", "1000")
	used := func() string { data, _ := os.ReadFile(log); return string(data) }
	if !strings.Contains(used(), name) && !strings.Contains(used(), "--bundle") {
		t.Errorf("the runtime named in containers.conf was not used: %q", used())
	}
	os.Truncate(log, 0)
	want(t, "exec", s.Must(t, "exec", name, "echo", "hi"), "hi")
	if !strings.Contains(used(), "exec") {
		t.Errorf("exec did not use it: %q", used())
	}
	os.Truncate(log, 0)
	shared.Must(t, "--runtime-flag", "debug", "run", "--rm", "--network", "none", "--runtime", runtime, testkit.Image, "true")
	if !strings.Contains(used(), "--debug") {
		t.Errorf("by path, with a flag: %q", used())
	}
	s.MustFail(t, 125, `OCI runtime "gone": containers.conf has it at /nosuch`, "run", "--rm", "--runtime", "gone", testkit.Image, "true")
	for _, other := range []string{"youki", "runsc", "kata-runtime"} {
		if r := shared.Try(t, "run", "--rm", "--network", "none", "--runtime", other, testkit.Image, "true"); r.Code != 0 && !strings.Contains(r.Stderr, `OCI runtime "`+other+`" not found`) {
			t.Errorf("--runtime %s: %d %s", other, r.Code, r.Stderr)
		}
	}
}

// hook writes a hook script, which appends its stage and what it reads to a file, and its description.
func hook(t *testing.T, stage string) (dirs, log string) {
	t.Helper()
	dirs, log = dir(t), filepath.Join(dir(t), "log")
	script := file(t, "hook.sh", "#!/bin/sh\nread -r state\nprintf '%s %s\\n' \"$1\" \"$state\" >>"+log+"\n")
	os.Chmod(script, 0o755)
	desc := map[string]any{"version": "1.0.0", "hook": map[string]any{"path": script, "args": []string{"hook", stage}},
		"when": map[string]any{"annotations": map[string]string{"^hooked$": "yes"}}, "stages": []string{stage}}
	data, _ := json.Marshal(desc)
	if err := os.WriteFile(filepath.Join(dirs, "10-test.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return dirs, log
}

// Hooks run at their stages with the state on standard input, for the containers they ask for.
//
// flag: (global) --hooks-dir
func TestOCIHooks(t *testing.T) {
	t.Parallel()
	for stage, status := range map[string][]string{"prestart": {"created", "creating"}, "createRuntime": {"created", "creating"}, "poststart": {"running"}, "poststop": {"stopped"}} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			dirs, log := hook(t, stage)
			name := shared.Name(t)
			shared.Must(t, "--hooks-dir", dirs, "run", "--network", "none", "--name", name+"-without", testkit.Image, "true")
			t.Cleanup(func() { shared.Try(t, "rm", "-f", name+"-without") })
			if data, err := os.ReadFile(log); err == nil {
				t.Fatalf("the hook ran for a container that it does not match: %s", data)
			}
			s := confStore(t, "[engine]\nhooks_dir = [\""+dirs+"\"]\n")
			s.Must(t, "run", "--network", "none", "--name", name, "--annotation", "hooked=yes", testkit.Image, "true")
			id := inspected(t, name, "{{.Id}}")
			var text string
			testkit.Eventually(t, "the hook's file", func() bool {
				data, _ := os.ReadFile(log)
				text = string(data)
				return strings.HasSuffix(text, "\n")
			})
			var state struct {
				ID, Status, Bundle string
				Annotations        map[string]string
			}
			got, document, _ := strings.Cut(text, " ")
			if err := json.Unmarshal([]byte(document), &state); err != nil {
				t.Fatalf("state on standard input: %v: %s", err, text)
			}
			known := false
			for _, st := range status {
				known = known || st == state.Status
			}
			if got != stage || state.ID != id || !known || state.Annotations["hooked"] != "yes" || state.Bundle == "" {
				t.Errorf("%s with %+v; want %s, id %s, status %v", got, state, stage, id, status)
			}
		})
	}
}

// A hook of the stage precreate changes the configuration; one that fails, or is broken, is an error in one line.
func TestOCIHookFailures(t *testing.T) {
	t.Parallel()
	dirs := dir(t)
	script := file(t, "hook.sh", "#!/bin/sh\nsed 's/\"HOSTNAME=[^\"]*\"/\"HOSTNAME=changed\"/'\n")
	os.Chmod(script, 0o755)
	desc := filepath.Join(dirs, "a.json")
	write := func(text string) { os.WriteFile(desc, []byte(text), 0o644) }
	run := append([]string{"--hooks-dir", dirs}, runArgs("echo $HOSTNAME")...)
	write(`{"version":"1.0.0","hook":{"path":"` + script + `"},"when":{"always":true},"stages":["precreate"]}`)
	want(t, "changed", shared.Must(t, run...), "changed")
	write(`{"version":"1.0.0","hook":{"path":"/bin/false"},"when":{"always":true},"stages":["precreate"]}`)
	shared.MustFail(t, 125, "OCI hook /bin/false, stage precreate", run...)
	write(`{"version":"1.0.0","hook":{"path":"/bin/false"},"when":{"always":true},"stages":["prestart"]}`)
	if r := shared.Try(t, run...); r.Code == 0 {
		t.Error("a prestart hook failed, and the container ran")
	}
	write(`{"version":"7"}`)
	shared.MustFail(t, 125, "OCI hooks", run...)
	want(t, "without a description", shared.Must(t, append([]string{"--hooks-dir", dir(t)}, runArgs("echo ok")...)...), "ok")
}
