package system

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// Processes by the container's own pids and users, those of an exec too.
// flag: top --latest
func TestTop(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	shared.Must(t, "exec", "-d", "-u", "user", name, "sleep", "4711")
	var lines []string
	testkit.Eventually(t, "the exec is shown", func() bool {
		lines = strings.Split(shared.Must(t, "top", name, "user", "pid", "ppid", "huser", "hpid", "args"), "\n")
		return len(lines) == 4 && strings.HasSuffix(lines[3], "sleep 4711")
	})
	if got := strings.Fields(lines[0]); strings.Join(got, " ") != "USER PID PPID HUSER HPID COMMAND" {
		t.Errorf("%q", lines[0])
	}
	first, own := strings.Fields(lines[1]), strings.Fields(lines[3])
	if first[0] != "root" || first[1] != "1" || first[2] != "0" || first[4] != strconv.Itoa(hostPid(t, shared, name)) {
		t.Errorf("%q", lines[1])
	}
	if own[0] != "user" || own[2] != "0" {
		t.Errorf("%q", lines[3])
	}
	if out := shared.Must(t, "top", name); !strings.HasPrefix(out, "USER ") || !strings.Contains(out, "ELAPSED") || strings.Count(out, "\n") != 3 {
		t.Errorf("%s", out)
	}
	shared.MustFail(t, 125, `did you mean "user"`, "top", name, "usr")
	shared.Must(t, "stop", "-t", "5", name)
	shared.MustFail(t, 125, "is not running", "top", name)
}

// Options go to the host's ps, of whose lines only the container's are shown.
func TestTopByPs(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ps"); err != nil {
		t.Skip("there is no ps here")
	}
	name := up(t, trapping)
	pid := strconv.Itoa(hostPid(t, shared, name))
	var out string
	testkit.Eventually(t, "both processes", func() bool {
		out = shared.Must(t, "top", name, "-eo", "pid,args")
		return strings.Count(out, "\n") == 2
	})
	lines := strings.Split(out, "\n")
	if strings.Fields(lines[1])[0] != pid || !strings.Contains(lines[2], "sleep 1000") {
		t.Errorf("%s", out)
	}
	shared.MustFail(t, 125, "no column PID", "top", name, "-o", "args")
}
