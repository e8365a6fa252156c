package system

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// The file is Kubernetes', with P for a line that has no end.
// flag: run, create --log-driver --log-opt
func TestLogK8sFile(t *testing.T) {
	t.Parallel()
	name := finished(t, `echo out; sleep 0.02; echo err >&2; sleep 0.02; printf 'no end'`, "--log-driver", "k8s-file")
	data, err := os.ReadFile(field(t, name, "{{.LogPath}}"))
	if err != nil {
		t.Fatal(err)
	}
	const stamp = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d) `
	if want := "^" + stamp + "stdout F out\n" + stamp + "stderr F err\n" + stamp + "stdout P no end\n$"; !regexp.MustCompile(want).Match(data) {
		t.Errorf("%q", data)
	}
	if r := shared.Try(t, "logs", name); r.Stdout != "out\nno end" || r.Stderr != "err\n" {
		t.Errorf("%q %q", r.Stdout, r.Stderr)
	}
	if r := shared.Try(t, "logs", "--tail", "1", "-t", name); !regexp.MustCompile("^" + stamp + "no end$").MatchString(r.Stdout + r.Stderr) {
		t.Errorf("%q %q", r.Stdout, r.Stderr)
	}
}

// A rotation takes no line away that is still within the bound, and a reader that follows misses none.
// flag: logs --follow --since --until --tail
func TestLogK8sFileAcrossRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	os.Chmod(dir, 0o777)
	path := filepath.Join(dir, "own.log")
	name := shared.Name(t)
	shared.Must(t, "run", "-d", "--name", name, "--log-driver", "k8s-file", "--log-opt", "path="+path, "--log-opt", "max-size=4k", "--log-opt", "max-file=9",
		testkit.Image, "sh", "-c", `i=0; while [ $i -lt 400 ]; do echo "line $i"; i=$((i+1)); done; sleep 0.2; echo last`)
	followed := shared.Try(t, "logs", "-f", name)
	if lines := strings.Split(followed.Out(), "\n"); len(lines) != 401 || lines[0] != "line 0" || lines[399] != "line 399" || lines[400] != "last" {
		t.Errorf("%d lines followed: %.200q", len(lines), followed.Stdout)
	}
	if all := shared.Must(t, "logs", name); all != followed.Out() {
		t.Errorf("read afterwards: %d lines", strings.Count(all, "\n"))
	}
	if _, err := os.Stat(path + ".1"); err != nil {
		t.Errorf("nothing was rotated: %v", err)
	}
	if out := shared.Must(t, "logs", "--tail", "2", name); out != "line 399\nlast" {
		t.Errorf("tail: %q", out)
	}
	if out := shared.Must(t, "logs", "--until", "1h", name) + shared.Must(t, "logs", "--since", "0s", name); out != "" {
		t.Errorf("outside of the time: %q", out)
	}
	shared.Must(t, "rm", name)
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the user's own file went with the container: %v", err)
	}
}

// local is bounded without being asked, and carries no labels.
func TestLogLocal(t *testing.T) {
	t.Parallel()
	name := finished(t, `head -c 100 /dev/zero | tr '\0' x; echo`, "--log-driver", "local")
	if out := shared.Must(t, "logs", name); len(out) != 100 {
		t.Errorf("%q", out)
	}
	if driver := field(t, name, "{{.HostConfig.LogConfig.Type}}"); driver != "local" {
		t.Errorf("driver %q", driver)
	}
	shared.MustFail(t, 125, "driver local has no such option", "create", "--log-driver", "local", "--log-opt", "labels=a", testkit.Image)
}

// syslogd is a socket on which a syslog daemon of this machine would listen.
func syslogd(t *testing.T) (path string, conn *net.UnixConn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "syslog") // short: the path of a socket is bounded
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "log")
	conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	os.Chmod(path, 0o777)
	t.Cleanup(func() { conn.Close(); os.RemoveAll(dir) })
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	return path, conn
}

func received(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// Each line is one message, in the form of the local daemon or of an RFC.
func TestLogSyslog(t *testing.T) {
	t.Parallel()
	path, conn := syslogd(t)
	base := []string{"--log-driver", "syslog", "--log-opt", "syslog-address=unixgram://" + path}
	name := finished(t, `echo out; sleep 0.02; echo err >&2`, append(base, "--log-opt", "tag={{.Name}}/{{.ImageName}}", "--log-opt", "syslog-facility=local3")...)
	want := regexp.MustCompile(`^<158>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d ` + name + `/` + regexp.QuoteMeta(testkit.Image) + `\[\d+\]: out$`)
	if got := received(t, conn); !want.MatchString(got) {
		t.Errorf("%q, want %s", got, want)
	}
	if got := received(t, conn); !strings.HasPrefix(got, "<155>") || !strings.HasSuffix(got, "]: err") {
		t.Errorf("%q", got)
	}
	shared.MustFail(t, 125, "keeps nothing to read", "logs", name)
	other := shared.Name(t) + "b"
	shared.Try(t, append(append([]string{"run", "--name", other}, base...), "--log-opt", "syslog-format=rfc5424micro", testkit.Image, "echo", "new")...)
	id := field(t, other, "{{slice .Id 0 12}}")
	form := regexp.MustCompile(`^<30>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\S+ \S+ ` + id + ` \d+ ` + id + ` - new$`)
	if got := received(t, conn); !form.MatchString(got) {
		t.Errorf("%q, want %s", got, form)
	}
	shared.MustFail(t, 125, "nobody listens there", "run", "--rm", "--log-driver", "syslog", "--log-opt", "syslog-address=unix://"+path+"x", testkit.Image, "true")
}

// Expressions choose labels and variables, a template names the container.
func TestLogAttributes(t *testing.T) {
	t.Parallel()
	name := finished(t, "echo x", "--label", "com.a=1", "--label", "com.b=2", "--label", "org=3", "-e", "APP_MODE=fast", "-e", "OTHER=1",
		"--log-opt", "labels-regex=^com\\.", "--log-opt", "env-regex=^APP_", "--log-opt", "tag={{.ID}}")
	id := field(t, name, "{{slice .Id 0 12}}")
	if out := shared.Must(t, "logs", "--details", name); out != "APP_MODE=fast,com.a=1,com.b=2,tag="+id+" x" {
		t.Errorf("%q", out)
	}
	shared.MustFail(t, 125, "labels-regex=(", "create", "--log-opt", "labels-regex=(", testkit.Image)
	shared.MustFail(t, 125, "Nope", "create", "--log-opt", "tag={{.Nope}}", testkit.Image)
}

// Several containers at once, each line with its container's name, coloured if asked.
// flag: logs --color --names --details --timestamps --latest
func TestLogsOfSeveralNamed(t *testing.T) {
	t.Parallel()
	a, b := finished(t, "echo one"), shared.Name(t)+"b"
	shared.Must(t, "run", "--name", b, testkit.Image, "echo", "two")
	if out := shared.Must(t, "logs", "--color", a, b); out != "\x1b[32m"+a+" |\x1b[0m one\n\x1b[33m"+b+" |\x1b[0m two" {
		t.Errorf("%q", out)
	}
	if out := shared.Must(t, "logs", "--names", a); out != a+" | one" {
		t.Errorf("%q", out)
	}
}

// A default of containers.conf is for the drivers that know it.
func TestLogSizeOfContainersConf(t *testing.T) {
	t.Parallel()
	s, name := confStore(t, "[containers]\nlog_size_max = 4096\n"), shared.Name(t)
	s.Must(t, "create", "--name", name, testkit.Image, "true")
	if got := field(t, name, `{{index .HostConfig.LogConfig.Config "max-size"}}`); got != "4096" {
		t.Errorf("max-size %q", got)
	}
	s.Must(t, "run", "--rm", "--log-driver", "none", testkit.Image, "true")
}
