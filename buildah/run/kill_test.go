package run_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/pb"

	"github.com/wherry-containers/wherry/buildah/run"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/procs"
	"github.com/wherry-containers/wherry/pkg/realuser"
	"github.com/wherry-containers/wherry/pkg/steps"
	"github.com/wherry-containers/wherry/pkg/testkit"
)

// start runs a step in a builder of its own and returns when the command has written a line.
func (b *bench) start(s run.Step) *exec.Cmd {
	b.Helper()
	text, err := json.Marshal(s)
	b.must(err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), builderEnv+"="+b.root+"\n"+string(text))
	out, err := cmd.StdoutPipe()
	b.must(err)
	cmd.Stderr = os.Stderr
	b.must(cmd.Start())
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		b.Fatalf("%q %v", line, err)
	}
	return cmd
}

// marked are the processes with a word on their command line.
func marked(word string) []int {
	var found []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		text, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && strings.Contains(string(text), word) && !strings.Contains(string(text), "-test.run") && pid != os.Getpid() {
			found = append(found, pid)
		}
	}
	return found
}

// TestKilledBuilderLeavesNothing: kill -9 of the builder ends all processes of the step at once, also those that left their
// session; its mounts and addresses go with it, and the next command clears the rest away.
func TestKilledBuilderLeavesNothing(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	const mark = "86421357"
	s := sh("setsid sleep " + mark + " & (trap '' HUP TERM INT; sleep " + mark + ") & echo ready; sleep " + mark)
	s.Network = pb.NetMode_UNSET
	s.SecretEnv = []string{"TOKEN=topsecret"}
	s.Mounts = []run.Mount{{Target: "/src", Source: b.source("x")}}
	cmd := b.start(s)
	if n := len(marked(mark)); n < 3 {
		t.Fatalf("%d processes", n)
	}
	for _, name := range []string{b.dirs.Run, b.dirs.Data} {
		if out, _ := exec.Command("grep", "-rl", "topsecret", name).Output(); len(out) > 0 {
			t.Errorf("the secret lies in %s", out)
		}
	}
	pids := marked(mark)
	var started []uint64
	for _, pid := range pids {
		start, _ := procs.StartTime(pid)
		started = append(started, start)
	}
	b.must(cmd.Process.Kill())
	cmd.Wait()
	testkit.Eventually(t, "the step's processes to be gone", func() bool {
		for i, pid := range pids {
			if procs.Alive(pid, started[i]) {
				return false
			}
		}
		return len(marked(mark)) == 0
	})
	mounts, _ := os.ReadFile("/proc/self/mounts")
	if strings.Contains(string(mounts), b.dirs.Steps()) {
		t.Errorf("mounts are left:\n%s", mounts)
	}
	left := steps.Left(b.dirs)
	if len(left) != 1 {
		t.Fatalf("left: %v", left)
	}
	wherry := filepath.Join(b.dirs.Libexec, "../../wherry")
	if out, _ := exec.Command(wherry, "system", "check", "--quick").CombinedOutput(); !strings.Contains(string(out), "build step "+left[0][:12]) {
		t.Errorf("system check: %s", out)
	}
	b.output(sh("true")) // the next step clears away
	if left := steps.Left(b.dirs); len(left) != 0 {
		t.Errorf("still left: %v", left)
	}
	facts := cgroup.Detect(os.Getenv, realuser.Inside(), realuser.UID())
	for _, dir := range facts.Dirs(left[0]) {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("the control group %s is left", dir)
		}
	}
	if out, _ := exec.Command("find", filepath.Join(b.dirs.Run, "net"), "-lname", "*"+left[0]+"*", "-o", "-name", "*"+left[0]+"*").Output(); len(out) > 0 {
		t.Errorf("of the network is left: %s", out)
	}
}
