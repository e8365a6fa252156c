package system

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

const (
	statusScript  = `grep -E '^(CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr -s '\t\n' '  '`
	defaultStatus = "CapEff: 00000000a80425fb CapBnd: 00000000a80425fb CapAmb: 0000000000000000 NoNewPrivs: 0 Seccomp: 2 "
)

// What the kernel says a container's process may do, by default and with each flag that changes it.
//
// flag: run --cap-add --cap-drop --privileged --security-opt
func TestConfinement(t *testing.T) {
	t.Parallel()
	all := permitted(t)
	for name, c := range map[string]struct {
		flags []string
		want  map[string]string
	}{
		"default":           {nil, map[string]string{"CapEff": "00000000a80425fb", "CapBnd": "00000000a80425fb", "NoNewPrivs": "0", "Seccomp": "2"}},
		"user":              {[]string{"-u", "user"}, map[string]string{"CapEff": "0000000000000000", "CapAmb": "0000000000000000", "CapBnd": "00000000a80425fb"}},
		"cap-add":           {[]string{"--cap-add", "NET_ADMIN", "--cap-add", "cap_sys_time"}, map[string]string{"CapEff": "00000000aa0435fb"}},
		"cap-drop":          {[]string{"--cap-drop", "chown,MKNOD"}, map[string]string{"CapEff": "00000000a00425fa", "CapBnd": "00000000a00425fa"}},
		"cap-drop-all":      {[]string{"--cap-drop", "all"}, map[string]string{"CapEff": "0000000000000000", "CapBnd": "0000000000000000"}},
		"cap-drop-all-add":  {[]string{"--cap-drop", "all", "--cap-add", "KILL"}, map[string]string{"CapEff": "0000000000000020"}},
		"cap-add-all":       {[]string{"--cap-add", "all"}, map[string]string{"CapEff": all, "Seccomp": "2"}},
		"privileged":        {[]string{"--privileged"}, map[string]string{"CapEff": all, "Seccomp": "0", "NoNewPrivs": "0"}},
		"no-new-privileges": {[]string{"--security-opt", "no-new-privileges"}, map[string]string{"NoNewPrivs": "1", "Seccomp": "2"}},
		"unconfined":        {[]string{"--security-opt", "seccomp=unconfined"}, map[string]string{"Seccomp": "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := statusFields(inside(t, "cat /proc/self/status", c.flags...))
			for field, value := range c.want {
				want(t, field, got[field], value)
			}
		})
	}
}

// permitted is what wherry itself may do at most: the bounding set, which a sandbox around us may have narrowed.
func permitted(t *testing.T) string {
	return statusFields(shared.Must(t, "unshare", "cat", "/proc/self/status"))["CapBnd"]
}

func statusFields(status string) map[string]string {
	fields := map[string]string{}
	for _, line := range strings.Split(status, "\n") {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.TrimSpace(value)
	}
	return fields
}

func TestSeccompFile(t *testing.T) {
	t.Parallel()
	profile := file(t, "profile.json", `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95}]}`)
	got := inside(t, "mkdir /x 2>&1; grep ^Seccomp: /proc/self/status", "--security-opt", "seccomp="+profile)
	if !strings.Contains(got, "Operation not supported") || !strings.Contains(got, "2") {
		t.Errorf("the profile is not in force: %s", got)
	}
	broken := file(t, "broken.json", `{"defaultAction":"NO_SUCH_ACTION"}`)
	shared.MustFail(t, 125, "NO_SUCH_ACTION", "run", "--rm", "--security-opt", "seccomp="+broken, testkit.Image, "true")
}

// The default profile refuses what Docker's refuses.
func TestDefaultSeccompRefuses(t *testing.T) {
	t.Parallel()
	got := inside(t, "unshare -U true 2>&1; mount -t tmpfs x /mnt 2>&1; date -s 2000-01-01 2>&1; dmesg -c 2>&1 | head -1")
	for _, line := range strings.Split(got, "\n") {
		if !strings.Contains(line, "not permitted") && !strings.Contains(line, "permission denied") && !strings.HasPrefix(line, "Sat Jan  1") {
			t.Errorf("allowed: %s", line)
		}
	}
}

// Masked files are empty, masked directories too, read-only paths cannot be written, the host's devices are not there.
func TestMaskedAndReadOnlyPaths(t *testing.T) {
	t.Parallel()
	const script = `for p in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/interrupts /proc/latency_stats; do
  [ ! -e $p ] || [ "$(head -c 1 $p | wc -c)" = 0 ] || echo "readable: $p"; done
for p in /proc/acpi /proc/scsi /proc/asound /sys/firmware /sys/devices/virtual/powercap; do
  [ ! -e $p ] || [ -z "$(ls -A $p)" ] || echo "listed: $p"; done
for p in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/irq /proc/bus /proc/fs /sys/fs/cgroup /sys/kernel; do
  [ ! -e $p ] || awk -v p=$p '$2!="/" && (p==$2 || index(p,$2"/")==1) && length($2)>n {n=length($2); o=$4} END{if (o !~ /^ro/) print "writable: " p " " o}' /proc/mounts; done
ls /dev | tr '\n' ' '`
	want(t, "default", inside(t, script), "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ")
	want(t, "unmask", inside(t, "head -c 1 /proc/interrupts | wc -c; head -c 1 /proc/kcore 2>/dev/null | wc -c", "--security-opt", "unmask=/proc/interrupts"), "1\n0")
	want(t, "mask", inside(t, "wc -c </etc/passwd; ls -A /home", "--security-opt", "mask=/etc/passwd:/home"), "0")
	want(t, "unmask all", inside(t, "head -c 1 /proc/interrupts | wc -c; awk '$2==\"/proc/sys\"' /proc/mounts", "--security-opt", "unmask=ALL"), "1")
}

func TestApparmorThatIsNotThere(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/sys/kernel/security/apparmor"); err == nil {
		t.Skip("this host runs AppArmor")
	}
	shared.MustFail(t, 125, "does not run AppArmor", "run", "--rm", "--security-opt", "apparmor=foo", testkit.Image, "true")
}

// No descriptor of ours reaches the container: neither the first process nor one that exec starts (CVE-2024-21626).
func TestNoDescriptorLeaks(t *testing.T) {
	t.Parallel()
	// 3 is the directory that ls itself reads.
	for _, flags := range [][]string{nil, {"-t"}, {"--init"}, {"--network", "private"}, {"--network", "bridge"}, {"-v", "/vol"}} {
		args := append(append([]string{"run", "--rm"}, flags...), testkit.Image, "sh", "-c", "ls /proc/1/fd /proc/self/fd")
		got := strings.Fields(shared.Must(t, args...))
		for _, fd := range got {
			if n, err := strconv.Atoi(fd); err == nil && n > 3 && !(n == 10 && len(flags) > 0 && flags[0] == "-t") {
				t.Errorf("%v: descriptor %d is open: %v", flags, n, got)
			}
		}
	}
	name := shared.Name(t)
	shared.Must(t, "run", "-d", "--network", "none", "--name", name, testkit.Image, "sleep", "1000")
	want(t, "the first process", shared.Must(t, "exec", name, "ls", "/proc/1/fd"), "0\n1\n2")
	want(t, "exec", shared.Must(t, "exec", name, "ls", "/proc/self/fd"), "0\n1\n2\n3")
}

// A working directory that is a descriptor of the runtime's would be a directory of the host.
func TestWorkdirInDescriptors(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "run", "-d", "--network", "none", "--name", name, testkit.Image, "sleep", "1000")
	for fd := 3; fd <= 12; fd++ {
		for _, base := range []string{"/proc/self/fd/", "/dev/fd/"} {
			path := base + strconv.Itoa(fd)
			for _, args := range [][]string{runArgs("ls -d ../../../../../home/*; pwd", "-w", path), {"exec", "-w", path, name, "sh", "-c", "ls -d ../../../../../home/*; pwd"}} {
				r := shared.Try(t, args...)
				if r.Code == 0 && r.Out() != "/home/user\n"+path && r.Out() != "/home/user\n/" {
					t.Errorf("%s of %s: out of the container: %s", path, args[0], r.Out())
				}
			}
		}
	}
}

// The runtime that a container sees as /proc/self/exe while it starts is a sealed copy (CVE-2019-5736).
func TestRuntimeIsSealedCopy(t *testing.T) {
	t.Parallel()
	got := inside(t, "true; ls -l /proc/self/exe; (echo x >/proc/self/exe) 2>&1 | grep -c 'not permitted\\|busy\\|denied'", "-e", "X=1")
	if !strings.Contains(got, "/bin/busybox") {
		t.Errorf("/proc/self/exe: %s", got)
	}
	// An image whose program is /proc/self/exe executes what the runtime is: it must not be able to write it.
	r := shared.Try(t, "run", "--rm", "--network", "none", testkit.Image, "/proc/self/exe", "--version")
	if r.Code == 0 && !strings.Contains(r.Stdout, "crun") && !strings.Contains(r.Stdout, "runc") {
		t.Logf("/proc/self/exe ran as: %s", r.Out())
	}
	name := shared.Name(t)
	shared.Must(t, "run", "-d", "--network", "none", "--name", name, testkit.Image, "sleep", "1000")
	pid := inspected(t, name, "{{.State.Pid}}")
	exe, err := os.Readlink(filepath.Join("/proc", pid, "exe"))
	if err != nil || exe != "/bin/busybox" {
		t.Errorf("the container's process runs %q: %v", exe, err)
	}
}

func TestPrivilegedSeesDevices(t *testing.T) {
	t.Parallel()
	got := inside(t, `awk '$2=="/proc/sys" || $2=="/sys"{print $2, substr($4,1,2)}' /proc/mounts; test -e /dev/fuse && echo fuse`, "--privileged")
	want(t, "privileged", got, "/sys rw\nfuse")
}

// Nothing but the names of the container's own controllers, and none of the host's processes.
func TestNamespacesAreOwn(t *testing.T) {
	t.Parallel()
	var own, host []string
	for _, ns := range []string{"pid", "mnt", "uts", "ipc", "net"} {
		link, _ := os.Readlink("/proc/self/ns/" + ns)
		host = append(host, link)
	}
	out := inside(t, `for n in pid mnt uts ipc net; do readlink /proc/self/ns/$n; done; ls /proc | grep -c '^[0-9]'`)
	own = strings.Split(out, "\n")
	for i := range host {
		if own[i] == host[i] {
			t.Errorf("shares %s with the host", own[i])
		}
	}
	if n, _ := strconv.Atoi(own[len(own)-1]); n > 5 {
		t.Errorf("%d processes are seen in it", n)
	}
}

func TestInspectKeepsSecurity(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "create", "--name", name, "--cap-add", "net_admin", "--cap-drop", "MKNOD", "--security-opt", "no-new-privileges", "--privileged", testkit.Image)
	var h struct {
		CapAdd, CapDrop, SecurityOpt []string
		Privileged                   bool
	}
	if err := json.Unmarshal([]byte(inspected(t, name, "{{json .HostConfig}}")), &h); err != nil {
		t.Fatal(err)
	}
	if len(h.CapAdd) != 1 || h.CapAdd[0] != "CAP_NET_ADMIN" || len(h.CapDrop) != 1 || h.CapDrop[0] != "CAP_MKNOD" || len(h.SecurityOpt) != 1 || !h.Privileged {
		t.Errorf("inspect says %+v", h)
	}
}
