package system

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// legacyRun runs wherry where the machine's control groups of version 1 are mounted as its own do: the tests run in a mount
// namespace that has version 2 in their place.
const legacyRun = `#!/bin/sh
exec unshare --mount --propagation private -- sh -ec '
mount -t tmpfs cgroup /sys/fs/cgroup
for c in memory cpu cpuacct cpuset pids blkio devices freezer; do
  mkdir /sys/fs/cgroup/$c
  mount -t cgroup -o $c $c /sys/fs/cgroup/$c
done
exec "$0" "$@"' %s "$@"
`

// legacy is a store of root's on control groups of version 1.
func legacy(t *testing.T) *testkit.Store {
	t.Helper()
	if os.Getuid() != 0 || os.Getenv("WHERRY_TEST_ROOT") == "" {
		t.Skip("this is for root (WHERRY_TEST_ROOT)")
	}
	groups, _ := os.ReadFile("/proc/self/cgroup")
	if !strings.Contains(string(groups), ":memory:") || !strings.Contains(string(groups), ":freezer:") {
		t.Skip("this machine has no control groups of version 1")
	}
	if _, err := exec.LookPath("runc"); err != nil {
		t.Skip("runc is not installed")
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	store, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(filepath.Dir(store.Data), "wherry")
	if err := os.WriteFile(script, fmt.Appendf(nil, legacyRun, store.Bin), 0o755); err != nil {
		t.Fatal(err)
	}
	old := *store
	old.Bin = script
	t.Cleanup(func() {
		old.Try(t, "rm", "-f", "-t", "0", "-a")
		done()
	})
	return &old
}

// legacyFile is a file of the container's control group, as its monitor sees it; of a device's limit only the number.
func legacyFile(t *testing.T, s *testkit.Store, id, controller, name string) string {
	t.Helper()
	monitor := s.Must(t, "inspect", "-f", "{{.State.ConmonPid}}", id)
	data, err := os.ReadFile(filepath.Join("/proc", monitor, "root/sys/fs/cgroup", controller, "wherry-"+id, name))
	if err != nil {
		return err.Error()
	}
	text := strings.TrimSpace(string(data))
	if _, rate, ok := strings.Cut(text, " "); ok {
		return rate
	}
	return text
}

// Root on version 1, with runc: every limit is in the kernel's files, update changes it, stats reads it.
// flag: run, create --memory --memory-swap --memory-reservation --memory-swappiness --cpus --cpu-shares --cpuset-cpus --cpuset-mems
// flag: run, create --pids-limit --device-read-bps --device-write-bps --device-read-iops --device-write-iops --oom-kill-disable --device-cgroup-rule
// flag: update --memory --memory-swap --memory-reservation --memory-swappiness --cpus --cpu-shares --pids-limit --cpuset-cpus --cpuset-mems
// flag: update --device-read-bps --device-write-bps --device-read-iops --device-write-iops
func TestLegacyLimits(t *testing.T) {
	s := legacy(t)
	disk := anyDisk(t)
	for _, runtime := range []string{"runc", "crun"} {
		t.Run(runtime, func(t *testing.T) { legacyLimits(t, s, runtime, disk) })
	}
}

func legacyLimits(t *testing.T, s *testkit.Store, runtime, disk string) {
	id := s.Must(t, "run", "--runtime", runtime, "-d", "--network", "none", "--memory", "64m", "--memory-swap", "96m", "--memory-reservation", "32m", "--memory-swappiness", "10",
		"--cpus", "0.5", "--cpu-shares", "512", "--cpuset-cpus", "0", "--cpuset-mems", "0", "--pids-limit", "20", "--device-read-bps", disk+":1mb",
		"--device-write-bps", disk+":2mb", "--device-read-iops", disk+":100", "--device-write-iops", disk+":200", testkit.Image, "sleep", "1000")
	file := func(controller, name string) string { return legacyFile(t, s, id, controller, name) }
	check := func(when string, wanted [][3]string) {
		t.Helper()
		for _, w := range wanted {
			want(t, when+" "+w[1], file(w[0], w[1]), w[2])
		}
	}
	check("run", [][3]string{
		{"memory", "memory.limit_in_bytes", "67108864"}, {"memory", "memory.memsw.limit_in_bytes", "100663296"},
		{"memory", "memory.soft_limit_in_bytes", "33554432"}, {"memory", "memory.swappiness", "10"},
		{"cpu", "cpu.cfs_quota_us", "50000"}, {"cpu", "cpu.shares", "512"}, {"cpuset", "cpuset.cpus", "0"}, {"cpuset", "cpuset.mems", "0"},
		{"pids", "pids.max", "20"}, {"blkio", "blkio.throttle.read_bps_device", "1048576"}, {"blkio", "blkio.throttle.write_bps_device", "2097152"},
		{"blkio", "blkio.throttle.read_iops_device", "100"}, {"blkio", "blkio.throttle.write_iops_device", "200"},
	})
	want(t, "stats", s.Must(t, "stats", "--no-stream", "--format", "{{.MemLimit}} {{.PIDs}}", id), "67108864 1")
	s.Must(t, "update", "--memory", "128m", "--memory-swap", "200m", "--memory-reservation", "64m", "--memory-swappiness", "20", "--cpus", "0.25",
		"--cpu-shares", "256", "--cpuset-cpus", "0", "--cpuset-mems", "0", "--pids-limit", "30", "--device-read-bps", disk+":3mb", "--device-write-bps", disk+":0",
		"--device-read-iops", disk+":300", "--device-write-iops", disk+":400", id)
	check("update", [][3]string{
		{"memory", "memory.limit_in_bytes", "134217728"}, {"memory", "memory.memsw.limit_in_bytes", "209715200"},
		{"memory", "memory.soft_limit_in_bytes", "67108864"}, {"memory", "memory.swappiness", "20"},
		{"cpu", "cpu.cfs_quota_us", "25000"}, {"cpu", "cpu.shares", "256"}, {"pids", "pids.max", "30"},
		{"blkio", "blkio.throttle.read_bps_device", "3145728"}, {"blkio", "blkio.throttle.write_bps_device", ""},
		{"blkio", "blkio.throttle.read_iops_device", "300"}, {"blkio", "blkio.throttle.write_iops_device", "400"},
	})
	s.Must(t, "update", "--memory", "0", "--memory-swap", "0", "--cpus", "0", id)
	check("taken off", [][3]string{{"memory", "memory.limit_in_bytes", "9223372036854771712"}, {"cpu", "cpu.cfs_quota_us", "-1"}})
}

func anyDisk(t *testing.T) string {
	t.Helper()
	entries, _ := os.ReadDir("/sys/block")
	for _, e := range entries {
		if _, err := os.Stat("/dev/" + e.Name()); err == nil && !strings.HasPrefix(e.Name(), "loop") && !strings.HasPrefix(e.Name(), "ram") {
			return "/dev/" + e.Name()
		}
	}
	t.Skip("there is no disk to limit")
	return ""
}

// Real-time scheduling is limited where the kernel can, and refused by name where it cannot.
// flag: run, create --cpu-rt-period --cpu-rt-runtime
// flag: update --cpu-rt-period --cpu-rt-runtime
func TestLegacyRealtime(t *testing.T) {
	s := legacy(t)
	run := []string{"run", "-d", "--network", "none", "--cpu-rt-period", "500000", "--cpu-rt-runtime", "1000", testkit.Image, "sleep", "1000"}
	r := s.Try(t, run...)
	if r.Code == 125 && strings.Contains(r.Stderr, "CONFIG_RT_GROUP_SCHED") {
		return
	}
	want(t, "status", fmt.Sprint(r.Code, r.Stderr), "0")
	id := r.Out()
	file := func(name string) string { return legacyFile(t, s, id, "cpu", name) }
	want(t, "run", file("cpu.rt_runtime_us")+"/"+file("cpu.rt_period_us"), "1000/500000")
	s.Must(t, "update", "--cpu-rt-period", "400000", "--cpu-rt-runtime", "2000", id)
	want(t, "update", file("cpu.rt_runtime_us")+"/"+file("cpu.rt_period_us"), "2000/400000")
}

// A limit that the kernel refuses is taken back from the record; one that is reached kills, and inspect says so.
func TestLegacyMemory(t *testing.T) {
	s := legacy(t)
	id := s.Must(t, "run", "-d", "--network", "none", "--memory", "64m", testkit.Image, "sh", "-c",
		"dd if=/dev/zero of=/dev/shm/x bs=1M count=30 2>/dev/null; touch /ready; sleep 1000")
	testkit.Eventually(t, "30 MB are used", func() bool { return s.Try(t, "exec", id, "test", "-e", "/ready").Code == 0 })
	if r := s.Try(t, "update", "--memory", "6m", "--memory-swap", "6m", id); r.Code == 0 {
		t.Error("less than what is used: not refused")
	}
	want(t, "memory in the record", s.Must(t, "inspect", "-f", "{{.HostConfig.Memory}}", id), "67108864")
	want(t, "and in the kernel", legacyFile(t, s, id, "memory", "memory.limit_in_bytes"), "67108864")

	r := s.Try(t, "run", "--name", "oom", "--network", "none", "--memory", "16m", "--memory-swap", "16m", testkit.Image, "tail", "/dev/zero")
	want(t, "status", fmt.Sprint(r.Code)+s.Must(t, "inspect", "-f", "{{.State.OOMKilled}}", "oom"), "137true")
	want(t, "without the killer", s.Must(t, "run", "--rm", "--network", "none", "--memory", "20m", "--oom-kill-disable", testkit.Image, "sh", "-c",
		"echo ok"), "ok")
}

// A rule gives the use of a device that there is no node for.
func TestLegacyDeviceRule(t *testing.T) {
	s := legacy(t)
	const script = "mknod /tmp/d c 10 229 && dd if=/tmp/d count=0 2>&1 | tail -n 1"
	run := []string{"run", "--rm", "--runtime", "runc", "--network", "none"}
	want(t, "with the rule", s.Must(t, append(run, "--device-cgroup-rule", "c 10:229 rwm", testkit.Image, "sh", "-c", script)...), "0+0 records out")
	if out := s.Must(t, append(run, testkit.Image, "sh", "-c", script)...); !strings.Contains(out, "not permitted") {
		t.Errorf("without it: %s", out)
	}
	s.MustFail(t, 125, "runc makes a control group all the same", append(run, "--cgroups", "disabled", testkit.Image, "true")...)
}
