package container

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
)

func testEnv() *cmdkit.Env {
	return &cmdkit.Env{Program: "wherry", Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, Getenv: os.Getenv,
		Environ: func() []string { return []string{"HOME=/h", "TERM=x"} }, InFile: os.Stdin, OutFile: os.Stderr, ErrFile: os.Stderr}
}

// parsed is what `run args` would ask of the engine.
func parsed(t *testing.T, args ...string) (*wish, error) {
	t.Helper()
	env := testEnv()
	w := newWish(env)
	flags := append(append(w.flags(), cmdkit.Bool(&w.Detach, "detach d", "")), cmdkit.Later(laterFlags)...)
	env.Args = append([]string{"wherry", "run"}, args...)
	app := cmdkit.App{Flags: func(*cmdkit.Env) []cli.Flag { return nil }, Entries: []cmdkit.Entry{{Names: "run", New: func(*cmdkit.Env) *cli.Command {
		return &cli.Command{Name: "run", ArgsUsage: "IMAGE [COMMAND [ARG...]]", Flags: flags,
			Action: func(c *cli.Context) error { return w.finish(c.Context, env, c.Args().Slice()) }}
	}}}}
	return w, app.Run(context.Background(), env)
}

// words is its arguments with a blank between all of them.
func words(args ...any) string { return strings.TrimSpace(fmt.Sprintln(args...)) }

func TestRunFlags(t *testing.T) {
	dir := t.TempDir()
	envFile, labels := filepath.Join(dir, "env"), filepath.Join(dir, "labels")
	os.WriteFile(envFile, []byte("A=file\nB=file\n"), 0o600)
	os.WriteFile(labels, []byte("l=1\n"), 0o600)
	seccomp := filepath.Join(dir, "seccomp.json")
	os.WriteFile(seccomp, []byte(`{"defaultAction":"x"}`), 0o600)
	for _, c := range []struct {
		args string
		get  func(w *wish) any
		want string
	}{
		{"-e A=1,2 --env B --env-file " + envFile + " -e HOME img", func(w *wish) any { return w.Env }, "[A=file B=file A=1,2 HOME=/h]"},
		{"img ls -l --rm", func(w *wish) any { return words(w.Config.Image.Name, w.Command, w.Config.Lifecycle.AutoRemove) }, "img [ls -l --rm] false"},
		{"-itd --init img", func(w *wish) any {
			p := w.Config.Process
			return words(p.Terminal, p.OpenStdin, p.StdinOnce, p.Init, w.Detach, w.Attach.NoStdin)
		}, "true true false true true false"},
		{"-i img", func(w *wish) any {
			return words(w.Attach.Stdin != nil, w.Config.Process.StdinOnce, w.Attach.NoStdin)
		}, "true true false"},
		{"-a stdout img", func(w *wish) any { return words(w.Attach.Stdout != nil, w.Attach.Stderr != nil, w.Attach.NoStdin) }, "true false true"},
		{"--entrypoint= img", func(w *wish) any { return w.Entrypoint != nil && len(w.Entrypoint) == 0 }, "true"},
		{`--entrypoint ["a","b"] img`, func(w *wish) any { return w.Entrypoint }, "[a b]"},
		{"-l a=b --label c --label-file " + labels + " img", func(w *wish) any { return w.Config.Labels }, "map[a:b c: l:1]"},
		{"--cap-add net_admin,CAP_SYS_PTRACE --cap-drop ALL img", func(w *wish) any { return words(w.Config.Security.CapAdd, w.Config.Security.CapDrop) }, "[CAP_NET_ADMIN CAP_SYS_PTRACE] [ALL]"},
		{"--security-opt no-new-privileges --security-opt seccomp=" + seccomp + " --security-opt unmask=/proc/a:/proc/b --security-opt label=disable img",
			func(w *wish) any {
				s := w.Config.Security
				return words(s.NoNewPrivileges, s.Seccomp, s.Unmask, s.Label)
			}, `true {"defaultAction":"x"} [/proc/a /proc/b] [disable]`},
		{"-m 1g --memory-swap -1 --cpus 1.5 --pids-limit 0 --oom-score-adj -5 img", func(w *wish) any {
			r := w.Config.Resources
			return words(r.Memory, r.MemorySwap, r.NanoCPUs, *r.Pids, *r.OOMScoreAdj)
		}, "1073741824 -1 1500000000 -1 -5"},
		{"--net host --dns 1.1.1.1 --add-host a:1.2.3.4 img", func(w *wish) any {
			return words(w.Config.Network.Mode, w.Config.Network.DNS, w.Config.Network.Hosts)
		}, "host [1.1.1.1] [a:1.2.3.4]"},
		{"--restart on-failure:3 --stop-timeout -1 --timeout 9 img", func(w *wish) any {
			l := w.Config.Lifecycle
			return words(l.Restart, l.MaxRetries, *l.StopTimeout, l.Timeout)
		}, "on-failure 3 -1 9"},
		{"--health-cmd true --health-retries 2 --health-interval 5s img", func(w *wish) any { return fmt.Sprintf("%v", *w.Config.Health) }, "{[CMD-SHELL true] 5s 0s 0s 0s 2  { <nil> <nil>} <nil>}"},
		{`--health-cmd ["a","b"] img`, func(w *wish) any { return w.Config.Health.Test }, "[CMD a b]"},
		{"--health-cmd none img", func(w *wish) any { return words(w.NoHealth, w.Config.Health == nil) }, "true true"},
		{"--log-opt max-size=1m --log-opt max-file=3 img", func(w *wish) any { return w.Config.Log.Opts }, "map[max-file:3 max-size:1m]"},
		{"--tls-verify=false --arch arm64 img", func(w *wish) any {
			w.settlePlatform()
			return words(w.pullArgs, w.Platform)
		}, "[--tls-verify=false] linux/arm64"},
	} {
		w, err := parsed(t, strings.Fields(c.args)...)
		if err != nil {
			t.Errorf("%s: %v", c.args, err)
			continue
		}
		if got := fmt.Sprint(c.get(w)); got != c.want {
			t.Errorf("%s: %s, want %s", c.args, got, c.want)
		}
	}
}

func TestRunErrors(t *testing.T) {
	for args, want := range map[string]string{
		"--rm --restart always img":               "--rm and --restart=always do not go together",
		"-d -a stdin img":                         "--detach and --attach do not go together",
		"-m 5m img":                               `invalid -m "5m": the least is 6m`,
		"--memory 100m --memory-swap 50m img":     "--memory-swap is memory and swap together",
		"--memory-swap 50m img":                   "--memory-swap needs --memory",
		"-v a:b:c:d img":                          `invalid -v "a:b:c:d": it looks like`,
		"-v /a:/x --tmpfs /x img":                 `two mounts have the same target "/x"`,
		"-e =1 img":                               `invalid -e "=1": no name before the =`,
		"--env-file /nonexistent img":             `invalid --env-file "/nonexistent": no such file`,
		"--name a/b img":                          `invalid --name "a/b"`,
		"--cap-add FOO img":                       `invalid --cap-add "FOO"`,
		"--security-opt seccomp=/nonexistent img": `invalid --security-opt`,
		"--security-opt foo=1 img":                `invalid --security-opt "foo=1": there is no such option`,
		"--log-driver bogus img":                  `invalid --log-driver "bogus"`,
		"--log-opt foo=1 img":                     `log option`,
		"--platform linux/arm --os linux img":     "--platform does not go with",
		"--no-healthcheck --health-cmd x img":     "--no-healthcheck does not go with",
		"--stop-signal FOO img":                   `invalid --stop-signal "FOO"`,
		"--pull sometimes img":                    `invalid --pull "sometimes": it is one of`,
		"--pod p img":                             "--pod is not there yet",
	} {
		_, err := parsed(t, strings.Fields(args)...)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

func TestStatusText(t *testing.T) {
	now := time.Unix(10000, 0)
	for _, c := range []struct {
		s    libpod.Summary
		want string
	}{
		{libpod.Summary{Status: record.Created}, "Created"},
		{libpod.Summary{Status: record.Running, StartedAt: now.Add(-3 * time.Minute)}, "Up 3 minutes"},
		{libpod.Summary{Status: record.Running, StartedAt: now.Add(-time.Second), Health: "starting"}, "Up 1 second (health: starting)"},
		{libpod.Summary{Status: record.Running, StartedAt: now.Add(-time.Minute), Health: "healthy"}, "Up About a minute (healthy)"},
		{libpod.Summary{Status: record.Paused, StartedAt: now.Add(-time.Hour)}, "Up About an hour (Paused)"},
		{libpod.Summary{Status: record.Exited, FinishedAt: now.Add(-2 * time.Hour), ExitCode: 137}, "Exited (137) 2 hours ago"},
		{libpod.Summary{Status: record.Restarting, FinishedAt: now.Add(-5 * time.Second), ExitCode: 1}, "Restarting (1) 5 seconds ago"},
		{libpod.Summary{Status: record.Removing}, "Removal In Progress"},
	} {
		if got := c.s.StatusText(now); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestRowText(t *testing.T) {
	if got := commandText([]string{"sh", "-c", "echo a very long line"}, false); got != `"sh -c echo a very l…"` {
		t.Error(got)
	}
	text, volumes := mountText([]string{"/a/very/long/host/path", "db"}, false)
	if text != "/a/very/long/h…,db" || volumes != "1" {
		t.Error(text, volumes)
	}
	rows := []libpod.Summary{{Name: "b", ID: "1"}, {Name: "a", ID: "2"}}
	sortRows(rows, "names")
	if rows[0].Name != "a" {
		t.Error(rows)
	}
}

func TestLinePrefixer(t *testing.T) {
	var out bytes.Buffer
	var lock sync.Mutex
	p := prefixed(&lock, &out, "web | ")
	for _, s := range []string{"a", "b\nc\nd", "", "e"} {
		p.Write([]byte(s))
	}
	p.flush()
	if out.String() != "web | ab\nweb | c\nweb | de\n" {
		t.Errorf("%q", out.String())
	}
}

func TestTail(t *testing.T) {
	for in, want := range map[string]int{"all": -1, "5": 5, "0": 0, "-3": -1} {
		got := 7
		if err := tail(&got, in); err != nil || got != want {
			t.Errorf("%s: %d, %v", in, got, err)
		}
	}
	if tail(new(int), "x") == nil {
		t.Error("x was taken")
	}
}

func TestSelection(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "cid")
	os.WriteFile(file, []byte("abc\n"), 0o600)
	s := selection{files: []string{file}}
	if refs, err := s.refs(context.Background(), nil, []string{"web"}); err != nil || !slices.Equal(refs, []string{"web", "abc"}) {
		t.Error(refs, err)
	}
	if _, err := (&selection{}).refs(context.Background(), nil, nil); err == nil {
		t.Error("no operands were taken")
	}
	if _, err := (&selection{all: true}).refs(context.Background(), nil, []string{"web"}); err == nil {
		t.Error("--all and a name were taken")
	}
	s = selection{files: []string{file + "x"}}
	if _, err := s.refs(context.Background(), nil, nil); err == nil {
		t.Error("a missing --cidfile was taken")
	}
	s.ignore = true
	if refs, err := s.refs(context.Background(), nil, nil); err != nil || len(refs) != 0 {
		t.Error(refs, err)
	}
}
