package system

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// What a user may get wrong on the command line of run: one line that names the object and what to do.
func TestBadFlags(t *testing.T) {
	t.Parallel()
	base := dir(t)
	plain := file(t, "plain", "text")
	broken := file(t, "env", "OK=1\nA B=2\n")
	for name, c := range map[string]struct {
		want string
		args []string
	}{
		"v-too-many":       {`invalid -v "a:b:c:d"`, []string{"-v", "a:b:c:d"}},
		"v-empty":          {`invalid -v "": there is no target`, []string{"-v", ""}},
		"v-no-source":      {`the source is empty`, []string{"-v", ":/x"}},
		"v-relative":       {`the target "b" is not an absolute path`, []string{"-v", "/a:b"}},
		"v-option":         {`there is no option "bogus"`, []string{"-v", "/a:/b:bogus"}},
		"v-root":           {`the target cannot be /`, []string{"-v", "/a:/"}},
		"v-name":           {`the name "x y"`, []string{"-v", "x y:/a"}},
		"v-twice":          {`two mounts have the same target "/a"`, []string{"-v", "v:/a", "--tmpfs", "/a/"}},
		"v-below-file":     {"not a directory", []string{"-v", plain + "/sub:/x"}},
		"v-file-over-dir":  {`cannot mount file "` + plain + `" over "/etc"`, []string{"-v", plain + ":/etc"}},
		"v-dir-over-file":  {`cannot mount directory "` + base + `" over "/etc/passwd"`, []string{"-v", base + ":/etc/passwd"}},
		"mount-empty":      {`invalid --mount ""`, []string{"--mount", ""}},
		"mount-type":       {`there is no type "bnd"`, []string{"--mount", "type=bnd,target=/x"}},
		"mount-no-source":  {"a bind mount needs a source", []string{"--mount", "type=bind,target=/x"}},
		"mount-no-target":  {"there is no target", []string{"--mount", "type=bind,source=/x"}},
		"mount-key":        {`type tmpfs has no key "bogus"`, []string{"--mount", "type=tmpfs,target=/x,bogus=1"}},
		"mount-size":       {`size "x": a size looks like`, []string{"--mount", "type=tmpfs,target=/x,tmpfs-size=x"}},
		"tmpfs-option":     {`a tmpfs has no option "bogus"`, []string{"--tmpfs", "/x:bogus"}},
		"tmpfs-over-file":  {`cannot mount a tmpfs over "/etc/passwd"`, []string{"--tmpfs", "/etc/passwd"}},
		"tmpfs-size":       {"size=bogus is not a number", []string{"--tmpfs", "/x:size=bogus"}},
		"env-no-name":      {`invalid -e "=x"`, []string{"-e", "=x"}},
		"env-empty":        {`invalid -e ""`, []string{"-e", ""}},
		"env-file-missing": {"no such file", []string{"--env-file", base + "/none"}},
		"env-file-dir":     {"is a directory", []string{"--env-file", base}},
		"env-file-line":    {"line 2", []string{"--env-file", broken}},
		"label-file":       {"no such file", []string{"--label-file", base + "/none"}},
		"ulimit":           {`a limit looks like`, []string{"--ulimit", "nofile"}},
		"ulimit-number":    {`"x" is not a number`, []string{"--ulimit", "nofile=x"}},
		"ulimit-order":     {"above the hard limit", []string{"--ulimit", "nofile=5:3"}},
		"ulimit-name":      {`there is no limit "files"`, []string{"--ulimit", "files=5"}},
		"ulimit-session":   {"hard limit", []string{"--ulimit", "nofile=1:2000000000"}},
		"memory":           {"a size looks like", []string{"--memory", "x"}},
		"memory-negative":  {"a size looks like", []string{"--memory", "-1m"}},
		"memory-small":     {"the least is 6m", []string{"--memory", "1k"}},
		"memory-swap":      {"--memory-swap needs --memory", []string{"--memory-swap", "1g"}},
		"cpus":             {"a number of processors", []string{"--cpus", "many"}},
		"pids":             {"a number of processes", []string{"--pids-limit", "x"}},
		"seccomp-missing":  {"no such file", []string{"--security-opt", "seccomp=" + base + "/none"}},
		"seccomp-dir":      {"is a directory", []string{"--security-opt", "seccomp=" + base}},
		"seccomp-text":     {"the file is not JSON", []string{"--security-opt", "seccomp=" + plain}},
		"security-opt":     {"there is no such option", []string{"--security-opt", "bogus"}},
		"cap":              {`unknown capability "BOGUS"`, []string{"--cap-add", "BOGUS"}},
		"device":           {"no such file", []string{"--device", "/dev/none"}},
		"device-dir":       {"not a device", []string{"--device", base}},
		"workdir":          {"not an absolute path", []string{"-w", "rel"}},
		"workdir-file":     {`working directory "/etc/passwd" is a file`, []string{"-w", "/etc/passwd"}},
		"hostname":         {"a host name", []string{"--hostname", "a b"}},
		"name":             {`invalid --name "a/b"`, []string{"--name", "a/b"}},
		"cidfile":          {"no such file", []string{"--cidfile", base + "/none/id"}},
		"stop-signal":      {`unknown signal "BOGUS"`, []string{"--stop-signal", "BOGUS"}},
		"restart":          {"on-failure[:MAX]", []string{"--restart", "sometimes"}},
		"restart-rm":       {"do not go together", []string{"--restart", "always"}},
		"userns":           {"keep-id", []string{"--userns", "foo"}},
		"network":          {`there is no network "mine"`, []string{"--network", "mine"}},
		"dns":              {"not an IP address", []string{"--dns", "one.example"}},
		"add-host":         {"it looks like name:", []string{"--add-host", "x"}},
		"platform":         {"only linux images", []string{"--platform", "windows/amd64"}},
		"platform-never":   {"not for linux/s390x", []string{"--platform", "linux/s390x", "--pull", "never"}},
		"pull":             {"always, missing, never, newer", []string{"--pull", "sometimes"}},
		"runtime":          {`OCI runtime "nope" not found`, []string{"--runtime", "nope"}},
		"log-driver":       {`invalid --log-driver "bogus"`, []string{"--log-driver", "bogus"}},
		"log-opt":          {"max-size", []string{"--log-opt", "max-size=x"}},
		"unknown":          {`unknown flag "--nmae"`, []string{"--nmae", "x"}},
		"no-value":         {"--user", []string{"--user"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"run", "--rm"}, c.args...)
			if name != "no-value" {
				args = append(args, testkit.Image, "true")
			}
			shared.MustFail(t, 125, c.want, args...)
		})
	}
	t.Cleanup(func() {
		for _, row := range strings.Split(shared.Must(t, "ps", "-a", "--format", "{{.Status}} {{.Command}}"), "\n") {
			if strings.HasPrefix(row, "Created") && strings.Contains(row, "true") {
				t.Errorf("left behind: %s", row)
			}
		}
	})
}

// A limit whose controller is not there names it and says what to do.
func TestLimitWithoutController(t *testing.T) {
	t.Parallel()
	for controller, flag := range map[string][]string{"memory": {"--memory", "100m"}, "cpu": {"--cpus", "1"}, "pids": {"--pids-limit", "100"}} {
		t.Run(controller, func(t *testing.T) {
			t.Parallel()
			r := shared.Try(t, runArgs("true", flag...)...)
			if r.Code == 0 {
				t.Skip("the controller is there")
			}
			if r.Code != 125 || !strings.Contains(r.Stderr, flag[0]+` needs the cgroup controller "`+controller+`"`) || !strings.Contains(r.Stderr, "(") || strings.Count(r.Stderr, "\n") != 1 {
				t.Errorf("exit %d: %s", r.Code, r.Stderr)
			}
		})
	}
}

func TestUnknownObjects(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "create", "--name", name, testkit.Image)
	vol := volume(t)
	shared.Must(t, "volume", "create", vol)
	near, nearVol := name+"x", strings.Replace(vol, "unknown", "unkonwn", 1)
	for _, args := range [][]string{{"start", near}, {"stop", near}, {"rm", near}, {"logs", near}, {"exec", near, "true"}, {"inspect", near}, {"attach", near}, {"kill", near}, {"wait", near}, {"rename", near, "y"}} {
		r := shared.Try(t, args...)
		if (r.Code != 1 && r.Code != 125) || strings.Count(r.Stderr, "\n") != 1 || !strings.Contains(r.Stderr, `did you mean "`+name+`"`) {
			t.Errorf("%v: exit %d: %s", args, r.Code, r.Stderr)
		}
	}
	shared.MustFail(t, 1, `did you mean "`+vol+`"`, "volume", "rm", nearVol)
	shared.MustFail(t, 1, `did you mean "`+vol+`"`, "volume", "inspect", nearVol)
	shared.MustFail(t, 125, `did you mean "busybox"`, "run", "--pull", "never", "busybxo")
	shared.MustFail(t, 1, "busybxo", "rmi", "busybxo")
	for _, ref := range []string{"UPPER", "a//b", "a b", "-x", "a:b:c", "a@sha256:12"} {
		shared.MustFail(t, 125, "", "create", "--pull", "never", "--", ref)
	}
	shared.MustFail(t, 125, "lower case", "create", "UPPER")

	// A pull that fails says why, and which image here may have been meant.
	r := shared.Try(t, "run", "--rm", "--retry", "0", "localhost:1/busybxo")
	if r.Code != 125 || !strings.Contains(r.Stderr, "Error: ") {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
}

func TestAmbiguousID(t *testing.T) {
	t.Parallel()
	// With seventeen ids two begin with the same digit.
	first := map[byte]string{}
	var ids []string
	t.Cleanup(func() { shared.Try(t, append([]string{"rm", "-f"}, ids...)...) })
	for range 17 {
		id := shared.Must(t, "create", testkit.Image)
		ids = append(ids, id)
		if other, ok := first[id[0]]; ok {
			r := shared.MustFail(t, 1, "is ambiguous", "start", id[:1])
			if !strings.Contains(r.Stderr, "start with it") {
				t.Errorf("%s and %s: %s", id, other, r.Stderr)
			}
			return
		}
		first[id[0]] = id
	}
}

// What the container's command ends with is what run ends with.
func TestExitStatuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code int
		want string
		args []string
	}{
		"own":            {42, "", []string{"sh", "-c", "exit 42"}},
		"not-found":      {127, `"nope"`, []string{"nope"}},
		"no-such-file":   {127, "/no/such", []string{"/no/such"}},
		"not-executable": {126, "/etc/passwd", []string{"/etc/passwd"}},
		"directory":      {126, "/etc", []string{"/etc"}},
		"shell":          {127, "nope", []string{"sh", "-c", "nope"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := shared.Try(t, append([]string{"run", "--rm", "--network", "none", testkit.Image}, c.args...)...)
			if r.Code != c.code || !strings.Contains(r.Stderr, strings.Trim(c.want, `"`)) || strings.Count(r.Stderr, "\n") > 1 {
				t.Errorf("exit %d, want %d: %s", r.Code, c.code, r.Stderr)
			}
		})
	}
	t.Run("signal", func(t *testing.T) {
		t.Parallel()
		name := shared.Name(t)
		shared.Must(t, "run", "-d", "--init", "--network", "none", "--name", name, testkit.Image, "sleep", "1000")
		shared.Must(t, "kill", "-s", "HUP", name)
		want(t, "128+n", shared.Must(t, "wait", name), "129")
		shared.Must(t, "start", name)
		shared.Must(t, "kill", name)
		want(t, "128+9", shared.Must(t, "wait", name), "137")
	})
	t.Run("exec", func(t *testing.T) {
		t.Parallel()
		name := shared.Name(t)
		shared.Must(t, "run", "-d", "--network", "none", "--name", name, testkit.Image, "sleep", "1000")
		for code, args := range map[int][]string{42: {"sh", "-c", "exit 42"}, 127: {"nope"}, 126: {"/etc/passwd"}} {
			if r := shared.Try(t, append([]string{"exec", name}, args...)...); r.Code != code || strings.Count(r.Stderr, "\n") > 1 {
				t.Errorf("exec %v: exit %d, want %d: %s", args, r.Code, code, r.Stderr)
			}
		}
	})
}

// A runtime that fails has the last word.
func TestRuntimeThatFails(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	for what, script := range map[string]string{
		"stderr": "echo first >&2; echo 'the moon is in the wrong phase' >&2; exit 3",
		"log":    `for a; do case $a in --log=*) echo '{"msg":"the moon is in the wrong phase","level":"error"}' >"${a#--log=}";; esac; case $p in --log) echo '{"msg":"the moon is in the wrong phase","level":"error"}' >"$a";; esac; p=$a; done; exit 3`,
	} {
		path := file(t, "fake-runtime", "#!/bin/sh\n"+script+"\n")
		os.Chmod(path, 0o755)
		r := shared.MustFail(t, 125, "the moon is in the wrong phase", "run", "--rm", "--runtime", path, "--name", name, testkit.Image, "true")
		if strings.Count(r.Stderr, "\n") != 1 || !strings.Contains(r.Stderr, "fake-runtime") {
			t.Errorf("%s: %s", what, r.Stderr)
		}
	}
	if shared.Try(t, "container", "exists", name).Code != 1 {
		t.Error("the container that was not started stays, with --rm")
	}
	notExecutable := file(t, "runtime", "#!/bin/sh\n")
	shared.MustFail(t, 125, "runtime", "run", "--rm", "--runtime", notExecutable, testkit.Image, "true")
}

func TestPermissionDenied(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may do all")
	}
	t.Parallel()
	shared.MustFail(t, 125, "permission denied", "run", "--rm", "--mount", "type=bind,src=/root/x/y,dst=/x", testkit.Image, "true")
	shared.MustFail(t, 125, "permission denied", "run", "--rm", "-v", "/root/x/y:/x", testkit.Image, "true")
	shared.MustFail(t, 125, "permission denied", "run", "--rm", "-v", "/usr/made/by/wherry:/x", testkit.Image, "true")
	shared.MustFail(t, 125, "permission denied", "create", "--cidfile", "/usr/id", testkit.Image)
	r := shared.With("WHERRY_DATA=/usr/wherry-data").Try(t, "run", "--rm", testkit.Image, "true")
	if r.Code != 125 || !strings.Contains(r.Stderr, "/usr/wherry-data") || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("a data directory that cannot be made: exit %d: %s", r.Code, r.Stderr)
	}
	r = shared.With("WHERRY_DATA="+file(t, "data", "a file")).Try(t, "ps", "-a")
	if r.Code != 125 || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("a data directory that is a file: exit %d: %s", r.Code, r.Stderr)
	}
}

// edit replaces a container's record file by what change makes of it.
func edit(t *testing.T, s *testkit.Store, id, name string, change func(map[string]any)) {
	t.Helper()
	path := filepath.Join(s.Data, "containers", id, name)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	doc := map[string]any{}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	change(doc)
	data, _ = json.Marshal(doc)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
