package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDetect(t *testing.T) {
	for name, c := range map[string]struct {
		mode     int
		rootless bool
		proc     string
		files    map[string]string
		manager  Manager
		base     string
	}{
		"delegated beside": {2, true, "0::/a/sh\n", map[string]string{"a/cgroup.procs": "", "a/cgroup.type": "domain", "a/cgroup.controllers": "memory"}, Cgroupfs, "/a"},
		"systemd user": {2, true, "0::/x\n", map[string]string{"user.slice/user-7.slice/user@7.service/cgroup.procs": "", "systemd/private": ""}, Cgroupfs,
			"/user.slice/user-7.slice/user@7.service/user.slice/wherry.scope"},
		"v1 rootless": {1, true, "1:memory:/\n", map[string]string{"memory/cgroup.procs": ""}, Disabled, ""},
		"v1 root":     {1, false, "1:memory:/\n", map[string]string{"memory/cgroup.procs": ""}, Cgroupfs, "/"},
		"nothing":     {0, true, "", nil, Disabled, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for f, text := range c.files {
				os.MkdirAll(filepath.Dir(filepath.Join(root, f)), 0o755)
				os.WriteFile(filepath.Join(root, f), []byte(text), 0o644)
			}
			proc := filepath.Join(root, "proc")
			os.WriteFile(proc, []byte(c.proc), 0o644)
			d := detector{root: root, proc: proc, run: root, uid: 7, mode: c.mode, getenv: func(string) string { return root },
				writable: func(p string) bool { return exists(p) }}
			if f := d.detect(c.rootless); f.Manager != c.manager || f.Base != c.base {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	user := Facts{Version: 2, Rootless: true, Manager: Cgroupfs, Controllers: []string{"pids", "cpu"}, Kernel: []string{"pids", "cpu", "memory"},
		Why: "systemd does not delegate it to your session"}
	for name, c := range map[string]struct {
		facts                  Facts
		controller, want, warn string
	}{
		"not delegated": {user, "memory", "does not delegate it to your session (delegate it:", "limited in memory: systemd does not"},
		"not in kernel": {user, "cpuset", "not available (the kernel lacks it", "limited in memory: systemd does not"},
		"no group": {Facts{Version: 2, Rootless: true, Manager: Disabled, Kernel: []string{"cpu"}, Why: "no bus"}, "cpu", ": no bus (ask for it",
			"no control group: no bus"},
		"Raspberry Pi": {Facts{Version: 2, Rootless: true, Manager: Cgroupfs, Slice: "user.slice", Controllers: []string{"cpu", "pids"}, Kernel: []string{"cpu", "pids", "io"}},
			"memory", "add cgroup_enable=memory cgroup_memory=1 to the line in /boot/firmware/cmdline.txt and reboot", "limited in memory: the kernel has it off: on a Raspberry Pi add cgroup_enable=memory"},
		"small kernel": {Facts{Version: 2, Manager: Cgroupfs, Controllers: []string{"memory"}, Kernel: []string{"memory"}}, "cpu", "the kernel lacks it",
			"limited in cpu, pids: this kernel cannot do it"},
		"all well": {Facts{Version: 2, Manager: Cgroupfs, Controllers: []string{"pids", "cpu", "memory"}, Kernel: []string{"pids", "cpu", "memory"}},
			"cpuset", "the kernel lacks it", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.facts.Missing(c.controller, "--x"); !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
			if w := c.facts.Warning(); !strings.Contains(w, c.warn) || (c.warn == "") != (w == "") {
				t.Error(w)
			}
		})
	}
}

func BenchmarkDetect(b *testing.B) {
	for b.Loop() {
		Detect(os.Getenv, false, 0)
	}
}
