package decode

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/containersconf"
)

func write(t testing.TB, name, text string) string {
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func flags(c *containersconf.Conf) string {
	var out []string
	for _, f := range c.Flags {
		out = append(out, f.Name+"="+f.Value)
	}
	return strings.Join(out, " ")
}

func TestFiles(t *testing.T) {
	first := write(t, "a.conf", `
[containers]
env = ["A=1", "B=2"]
tz = "UTC"
pids_limit = 0
default_ulimits = ["nofile=10:20"]
volumes = ["/a:/b"]
log_size_max = 100
log_tag = "x"
container_name_as_hostname = true
userns = "auto"
userns_size = 5000
[engine]
num_locks = 5
runtime = "foo"
hooks_dir = ["/h"]
[engine.runtimes]
foo = ["/usr/bin/foo"]
[network]
default_network = "n"
`)
	second := write(t, "b.conf", `
[containers]
env = ["C=3", {append=true}]
tz = "Europe/Berlin"
init = true
`)
	c, err := Files([]string{first, second})
	if err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2]string{
		"flags":    {flags(c), "ulimit=nofile=10:20 volume=/a:/b userns=auto:size=5000 init=true log-opt=max-size=100 log-opt=tag=x pids-limit=-1 tz=Europe/Berlin"},
		"env":      {fmt.Sprint(c.Env), "[A=1 B=2 C=3]"},
		"runtimes": {fmt.Sprint(c.Runtime, c.Runtimes, c.HooksDirs, c.NameAsHost), "foomap[foo:[/usr/bin/foo]] [/h] true"},
		"ignored":  {fmt.Sprint(c.Ignored), "[engine.num_locks network.default_network]"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s\nwant %s", what, pair[0], pair[1])
		}
	}
	if _, err := Files([]string{write(t, "c.conf", "[containers]\ntz = 5\n")}); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("a number for a name: %v", err)
	}
	if _, err := Files([]string{write(t, "d.conf", "nonsense")}); err == nil {
		t.Error("nonsense was taken")
	}
	if c, err := Files([]string{write(t, "e.conf", "# only a comment\n")}); err != nil || len(c.Flags)+len(c.Ignored) != 0 {
		t.Errorf("comments: %+v, %v", c, err)
	}
}

// FuzzFiles: no file makes it panic.
func FuzzFiles(f *testing.F) {
	f.Add("[containers]\nenv=[\"A=1\"]\n[engine.runtimes]\nx=[\"/y\"]")
	f.Add("[engine]\nretry=3\nstop_timeout=5")
	path := filepath.Join(f.TempDir(), "fuzz.conf")
	f.Fuzz(func(t *testing.T, text string) {
		os.WriteFile(path, []byte(text), 0o600)
		Files([]string{path})
	})
}
