package system

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

func percentOf(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil {
		t.Fatalf("not a percentage: %q", text)
	}
	return n
}

// stats says what the kernel says.
// flag: stats --no-stream --format
func TestStats(t *testing.T) {
	grouped(t)
	name := shared.Name(t)
	shared.Must(t, "run", "-d", "--name", name, "--network", "none", testkit.Image, "sh", "-c", "sleep 1000 & while :; do :; done")
	group := "/sys/fs/cgroup" + groupOf(t, inspected(t, name, "{{.State.Pid}}"))
	used := func() float64 {
		data, err := os.ReadFile(group + "/cpu.stat")
		if err != nil {
			t.Skip(err)
		}
		var usec float64
		fmt.Sscanf(string(data), "usage_usec %f", &usec)
		return usec
	}
	testkit.Eventually(t, "both processes are there", func() bool {
		return shared.Must(t, "stats", "--no-stream", "--format", "{{.PIDs}}", name) == "2"
	})
	before, from := used(), time.Now()
	said := percentOf(t, shared.Must(t, "stats", "--no-stream", "-i", "1", "--format", "{{.CPUPerc}}", name))
	real := (used() - before) / float64(time.Since(from).Microseconds()) * 100
	if said < real/2 || said > real*1.5+5 {
		t.Errorf("stats says %.1f %%, the kernel %.1f %%", said, real)
	}
	if glance := percentOf(t, shared.Must(t, "stats", "--no-stream", "--format", "{{.CPUPerc}}", name)); glance <= 0 {
		t.Errorf("a busy container at a glance: %.1f %%", glance)
	}
}

// The JSON has Docker's keys; a container that does not run is there by --all, with nothing used.
// flag: stats --all --no-trunc --latest
func TestStatsRows(t *testing.T) {
	name := shared.Name(t)
	shared.Must(t, "create", "--name", name, "--network", "none", testkit.Image, "true")
	id := inspected(t, name, "{{.Id}}")
	if out := shared.Must(t, "stats", "--no-stream"); strings.Contains(out, id[:12]) {
		t.Errorf("a container that does not run:\n%s", out)
	}
	if out := shared.Must(t, "stats", "--no-stream", "--all"); !strings.Contains(out, id[:12]) || strings.Contains(out, id) ||
		!strings.HasPrefix(out, "CONTAINER ID   NAME") {
		t.Errorf("--all:\n%s", out)
	}
	if out := shared.Must(t, "stats", "--no-stream", "-a", "--no-trunc"); !strings.Contains(out, id) {
		t.Errorf("--no-trunc:\n%s", out)
	}
	var row map[string]string
	if err := json.Unmarshal([]byte(shared.Must(t, "stats", "--no-stream", "--format", "json", "--latest")), &row); err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"Container": id[:12], "ID": id[:12], "Name": name, "CPUPerc": "0.00%", "MemUsage": "0B / 0B",
		"MemPerc": "0.00%", "NetIO": "0B / 0B", "BlockIO": "0B / 0B", "PIDs": "0"} {
		if key != "Container" {
			want(t, key, row[key], value)
		}
	}
	shared.MustFail(t, 125, `no container "nosuchcontainer"`, "stats", "--no-stream", "nosuchcontainer")
	shared.MustFail(t, 125, "the least is 1", "stats", "-i", "0")
}

// The table is shown again and again until Ctrl-C, which is no failure; a container that starts meanwhile appears.
// flag: stats --interval --no-reset
func TestStatsLive(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := shared.Command(ctx, "stats", "--interval", "1", "--no-reset", "--format", "{{.Name}}={{.PIDs}}")
	out := &safeBuffer{}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shared.Must(t, "run", "-d", "--name", name, "--network", "none", testkit.Image, "sleep", "1000")
	testkit.Eventually(t, "two looks at the new container", func() bool { return out.count(name+"=") >= 2 })
	cmd.Process.Signal(syscall.SIGINT)
	err := cmd.Wait()
	if exit, ok := err.(*exec.ExitError); ok || err != nil {
		t.Errorf("after Ctrl-C: %v %v", exit, err)
	}
	if out.count("\x1b") > 0 {
		t.Error("the screen is cleared although it is none")
	}
}

// Bytes of the network are those of the container's own interfaces; with the host's nothing can be said.
func TestStatsNetwork(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "run", "-d", "--name", name, "--network", "host", testkit.Image, "sleep", "1000")
	want(t, "host's network", shared.Must(t, "stats", "--no-stream", "--format", "{{.NetIO}}", name), "-- / --")
	other := shared.Name(t) + "-none"
	t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", other) })
	shared.Must(t, "run", "-d", "--name", other, "--network", "none", testkit.Image, "sleep", "1000")
	want(t, "no network", shared.Must(t, "stats", "--no-stream", "--format", "{{.NetIO}}", other), "0B / 0B")
}
