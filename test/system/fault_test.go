package system

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// faultCase is a command that is killed after each of its steps, and what must hold before it.
type faultCase struct {
	name  string
	setup [][]string
	act   []string
}

// NAME stands for a name of the case's own.
var faultCases = []faultCase{
	{"create", nil, []string{"create", "--name", "NAME", "-v", "NAMEvol:/vol", testkit.Image, "true"}},
	{"create-userns", nil, []string{"create", "--name", "NAME", "--userns", "auto:size=1500", testkit.Image, "true"}},
	{"start", [][]string{{"create", "--name", "NAME", "-v", "NAMEvol:/etc", testkit.Image, "sleep", "1000"}}, []string{"start", "NAME"}},
	{"init", [][]string{{"create", "--name", "NAME", testkit.Image, "sleep", "1000"}}, []string{"init", "NAME"}},
	{"start-initialized", [][]string{{"create", "--name", "NAME", testkit.Image, "sleep", "1000"}, {"init", "NAME"}}, []string{"start", "NAME"}},
	{"run-d", nil, []string{"run", "-d", "--name", "NAME", testkit.Image, "sleep", "1000"}},
	{"run-rm", nil, []string{"run", "--rm", "--name", "NAME", "-v", "/anon", testkit.Image, "true"}},
	{"stop", [][]string{{"run", "-d", "--name", "NAME", "--stop-signal", "KILL", testkit.Image, "sleep", "1000"}}, []string{"stop", "NAME"}},
	{"kill", [][]string{{"run", "-d", "--name", "NAME", testkit.Image, "sleep", "1000"}}, []string{"kill", "NAME"}},
	{"rm", [][]string{{"create", "--name", "NAME", "-v", "/anon", testkit.Image, "true"}}, []string{"rm", "-v", "NAME"}},
	{"rm-f", [][]string{{"run", "-d", "--name", "NAME", testkit.Image, "sleep", "1000"}}, []string{"rm", "-f", "NAME"}},
	{"rename", [][]string{{"create", "--name", "NAME", testkit.Image, "true"}}, []string{"rename", "NAME", "NAMEnew"}},
	{"update", [][]string{{"create", "--name", "NAME", testkit.Image, "true"}}, []string{"update", "--restart", "on-failure:1", "-e", "A=b", "NAME"}},
	{"update-live", [][]string{{"run", "-d", "--name", "NAME", testkit.Image, "sleep", "1000"}}, []string{"update", "--restart", "on-failure:1", "--health-cmd", "true", "NAME"}},
	{"restart", [][]string{{"run", "-d", "--name", "NAME", "--stop-signal", "KILL", testkit.Image, "sleep", "1000"}}, []string{"restart", "NAME"}},
	{"exec", [][]string{{"run", "-d", "--name", "NAME", testkit.Image, "sleep", "1000"}}, []string{"exec", "NAME", "true"}},
	{"system-prune", [][]string{{"create", "--name", "NAME", "-v", "/anon", testkit.Image, "true"}, {"create", "--name", "NAMEnew", testkit.Image, "true"}, {"volume", "create"}},
		[]string{"system", "prune", "-f", "--volumes"}},
	{"clone", [][]string{{"create", "--name", "NAME", "-v", "/anon", testkit.Image, "true"}}, []string{"container", "clone", "--destroy", "NAME", "NAMEnew"}},
	{"network-create", nil, []string{"network", "create", "NAMEnet"}},
	{"network-rm", [][]string{{"network", "create", "NAMEnet"}, {"run", "--rm", "--network", "NAMEnet", testkit.Image, "true"}}, []string{"network", "rm", "NAMEnet"}},
	{"network-run", [][]string{{"network", "create", "NAMEnet"}}, []string{"run", "-d", "--name", "NAME", "--network", "NAMEnet", "-p", "127.0.0.1::80", testkit.Image, "sleep", "1000"}},
	{"network-connect", [][]string{{"network", "create", "NAMEnet"}, {"run", "-d", "--name", "NAME", testkit.Image, "sleep", "1000"}}, []string{"network", "connect", "NAMEnet", "NAME"}},
	{"network-disconnect", [][]string{{"network", "create", "NAMEnet"}, {"run", "-d", "--name", "NAME", "--network", "NAMEnet", testkit.Image, "sleep", "1000"}},
		[]string{"network", "disconnect", "NAMEnet", "NAME"}},
	{"volume-create", nil, []string{"volume", "create", "NAMEvol"}},
	{"volume-rm", [][]string{{"volume", "create", "NAMEvol"}}, []string{"volume", "rm", "NAMEvol"}},
	{"volume-prune", [][]string{{"volume", "create"}, {"volume", "create"}}, []string{"volume", "prune", "-f"}},
	{"volume-mount", [][]string{{"volume", "create", "-o", "type=tmpfs", "NAMEvol"}}, []string{"volume", "mount", "NAMEvol"}},
	{"tmpfs-volume", [][]string{{"volume", "create", "-o", "type=tmpfs", "NAMEvol"}}, []string{"run", "--rm", "--name", "NAME", "--network", "none", "-v", "NAMEvol:/x", testkit.Image, "true"}},
	{"build-run", nil, []string{"build", "-q", "--no-cache", "testdata/step"}},
	{"rmi-cached", [][]string{{"build", "-q", "-t", "NAMEbuilt", "testdata/step"}}, []string{"rmi", "NAMEbuilt"}},
	{"builder-prune", [][]string{{"build", "-q", "-t", "NAMEbuilt", "testdata/step"}, {"rmi", "NAMEbuilt"}}, []string{"builder", "prune", "-af"}},
	{"secret-create", nil, []string{"secret", "create", "NAMEsec", "/etc/passwd"}},
	{"secret-replace", [][]string{{"secret", "create", "NAMEsec", "/etc/group"}}, []string{"secret", "create", "--replace", "NAMEsec", "/etc/passwd"}},
	{"secret-rm", [][]string{{"secret", "create", "NAMEsec", "/etc/passwd"}}, []string{"secret", "rm", "NAMEsec"}},
	{"run-secret", [][]string{{"secret", "create", "NAMEsec", "/etc/passwd"}}, []string{"run", "-d", "--name", "NAME", "--network", "none", "--secret", "NAMEsec,type=env", "--secret", "NAMEsec", testkit.Image, "sleep", "1000"}},
}

// Every command is killed with SIGKILL after each of its steps, then with a write that fails there. After that a user's
// next commands work, and nothing of it is left over.
func TestKilledAtEachStep(t *testing.T) {
	if os.Getenv("WHERRY_FAULT_BIN") == "" {
		t.Skip("WHERRY_FAULT_BIN is not set (make test sets it)")
	}
	s, done, err := testkit.Open("fault")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	for _, c := range faultCases {
		t.Run(c.name, func(t *testing.T) {
			steps := traceSteps(t, s, c)
			if len(steps) == 0 {
				t.Fatal("no step was traced: the binaries have no fault points")
			}
			for _, fault := range faultsOf(steps) {
				t.Run(fault, func(t *testing.T) { killAndRecover(t, s, c, fault) })
			}
		})
	}
}

func fill(args []string, name string) []string {
	filled := slices.Clone(args)
	for i := range filled {
		filled[i] = strings.ReplaceAll(filled[i], "NAME", name)
	}
	return filled
}

// traceSteps runs the case once and returns the names of the steps it went through.
func traceSteps(t *testing.T, s *testkit.Store, c faultCase) []string {
	trace := filepath.Join(t.TempDir(), "trace")
	for _, args := range c.setup {
		s.Must(t, fill(args, "traced")...)
	}
	s.With("WHERRY_FAULT_TRACE="+trace).Must(t, fill(c.act, "traced")...)
	clean(t, s, "traced")
	f, err := os.Open(trace)
	if err != nil {
		return nil
	}
	defer f.Close()
	var steps []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if !slices.Contains(steps, lines.Text()) {
			steps = append(steps, lines.Text())
		}
	}
	return steps
}

// faultsOf is a kill at each step, and a full disk and a broken one at each write.
func faultsOf(steps []string) []string {
	var faults []string
	for _, step := range steps {
		if file, ok := strings.CutPrefix(step, "atomicfile.written:"); ok {
			faults = append(faults, "enospc:atomicfile.write:."+file+".tmp")
		}
		faults = append(faults, "kill:"+step)
	}
	return faults
}

func killAndRecover(t *testing.T, s *testkit.Store, c faultCase, fault string) {
	const name = "victim"
	for _, args := range c.setup {
		s.Must(t, fill(args, name)...)
	}
	first := s.With("WHERRY_FAULT="+fault).Try(t, fill(c.act, name)...)
	t.Logf("%s: exit %d %s", fault, first.Code, first.Stderr)

	// What a user does next: look, try again, look again.
	s.Must(t, "ps", "-a")
	if again := s.Try(t, fill(c.act, name)...); again.Code == -1 || strings.Contains(again.Stderr, "panic") {
		t.Errorf("the same command again: exit %d: %s", again.Code, again.Stderr)
	}
	s.Must(t, "volume", "ls")
	s.Must(t, "run", "--rm", testkit.Image, "true")
	clean(t, s, name)
}

// clean removes what the case made and checks that nothing is left: no record, no process, no control group, no
// directory, no complaint of system check.
func clean(t *testing.T, s *testkit.Store, name string) {
	t.Helper()
	s.Must(t, "rm", "-f", "-v", "-i", name, name+"new")
	s.Try(t, "volume", "rm", "-f", name+"vol")
	s.Try(t, "rmi", "-f", name+"built")
	s.Must(t, "volume", "prune", "-f")
	s.Must(t, "secret", "rm", "--all")
	s.Must(t, "system", "check", "--repair")
	if report := s.Must(t, "system", "check"); strings.Contains(report, "container ") || strings.Contains(report, "volume ") || strings.Contains(report, "secret ") || strings.Contains(report, "build ") {
		t.Errorf("system check after the repair:\n%s", report)
	}
	s.Must(t, "network", "prune", "-f")
	for _, dir := range []string{s.Data + "/containers", s.Data + "/names", s.Data + "/trash", s.Data + "/volumes", s.Data + "/secrets/ids", s.Data + "/secrets/names", s.Run + "/v", s.Run + "/c", s.Run + "/runtime", s.Run + "/steps",
		s.Run + "/net/attach", s.Run + "/net/cni/results"} {
		if left := entries(dir); len(left) > 0 {
			t.Errorf("left in %s: %v", dir, left)
		}
	}
	if left := append(leasesOf(s, "bridge"), leasesOf(s, name+"net")...); len(left) > 0 {
		t.Errorf("leases are left: %v", left)
	}
	testkit.Eventually(t, "all monitors gone", func() bool { return len(s.Monitors()) == 0 })
}

func entries(dir string) []string {
	list, _ := os.ReadDir(dir)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}
