package system

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// newSecret makes a secret from value and returns its name; it is removed at the test's end.
func newSecret(t *testing.T, s *testkit.Store, value string, flags ...string) string {
	t.Helper()
	name := strings.NewReplacer("/", "-").Replace(strings.ToLower(t.Name())) + "-secret"
	path := filepath.Join(dir(t), "value")
	if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Must(t, append(append([]string{"secret", "create", "--replace"}, flags...), name, path)...)
	t.Cleanup(func() { s.Try(t, "secret", "rm", "-i", name) })
	return name
}

// flag: run, create --secret
func TestSecretsInside(t *testing.T) {
	t.Parallel()
	name := newSecret(t, shared, "the value")
	for what, c := range map[string]struct{ flag, script, want string }{
		"plain":    {name, "cat /run/secrets/" + name + "; stat -c ' %a %u:%g' /run/secrets/" + name, "the value 444 0:0"},
		"tmpfs":    {name, `awk '$2=="/run/secrets"{print $3}' /proc/mounts; touch /run/secrets/x 2>/dev/null || echo ro`, "tmpfs\nro"},
		"target":   {name + ",target=other", "cat /run/secrets/other", "the value"},
		"absolute": {name + ",target=/etc/deep/key,uid=3,gid=4,mode=0400", "cat /etc/deep/key; stat -c ' %a %u:%g' /etc/deep/key", "the value 400 3:4"},
		"nested":   {name + ",target=a/b", "cat /run/secrets/a/b", "the value"},
		"env":      {name + ",type=env,target=KEY", `echo "$KEY"; ls /run/secrets 2>/dev/null || true`, "the value"},
	} {
		want(t, what, inside(t, c.script, "--secret", c.flag), c.want)
	}
	want(t, "with a read-only root", inside(t, "cat /run/secrets/"+name, "--secret", name, "--read-only"), "the value")
	want(t, "in a user namespace of its own", inside(t, "cat /run/secrets/"+name+"; stat -c ' %u:%g' /run/secrets/"+name, "--secret", name+",uid=5", "--userns", "keep-id"), "the value 5:0")
	want(t, "two", inside(t, "cat /run/secrets/a /run/secrets/b", "--secret", name+",target=a", "--secret", name+",target=b"), "the valuethe value")
	for flag, text := range map[string]string{name + ",foo=1": `no option "foo"`, name + ",type=x": "x", "nope": `no secret "nope"`, name + ",type=env,mode=1": "a variable has none"} {
		shared.MustFail(t, 125, text, "run", "--rm", "--secret", flag, testkit.Image, "true")
	}
	shared.MustFail(t, 125, "same target", "run", "--rm", "--secret", name, "--secret", name, testkit.Image, "true")
	shared.MustFail(t, 125, "hides a secret", "run", "--rm", "--secret", name, "--tmpfs", "/run/secrets", testkit.Image, "true")
}

// The value is in the secret's own file and in the container's memory, and nowhere else: in no record, list, configuration,
// layer, process list or run-time file, while the container runs, after it was started again, and when it is stopped.
//
// flag: run, create --secret
// flag: secret create --driver --label
func TestSecretIsNowhereElse(t *testing.T) {
	t.Parallel()
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	const value = "hush-4711-hush"
	name := newSecret(t, s, value)
	s.Must(t, "run", "-d", "--name", "c", "--network", "none", "--restart", "always", "--secret", name, "--secret", name+",type=env,target=KEY",
		"--secret", name+",target=/elsewhere", "--health-cmd", "true", testkit.Image, "sh", "-c", `[ "$KEY" = "`+value[:4]+`"-4711-hush ] && [ -s /run/secrets/`+name+` ] && [ -s /elsewhere ] && while ! [ -e /end ]; do sleep 0.1; done; rm /end`)
	want(t, "the first process has it", s.Must(t, "exec", "c", "sh", "-c", `tr '\0' '\n' </proc/1/environ | grep -c KEY=`), "1")
	own := "secrets/ids/"
	nowhere := func(when string) {
		t.Helper()
		for _, root := range []string{s.Data, s.Run} {
			out, _ := exec.Command(s.Bin, "unshare", "grep", "-rlaF", value, root).Output()
			for _, file := range strings.Fields(string(out)) {
				if !strings.Contains(file, own) {
					t.Errorf("%s: %s holds the value", when, file)
				}
			}
		}
		for _, args := range [][]string{{"inspect", "c"}, {"ps", "-a", "--no-trunc", "--format", "json"}, {"secret", "inspect", name}, {"secret", "ls", "--format", "json"}, {"events", "--stream=false"}} {
			if r := s.Try(t, args...); strings.Contains(r.Stdout+r.Stderr, value) {
				t.Errorf("%s: wherry %s shows the value", when, strings.Join(args, " "))
			}
		}
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range lines {
			if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), value) {
				t.Errorf("%s: the command line %q holds the value", when, data)
			}
		}
	}
	nowhere("while it runs")
	want(t, "exec has no secret variables", s.Must(t, "exec", "c", "sh", "-c", `echo "${KEY-none}"`), "none")
	s.Must(t, "restart", "-t", "0", "c")
	nowhere("started again")
	// The monitor starts it again by itself.
	before := s.Must(t, "inspect", "--format", "{{.State.Pid}}", "c")
	s.Must(t, "exec", "c", "touch", "/end")
	testkit.Eventually(t, "restart by the policy", func() bool {
		pid := s.Try(t, "inspect", "--format", "{{.State.Running}} {{.State.Pid}}", "c").Out()
		return strings.HasPrefix(pid, "true") && !strings.HasSuffix(pid, " "+before)
	})
	nowhere("restarted by its policy")
	want(t, "it still has it", s.Must(t, "exec", "c", "sh", "-c", `tr '\0' '\n' </proc/1/environ | grep -c KEY=`), "1")
	for _, cmd := range [][]string{{"commit", "c", "committed"}, {"export", "-o", s.Data + "/c.tar", "c"}} {
		if r := s.Try(t, cmd...); r.Code != 0 {
			t.Errorf("%v: %s", cmd, r.Stderr)
		}
	}
	nowhere("committed and exported")
	s.Must(t, "stop", "-t", "0", "c")
	nowhere("stopped")
	s.Must(t, "rm", "c")
	s.Must(t, "secret", "rm", name)
	own = "nothing"
	nowhere("after secret rm")
}

// flag: secret create --env --label --replace --ignore --driver --driver-opts
// flag: secret ls --filter --format --noheading --quiet
// flag: secret inspect --format --pretty --showsecret
// flag: secret rm --all --ignore
// flag: secret exists
func TestSecretCommands(t *testing.T) {
	t.Parallel()
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	path := file(t, "value", "from file")
	id := s.Must(t, "secret", "create", "--label", "a=b", "one", path)
	if len(id) != 25 {
		t.Errorf("id: %q", id)
	}
	s.With("SECRET_VALUE=from env").Must(t, "secret", "create", "--env", "two", "SECRET_VALUE")
	show := func(name string) string {
		return s.Must(t, "secret", "inspect", "--showsecret", "--format", "{{.SecretData}}", name)
	}
	want(t, "from a file", show("one"), "from file")
	want(t, "by the beginning of its id", show(id[:8]), "from file")
	want(t, "from the environment", show("two"), "from env")
	want(t, "not without --showsecret", s.Must(t, "secret", "inspect", "--format", "{{.SecretData}}|{{.Spec.Name}}|{{.Spec.Driver.Name}}|{{.Spec.Labels.a}}", "one"), "|one|file|b")
	s.MustFail(t, 125, "use --replace", "secret", "create", "one", path)
	want(t, "ignore", s.Must(t, "secret", "create", "--ignore", "one", file(t, "v2", "second")), id)
	want(t, "it is as it was", show("one"), "from file")
	if again := s.Must(t, "secret", "create", "--replace", "one", file(t, "v2", "second")); again == id {
		t.Error("--replace kept the id")
	}
	want(t, "replaced", show("one"), "second")
	want(t, "one record each", strings.Join(entries(s.Data+"/secrets/names"), " "), "one two")
	if left := entries(s.Data + "/secrets/ids"); len(left) != 2 {
		t.Errorf("the old value is still there: %v", left)
	}
	for _, f := range []struct{ filter, want string }{{"name=on", "one"}, {"label=a=b", ""}, {"driver=file", "one two"}, {"name=tw", "two"}} {
		want(t, f.filter, strings.Join(strings.Fields(s.Must(t, "secret", "ls", "--format", "{{.Name}}", "--filter", f.filter)), " "), f.want)
	}
	if lines := strings.Split(s.Must(t, "secret", "ls", "-n"), "\n"); len(lines) != 2 {
		t.Errorf("ls -n: %q", lines)
	}
	if pretty := s.Must(t, "secret", "inspect", "--pretty", "two"); !strings.Contains(pretty, "Name:            two") {
		t.Errorf("pretty: %q", pretty)
	}
	for dir, mode := range map[string]os.FileMode{"secrets": 0o700, "secrets/ids": 0o700, "secrets/names": 0o700} {
		if info, err := os.Stat(filepath.Join(s.Data, dir)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", dir, info.Mode(), err)
		}
	}
	values, _ := filepath.Glob(s.Data + "/secrets/ids/*/data")
	for _, value := range values {
		if info, err := os.Stat(value); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", value, info.Mode(), err)
		}
	}
	s.MustFail(t, 125, "0 bytes", "secret", "create", "empty", file(t, "empty", ""))
	s.MustFail(t, 125, "1 to 512000", "secret", "create", "big", file(t, "big", strings.Repeat("x", 512001)))
	s.MustFail(t, 125, "may hold only", "secret", "create", "../x", path)
	s.MustFail(t, 125, "not set", "secret", "create", "--env", "x", "NO_SUCH_VARIABLE")
	s.MustFail(t, 1, `did you mean "one"`, "secret", "rm", "ones")
	s.Must(t, "secret", "rm", "--ignore", "ones", "one")
	if code := s.Try(t, "secret", "exists", "one").Code; code != 1 {
		t.Errorf("exists: %d", code)
	}
	s.Must(t, "secret", "exists", "two")
	s.Must(t, "secret", "rm", "--all")
	want(t, "after rm --all", strings.Join(append(entries(s.Data+"/secrets/ids"), entries(s.Data+"/secrets/names")...), " "), "")
}

// flag: secret create --driver --driver-opts
func TestSecretDrivers(t *testing.T) {
	t.Parallel()
	base, path := dir(t), file(t, "value", "kept elsewhere")
	show := func(name string) string {
		return shared.Must(t, "secret", "inspect", "--showsecret", "--format", "{{.SecretData}}", name)
	}
	name := shared.Name(t)
	t.Cleanup(func() { shared.Try(t, "secret", "rm", "-i", name, name+"2", name+"3") })
	id := shared.Must(t, "secret", "create", "--driver-opts", "path="+base+"/own", name, path)
	if info, err := os.Stat(base + "/own/" + id); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file driver with a path: %v", err)
	}
	want(t, "path", show(name), "kept elsewhere")
	shared.Must(t, "secret", "rm", name)
	want(t, "after rm", strings.Join(entries(base+"/own"), " "), "")

	at := base + "/shell.$SECRET_ID"
	id = shared.Must(t, "secret", "create", "--driver", "shell", "--driver-opts", "list=true", "--driver-opts", "store=cat >"+at, "--driver-opts", "lookup=cat "+at, "--driver-opts", "delete=rm -f "+at, name+"2", path)
	want(t, "shell", show(name+"2"), "kept elsewhere")
	want(t, "in a container", inside(t, "cat /run/secrets/x", "--secret", name+"2,target=x"), "kept elsewhere")
	shared.Must(t, "secret", "rm", name+"2")
	if _, err := os.Stat(base + "/shell." + id); err == nil {
		t.Error("the shell driver's delete was not run")
	}
	shared.MustFail(t, 125, "needs --driver-opts lookup=COMMAND", "secret", "create", "--driver", "shell", name+"2", path)
	shared.MustFail(t, 125, "no such place", "secret", "create", "--driver", "shell", "--driver-opts", "list=true", "--driver-opts", "store=echo no such place >&2; exit 3", "--driver-opts", "lookup=false", "--driver-opts", "delete=true", name+"2", path)
	shared.MustFail(t, 125, `no option "foo"`, "secret", "create", "--driver-opts", "foo=bar", name+"2", path)
	if shared.Try(t, "secret", "exists", name+"2").Code == 0 {
		t.Error("a secret whose value could not be stored is there")
	}
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("no gpg here for the pass driver")
	}
	home := filepath.Join(base, "gnupg")
	os.Mkdir(home, 0o700)
	if out, err := exec.Command("gpg", "--homedir", home, "--batch", "--passphrase", "", "--quick-gen-key", "test@example.com").CombinedOutput(); err != nil {
		t.Skipf("gpg makes no key here: %s", out)
	}
	id = shared.Must(t, "secret", "create", "--driver", "pass", "--driver-opts", "root="+base+"/store", "--driver-opts", "key=test@example.com", "--driver-opts", "gpghomedir="+home, name+"3", path)
	if data, err := os.ReadFile(base + "/store/" + id + ".gpg"); err != nil || strings.Contains(string(data), "elsewhere") {
		t.Errorf("the pass driver's file: %v", err)
	}
	want(t, "pass", show(name+"3"), "kept elsewhere")
}

// A replaced secret has its new value at the next start; a removed one is an error that names it.
func TestSecretsAreReadAtEachStart(t *testing.T) {
	t.Parallel()
	name, sec := shared.Name(t), newSecret(t, shared, "first")
	shared.Must(t, "create", "--name", name, "--network", "none", "--secret", sec+",target=x", testkit.Image, "cat", "/run/secrets/x")
	want(t, "first", shared.Must(t, "start", "-a", name), "first")
	shared.Must(t, "secret", "create", "--replace", sec, file(t, "v", "second"))
	want(t, "second", shared.Must(t, "start", "-a", name), "second")
	shared.Must(t, "secret", "rm", sec)
	shared.MustFail(t, 125, "no secret", "start", "-a", name)
}
