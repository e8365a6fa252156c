package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// groupOf is the control group of a process of the host, below the root of version 2; empty when that is not mounted.
func groupOf(t *testing.T, pid string) string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return group
		}
	}
	return ""
}

// sleeper is a container that runs, and its first process.
func sleeper(t *testing.T, flags ...string) (name, pid string) {
	t.Helper()
	name = shared.Name(t)
	shared.Must(t, append(append([]string{"run", "-d", "--name", name, "--network", "none"}, flags...), testkit.Image, "sleep", "1000")...)
	return name, inspected(t, name, "{{.State.Pid}}")
}

func grouped(t *testing.T) {
	t.Helper()
	if inspect := shared.Must(t, "info", "-f", "{{.CgroupVersion}}"); inspect != "2" {
		t.Skip("control groups of version 2 are not there")
	}
	name := shared.Name(t) + "-probe"
	shared.Must(t, "run", "-d", "--rm", "--name", name, "--network", "none", testkit.Image, "sleep", "1000")
	defer shared.Must(t, "rm", "-f", "-t", "0", name)
	if inspected(t, name, "{{.State.CgroupPath}}") == "" {
		t.Skip("containers get no control group here")
	}
}

// A container has its control group where it was asked to be.
// flag: run, create --cgroup-parent --cgroups --cgroupns
func TestPlaceOfTheGroup(t *testing.T) {
	grouped(t)
	_, plain := sleeper(t)
	home := filepath.Dir(groupOf(t, plain))
	t.Run("below a path", func(t *testing.T) {
		_, pid := sleeper(t, "--cgroup-parent", "team/one")
		if got := groupOf(t, pid); !strings.HasPrefix(got, home+"/team/one/") {
			t.Errorf("group %s, want it below %s/team/one", got, home)
		}
	})
	t.Run("disabled", func(t *testing.T) {
		name, pid := sleeper(t, "--cgroups", "disabled")
		want(t, "group of the container", groupOf(t, pid), groupOf(t, inspected(t, name, "{{.State.ConmonPid}}")))
	})
	t.Run("hosts namespace", func(t *testing.T) {
		if got := inside(t, "cat /proc/self/cgroup", "--cgroupns", "host"); !strings.Contains(got, "0::"+home+"/wherry-") {
			t.Errorf("it sees %q, want its path from the top", got)
		}
	})
	t.Run("a namespace of its own", func(t *testing.T) {
		got := inside(t, "tail -n 1 /proc/self/cgroup", "--cgroupns", "private")
		want(t, "its own group", got, "0::/")
	})
	t.Run("anothers namespace", func(t *testing.T) {
		name, pid := sleeper(t)
		_, joined := sleeper2(t, "--cgroupns", "container:"+name)
		a, _ := os.Readlink("/proc/" + pid + "/ns/cgroup")
		b, _ := os.Readlink("/proc/" + joined + "/ns/cgroup")
		want(t, "namespace", b, a)
	})
	t.Run("a namespace by its path", func(t *testing.T) {
		_, pid := sleeper(t)
		_, joined := sleeper2(t, "--cgroupns", "ns:/proc/"+pid+"/ns/cgroup")
		a, _ := os.Readlink("/proc/" + pid + "/ns/cgroup")
		b, _ := os.Readlink("/proc/" + joined + "/ns/cgroup")
		want(t, "namespace", b, a)
	})
}

// sleeper2 is a second sleeper of the same test.
func sleeper2(t *testing.T, flags ...string) (name, pid string) {
	t.Helper()
	name = shared.Name(t) + "-2"
	t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", name) })
	shared.Must(t, append(append([]string{"run", "-d", "--name", name, "--network", "none"}, flags...), testkit.Image, "sleep", "1000")...)
	return name, inspected(t, name, "{{.State.Pid}}")
}

// What cannot be kept here is refused by a line that names the flag and the way out, and nothing is left behind.
func TestLimitsRefused(t *testing.T) {
	t.Parallel()
	for text, flags := range map[string][]string{
		"asks for no control group":                         {"--cgroups", "disabled", "--memory", "50m"},
		"do not go together":                                {"--cpus", "1", "--cpu-period", "5000"},
		"between 1000 and 1000000":                          {"--cpu-period", "5"},
		"not the name of a file":                            {"--cgroup-conf", "../x=1"},
		"without . and ..":                                  {"--cgroup-parent", "../up"},
		"a number from 10 to 1000 is expected":              {"--blkio-weight", "5"},
		"a device's path and a limit":                       {"--device-read-bps", "/dev/sda"},
		"a size looks like":                                 {"--device-write-bps", "/dev/sda:x"},
		"a whole number is expected after the path":         {"--device-read-iops", "/dev/sda:1m"},
		"host, private, ns:PATH or container:NAME":          {"--cgroupns", "mine"},
		"enabled, disabled, no-conmon, split":               {"--cgroups", "some"},
		"no container \"nosuchcontainer\"":                  {"--cgroupns", "container:nosuchcontainer"},
		"it looks like \"c 42:* rwm\"":                      {"--device-cgroup-rule", "c 42"},
		"a number from 0 to 100 is expected":                {"--memory-swappiness", "101"},
		"is not known here":                                 {"--gpus", "driver=x"},
		"/dev/nosuchdevice":                                 {"--device", "/dev/nosuchdevice"},
		"--isolation is not supported by wherry: it is for": {"--isolation", "hyperv"},
	} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			shared.MustFail(t, 125, text, runArgs("true", flags...)...)
		})
	}
}

// Limits that the version of control groups does not have, and those that want root.
// flag: run, create --memory-swappiness --oom-kill-disable --cpu-rt-period --cpu-rt-runtime --device-cgroup-rule
func TestLimitsOfOthers(t *testing.T) {
	t.Parallel()
	if shared.Must(t, "info", "-f", "{{.CgroupVersion}}") == "2" {
		for text, flags := range map[string][]string{
			"--memory-swappiness: cgroup v2 has none": {"--memory-swappiness", "10"},
			"--oom-kill-disable: cgroup v2 cannot":    {"--oom-kill-disable"},
			"v2 has no such limit":                    {"--cpu-rt-runtime", "1000"},
			"need cgroup v1":                          {"--cpu-rt-period", "1000"},
		} {
			r := shared.Try(t, runArgs("true", flags...)...)
			if r.Code != 125 || !strings.Contains(r.Stderr, text) {
				t.Errorf("%v: exit %d: %s", flags, r.Code, r.Stderr)
			}
		}
	}
	if os.Getuid() != 0 {
		shared.MustFail(t, 125, "--device-cgroup-rule needs root", runArgs("true", "--device-cgroup-rule", "c 1:3 r")...)
	}
}

// As in Docker the flag is taken, and a warning says that there is no such limit.
// flag: run, create --kernel-memory
func TestKernelMemory(t *testing.T) {
	t.Parallel()
	r := shared.Try(t, runArgs("true", "--kernel-memory", "50m")...)
	if r.Code != 0 || !strings.Contains(r.Stderr, "Warning: --kernel-memory is deprecated") {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
	shared.MustFail(t, 125, "a size looks like", runArgs("true", "--kernel-memory", "x")...)
}

// A manager that is not there is refused; without one of systemd groups are made directly.
// flag: (global) --cgroup-manager
func TestCgroupManager(t *testing.T) {
	grouped(t)
	shared.MustFail(t, 125, "systemd, cgroupfs", "--cgroup-manager", "mine", "ps")
	name := shared.Name(t)
	r := shared.Try(t, "--cgroup-manager", "systemd", "run", "-d", "--name", name, "--network", "none", testkit.Image, "sleep", "1000")
	if r.Code == 0 {
		group := groupOf(t, inspected(t, name, "{{.State.Pid}}"))
		if id := inspected(t, name, "{{.Id}}"); !strings.HasSuffix(group, "/wherry-"+id+".scope/container") {
			t.Errorf("group %s: not a scope of systemd", group)
		}
	} else if !strings.Contains(r.Stderr, "--cgroup-manager=systemd needs systemd") {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
	r = shared.Try(t, append([]string{"--cgroup-manager", "cgroupfs"}, runArgs("true")...)...)
	if r.Code != 0 && !strings.Contains(r.Stderr, "--cgroup-manager=cgroupfs: you may not make groups") {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
}

const described = `{"cdiVersion": "0.6.0", "kind": "%s", "devices": [{"name": "0", "containerEdits": {
	"env": ["THING=here"], "deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/zero"}]}}]}`

// A device that is described by CDI comes with its node and its variables; --gpus is a name for some of them.
// flag: run, create --device --gpus
// flag: (global) --cdi-spec-dir
func TestDescribedDevices(t *testing.T) {
	t.Parallel()
	dir := dir(t)
	for file, kind := range map[string]string{"thing.json": "example.com/thing", "gpu.json": "nvidia.com/gpu"} {
		if err := os.WriteFile(filepath.Join(dir, file), fmt.Appendf(nil, described, kind), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	script := `head -c 3 /dev/thing | od -An -tx1; echo $THING`
	for _, flags := range [][]string{{"--device", "example.com/thing=0"}, {"--gpus", "1"}, {"--gpus", "device=0"}} {
		got := shared.Must(t, append([]string{"--cdi-spec-dir", dir}, runArgs(script, flags...)...)...)
		want(t, strings.Join(flags, " "), strings.Join(strings.Fields(got), " "), "00 00 00 here")
	}
	args := append([]string{"--cdi-spec-dir", dir}, runArgs("true", "--device", "example.com/thing=9")...)
	shared.MustFail(t, 125, `device "example.com/thing=9" is not described in `+dir, args...)
	shared.MustFail(t, 125, "nvidia-ctk cdi generate", append([]string{"--cdi-spec-dir", t.TempDir()}, runArgs("true", "--gpus", "all")...)...)
}

// A device of the host is in the container under the name it was given there.
func TestDeviceNode(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("there is no /dev/fuse here")
	}
	want(t, "node", inside(t, "stat -c '%t:%T' /dev/other", "--device", "/dev/fuse:/dev/other:rw"), "a:e5")
	shared.MustFail(t, 125, "not a device, and none below it", runArgs("true", "--device", "/etc/passwd")...)
}
