package system

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// inside runs a shell script in a new container without network, and returns what it prints.
func inside(t *testing.T, script string, flags ...string) string {
	t.Helper()
	return shared.Must(t, runArgs(script, flags...)...)
}

func runArgs(script string, flags ...string) []string {
	args := append([]string{"run", "--rm", "--network", "none"}, flags...)
	return append(args, testkit.Image, "sh", "-c", script)
}

// want compares what a container saw with what it should see.
func want(t *testing.T, what, got, wanted string) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: got %q, want %q", what, got, wanted)
	}
}

// file writes a file of the test's own and returns its path. Containers under another user can read it.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(dir(t), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// dir is a directory of the test's own that containers under another user can enter. What they leave in it may belong
// to them, so it is removed from inside the user namespace.
func dir(t *testing.T) string {
	t.Helper()
	path, err := os.MkdirTemp("", "wherry-scenario.")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shared.Try(t, "unshare", "rm", "-rf", path) })
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// inspected is one container's inspect document, looked into by a template.
func inspected(t *testing.T, name, template string) string {
	t.Helper()
	return shared.Must(t, "inspect", "--format", template, name)
}

// What a flag is to show from inside the container.
//
// flag: run --env --env-file --workdir --user --group-add --hostname --init --ulimit --shm-size --read-only --tmpfs --oom-score-adj
// flag: run --umask --device --dns --dns-search --dns-option --add-host --tty
func TestFlagsSeenInside(t *testing.T) {
	t.Parallel()
	env := file(t, "env", "# comment\nFILE=from file\nCALLER\nBOTH=file\n")
	for name, c := range map[string]struct {
		flags        []string
		script, want string
	}{
		"env":               {[]string{"-e", "A=1,2", "--env", "B=x y", "-e", "CALLER", "-e", "UNSET"}, `echo "$A|$B|$CALLER|${UNSET-no}"`, "1,2|x y|caller's|no"},
		"env-file":          {[]string{"--env-file", env, "-e", "BOTH=flag"}, `echo "$FILE|$CALLER|$BOTH"`, "from file|caller's|flag"},
		"env-default":       {nil, `echo "$HOME|$HOSTNAME" | sed "s/$(hostname)/host/"; echo $PATH`, "/root|host\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		"env-not-inherited": {nil, `echo ${CALLER-no}`, "no"},
		"empty-values":      {[]string{"-w", "", "--name", "", "--hostname", "", "--user", "", "--umask", "", "--stop-signal", "", "--log-driver", ""}, "pwd; id -u; umask; hostname | wc -c", "/\n0\n0022\n13"},
		"workdir":           {[]string{"-w", "/var/log"}, "pwd", "/var/log"},
		"workdir-made":      {[]string{"-w", "/a/b c/d"}, "pwd; stat -c %u:%g:%a .", "/a/b c/d\n0:0:755"},
		"user-name":         {[]string{"--user", "user"}, "id -u; id -g; echo $HOME", "1000\n1000\n/home/user"},
		"user-uid":          {[]string{"-u", "4321"}, "id -u; id -g; echo $HOME", "4321\n0\n/"},
		"user-uid-gid":      {[]string{"-u", "4321:29"}, "id -u; id -g; id -G", "4321\n29\n29"},
		"user-name-group":   {[]string{"-u", "daemon:audio"}, "id -un; id -gn", "daemon\naudio"},
		"group-of-user":     {[]string{"-u", "user"}, "id -G", "1000 29"},
		"group-add":         {[]string{"-u", "1000:1000", "--group-add", "tty", "--group-add", "777"}, "id -G", "1000 5 777"},
		"hostname":          {[]string{"--hostname", "web.example"}, "hostname; cat /etc/hostname; grep -c web.example /etc/hosts", "web.example\nweb.example\n1"},
		"init":              {[]string{"--init"}, `tr '\0' ' ' </proc/1/cmdline | cut -d' ' -f1; echo $$`, "/dev/init\n2"},
		"ulimit":            {[]string{"--ulimit", "nofile=100:200", "--ulimit", "core=0"}, "ulimit -n; ulimit -Hn; ulimit -c", "100\n200\n0"},
		"shm-size":          {[]string{"--shm-size", "3m"}, "df -k /dev/shm | awk 'END{print $2}'", "3072"},
		"shm-default":       {nil, "df -k /dev/shm | awk 'END{print $2}'", "65536"},
		"read-only":         {[]string{"--read-only"}, "touch /x 2>/dev/null || echo no; touch /dev/shm/x && echo shm", "no\nshm"},
		"tmpfs":             {[]string{"--tmpfs", "/t:size=1m,mode=1770,uid=7"}, "stat -c %a:%u /t; df -k /t | awk 'END{print $2}'; awk '$2==\"/t\"{print $3}' /proc/mounts", "1770:7\n1024\ntmpfs"},
		"oom-score-adj":     {[]string{"--oom-score-adj", "321"}, "cat /proc/self/oom_score_adj", "321"},
		"umask":             {[]string{"--umask", "0077"}, "umask", "0077"},
		"umask-default":     {nil, "umask", "0022"},
		"device":            {[]string{"--device", "/dev/fuse:/dev/my"}, "stat -c %t,%T /dev/my", "a,e5"},
		"dns":               {[]string{"--dns", "192.0.2.1", "--dns", "2001:db8::1", "--dns-search", "a.example", "--dns-option", "ndots:3"}, "grep -v ^# /etc/resolv.conf", "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch a.example\noptions ndots:3"},
		"add-host":          {[]string{"--add-host", "db:192.0.2.7", "--add-host", "six:2001:db8::7"}, "grep -E 'db$|six$' /etc/hosts | tr '\\t' ' '", "192.0.2.7 db\n2001:db8::7 six"},
		"tty":               {[]string{"-t"}, "tty; echo $TERM", "/dev/pts/0\r\nxterm\r"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := shared.With("CALLER=caller's")
			want(t, name, store.Must(t, runArgs(c.script, c.flags...)...), c.want)
		})
	}
}

// flag: run --entrypoint
func TestEntrypoint(t *testing.T) {
	t.Parallel()
	tar := filepath.Join(filepath.Dir(shared.Data), "busybox.tar")
	image := "entry-" + strconv.Itoa(os.Getpid())
	shared.Must(t, "import", "--change", `ENTRYPOINT ["echo","entry"]`, "--change", `CMD ["cmd"]`, tar, image)
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", image) })
	run := func(args ...string) string {
		return shared.Must(t, append([]string{"run", "--rm", "--network", "none"}, args...)...)
	}
	want(t, "the image's", run(image), "entry cmd")
	want(t, "with arguments", run(image, "a", "b"), "entry a b")
	want(t, "replaced, which drops the command", run("--entrypoint", "echo", image), "")
	want(t, "replaced, with arguments", run("--entrypoint", "echo", image, "x"), "x")
	want(t, "a list", run("--entrypoint", `["echo","-n","list"]`, image, "x"), "list x")
	want(t, "dropped", run("--entrypoint", "", image, "echo", "bare"), "bare")
	shared.MustFail(t, 125, "no command given", "run", "--rm", "--entrypoint", "", image)
}

func TestLabels(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	labels := file(t, "labels", "# comment\nfrom=file\nboth=file\n")
	shared.Must(t, "create", "--name", name, "--label-file", labels, "-l", "both=flag", "--label", "bare", "--label", "eq=a=b", testkit.Image)
	var got map[string]string
	if err := json.Unmarshal([]byte(inspected(t, name, "{{json .Config.Labels}}")), &got); err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"from": "file", "both": "flag", "bare": "", "eq": "a=b"} {
		if have, ok := got[key]; !ok || have != value {
			t.Errorf("label %s is %q, want %q", key, have, value)
		}
	}
}

// flag: run --name --replace
func TestNameAndReplace(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	first := shared.Must(t, "run", "-d", "--name", name, "--network", "none", testkit.Image, "sleep", "1000")
	r := shared.MustFail(t, 125, "in use by "+first[:12], "run", "--rm", "--name", name, testkit.Image, "true")
	if !strings.Contains(r.Stderr, "--replace") {
		t.Errorf("the way out is not named: %s", r.Stderr)
	}
	second := shared.Must(t, "run", "-d", "--name", name, "--replace", "--network", "none", testkit.Image, "sleep", "1000")
	if first == second || shared.Try(t, "container", "exists", first).Code != 1 {
		t.Error("the first container is still there")
	}
	want(t, "owner of the name", inspected(t, name, "{{.Id}}"), second)
}

// flag: run --cidfile --pull
func TestCIDFile(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	path := filepath.Join(dir(t), "id")
	id := shared.Must(t, "create", "--name", name, "--cidfile", path, testkit.Image)
	data, _ := os.ReadFile(path)
	want(t, "content", string(data), id)
	shared.MustFail(t, 125, "exists", "create", "--cidfile", path, testkit.Image)
	failed := path + "2"
	shared.MustFail(t, 125, "not here", "create", "--pull", "never", "--cidfile", failed, "no-such-image")
	if _, err := os.Stat(failed); err == nil {
		t.Error("a create that failed leaves its --cidfile")
	}
}

func TestInitReapsAndForwards(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	// The orphan of a subshell becomes a child of process 1, the sleep that dies a zombie of it.
	shared.Must(t, "run", "-d", "--init", "--network", "none", "--name", name, testkit.Image, "sh", "-c",
		"trap 'echo got; exit 9' USR1; (sleep 0.01 & echo $! >/orphan); while :; do sleep 0.01; done")
	testkit.Eventually(t, "the orphan reaped", func() bool {
		return shared.Try(t, "exec", name, "sh", "-c", `test -s /orphan && ! test -e /proc/$(cat /orphan)`).Code == 0
	})
	shared.Must(t, "kill", "-s", "USR1", name)
	want(t, "exit code after the forwarded signal", shared.Must(t, "wait", name), "9")
	want(t, "what its child said", shared.Must(t, "logs", name), "got")
}

// --rm leaves nothing: no record, name, read-write layer, anonymous volume, run-time state.
func TestRmLeavesNothing(t *testing.T) {
	store, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	store.Must(t, "run", "--rm", "--name", "gone", "-v", "/anon", "-v", "kept:/named", testkit.Image, "sh", "-c", "echo x | tee /anon/f /named/f /f")
	testkit.Eventually(t, "everything gone", func() bool {
		left := 0
		for _, d := range []string{store.Data + "/containers", store.Data + "/names", store.Data + "/trash", store.Run + "/c", store.Run + "/runtime"} {
			left += len(entries(d))
		}
		return left == 0 && len(store.Monitors()) == 0
	})
	want(t, "volumes", strings.Join(entries(store.Data+"/volumes"), " "), "kept")
	want(t, "the named volume's content", store.Must(t, "run", "--rm", "-v", "kept:/v", testkit.Image, "cat", "/v/f"), "x")
}

func TestStopSignalAndTimeout(t *testing.T) {
	t.Parallel()
	t.Run("signal", func(t *testing.T) {
		t.Parallel()
		name := shared.Name(t)
		shared.Must(t, "run", "-d", "--stop-signal", "USR2", "--network", "none", "--name", name, testkit.Image, "sh", "-c",
			"trap 'exit 7' USR2; touch /ready; while :; do sleep 0.01; done")
		testkit.Eventually(t, "the trap set", func() bool { return shared.Try(t, "exec", name, "test", "-e", "/ready").Code == 0 })
		shared.Must(t, "stop", name)
		want(t, "exit code", inspected(t, name, "{{.State.ExitCode}}"), "7")
	})
	t.Run("timeout", func(t *testing.T) {
		t.Parallel()
		name := shared.Name(t)
		// Process 1 of a pid namespace does not see a TERM that it has no handler for.
		shared.Must(t, "run", "-d", "--stop-timeout", "0", "--network", "none", "--name", name, testkit.Image, "sleep", "1000")
		began := time.Now()
		shared.Must(t, "stop", name)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("stop took %s", took)
		}
		want(t, "exit code", inspected(t, name, "{{.State.ExitCode}}"), "137")
	})
}

// Flags of Docker and Podman that are not there yet say so by their own name.
// Flags that are known and do not work say so, or what to use in their place.
func TestFlagsThatAreRefused(t *testing.T) {
	t.Parallel()
	for flag, says := range map[string]string{"--pod": "is not there yet", "--rootfs": "import it", "--storage-opt": "--tmpfs",
		"--isolation": "Windows", "--use-api-socket": "no service"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			r := shared.MustFail(t, 125, flag, "run", "--rm", flag, "1", testkit.Image, "true")
			if !strings.Contains(r.Stderr, says) && !strings.Contains(r.Stderr, flag+" is not supported by wherry: ") {
				t.Errorf("%s: %s", flag, r.Stderr)
			}
		})
	}
}

// The main scenarios with the other runtime.
//
// flag: run --runtime
func TestRunc(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/usr/sbin/runc"); err != nil {
		if _, err := os.Stat("/usr/bin/runc"); err != nil {
			t.Skip("runc is not installed")
		}
	}
	name := shared.Name(t)
	want(t, "output", inside(t, "id -u; pwd; echo $A", "--runtime", "runc", "-e", "A=b", "-w", "/tmp", "-u", "user"), "1000\n/tmp\nb")
	want(t, "seccomp and capabilities", inside(t, statusScript, "--runtime", "runc"), defaultStatus)
	shared.MustFail(t, 127, "nope", "run", "--rm", "--runtime", "runc", testkit.Image, "nope")
	shared.MustFail(t, 126, "/etc/passwd", "run", "--rm", "--runtime", "runc", testkit.Image, "/etc/passwd")
	want(t, "exit code", strconv.Itoa(shared.Try(t, runArgs("exit 42", "--runtime", "runc")...).Code), "42")
	shared.Must(t, "run", "-d", "--runtime", "runc", "--name", name, "-v", name+":/etc", testkit.Image, "sleep", "1000")
	t.Cleanup(func() { shared.Try(t, "rm", "-f", name); shared.Try(t, "volume", "rm", name) })
	want(t, "exec", shared.Must(t, "exec", "-u", "user", name, "id", "-un"), "user")
	shared.Must(t, "stop", "-t", "0", name)
	want(t, "state", inspected(t, name, "{{.State.Status}} {{.State.ExitCode}}"), "exited 137")
	shared.Must(t, "start", name)
	shared.Must(t, "rm", "-f", name)
}
