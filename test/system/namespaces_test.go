package system

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// nsOf is the namespace of a container's first process, or of this one.
func nsOf(t *testing.T, ctr, kind string) string {
	t.Helper()
	proc := "/proc/self"
	if ctr != "" {
		proc = "/proc/" + inspected(t, ctr, "{{.State.Pid}}")
	}
	link, err := os.Readlink(proc + "/ns/" + kind)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// Which namespace a container is in, for each flag and mode: its own, the host's, another container's, one by path.
//
// flag: run, create --pid --ipc --uts
func TestNamespaceModes(t *testing.T) {
	t.Parallel()
	other := shared.Name(t)
	shared.Must(t, "run", "-d", "--network", "none", "--name", other, "--hostname", "peer", testkit.Image, "sleep", "1000")
	pid := inspected(t, other, "{{.State.Pid}}")
	for _, kind := range []string{"pid", "ipc", "uts"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			host, peer := nsOf(t, "", kind), nsOf(t, other, kind)
			for mode, wanted := range map[string]string{"host": host, "container:" + other: peer, "ns:/proc/" + pid + "/ns/" + kind: peer, "private": ""} {
				ctr := shared.Name(t) + "-" + strings.Split(mode, ":")[0]
				t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", ctr) })
				shared.Must(t, "run", "-d", "--network", "none", "--name", ctr, "--"+kind, mode, testkit.Image, "sleep", "1000")
				got := nsOf(t, ctr, kind)
				if wanted != "" && got != wanted || wanted == "" && (got == host || got == peer) {
					t.Errorf("--%s %s: %s; the host has %s, the other one %s", kind, mode, got, host, peer)
				}
			}
		})
	}
}

// Processes: those of whose namespace it is are seen, and can be signalled.
func TestPidNamespaces(t *testing.T) {
	t.Parallel()
	other := shared.Name(t)
	shared.Must(t, "run", "-d", "--network", "none", "--name", other, testkit.Image, "sleep", "4711")
	if out := inside(t, "ps", "--pid", "container:"+other); !strings.Contains(out, "sleep 4711") {
		t.Errorf("the other's process is not seen: %s", out)
	}
	want(t, "the first process of the other's", inside(t, "cat /proc/1/comm", "--pid", "container:"+other), "sleep")
	want(t, "the first process of its own", inside(t, "cat /proc/1/comm; true"), "sh")
	host := inside(t, "cat /proc/"+inspected(t, other, "{{.State.Pid}}")+"/comm", "--pid", "host")
	want(t, "by its number on the host", host, "sleep")
	// A container in the host's namespace takes all its processes along when it ends.
	ctr := shared.Name(t) + "-h"
	t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", ctr) })
	shared.Must(t, "run", "-d", "--network", "none", "--pid", "host", "--name", ctr, testkit.Image, "sh", "-c", "sleep 4712 & sleep 1000")
	group := inspected(t, ctr, "{{.State.CgroupPath}}")
	shared.Must(t, "rm", "-f", "-t", "0", ctr)
	if procs, err := os.ReadFile("/sys/fs/cgroup" + group + "/cgroup.procs"); err == nil && group != "" {
		t.Errorf("processes are left: %s", procs)
	}
}

// Shared memory goes with the IPC namespace, and who does not share it says so.
func TestSharedMemory(t *testing.T) {
	t.Parallel()
	other, closed := shared.Name(t), shared.Name(t)+"-private"
	t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", closed) })
	shared.Must(t, "run", "-d", "--network", "none", "--name", other, testkit.Image, "sleep", "1000")
	shared.Must(t, "run", "-d", "--network", "none", "--name", closed, "--ipc", "private", testkit.Image, "sleep", "1000")
	inside(t, "echo hello >/dev/shm/note", "--ipc", "container:"+other)
	want(t, "what the one wrote", shared.Must(t, "exec", other, "cat", "/dev/shm/note"), "hello")
	want(t, "in one of its own", inside(t, "ls /dev/shm"), "")
	shared.MustFail(t, 125, "does not share", "run", "--rm", "--ipc", "container:"+closed, testkit.Image, "true")
	want(t, "none", inside(t, "grep -c /dev/shm /proc/mounts || true", "--ipc", "none"), "0")
	note, err := os.CreateTemp("/dev/shm", "wherry-note")
	if err != nil {
		t.Skip("no /dev/shm here")
	}
	defer os.Remove(note.Name())
	want(t, "the host's", inside(t, "ls "+note.Name(), "--ipc", "host"), note.Name())
}

// A namespace that is gone, or no namespace, is an error that says what to do.
func TestNamespaceErrors(t *testing.T) {
	t.Parallel()
	resting := shared.Name(t)
	shared.Must(t, "create", "--name", resting, testkit.Image, "true")
	for _, c := range [][2]string{
		{"--pid=container:" + resting, "is not running (wherry start " + resting},
		{"--ipc=container:nosuchone", `no container "nosuchone"`},
		{"--uts=ns:/proc/self/ns/pid", "it is no uts namespace"},
		{"--pid=ns:/nosuch", "no such file"},
		{"--pid=sometimes", "it is one of private, host, container:NAME, ns:PATH"},
	} {
		shared.MustFail(t, 125, c[1], "run", "--rm", c[0], testkit.Image, "true")
	}
	shared.MustFail(t, 125, "--hostname and --uts host do not go together", "run", "--rm", "--uts", "host", "--hostname", "x", testkit.Image, "true")
}

// flag: run, create --domainname
func TestHostNames(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	const all = "hostname; cat /etc/hostname; echo $HOSTNAME"
	want(t, "uts host", inside(t, all, "--uts", "host"), host+"\n"+host+"\n"+host)
	want(t, "own", inside(t, all, "--hostname", "mine"), "mine\nmine\nmine")
	other := shared.Name(t)
	shared.Must(t, "run", "-d", "--network", "none", "--name", other, "--hostname", "peer", testkit.Image, "sleep", "1000")
	want(t, "another's", inside(t, all, "--uts", "container:"+other), "peer\npeer\npeer")
	want(t, "the other afterwards", shared.Must(t, "exec", other, "hostname"), "peer")
	want(t, "NIS domain", inside(t, "cat /proc/sys/kernel/domainname", "--domainname", "example.org"), "example.org")
}

// Settings of the container's own namespaces take effect there and nowhere else; the others are refused by name.
//
// flag: run, create --sysctl
func TestSysctls(t *testing.T) {
	t.Parallel()
	before, _ := os.ReadFile("/proc/sys/kernel/shmmni")
	got := inside(t, "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max",
		"--sysctl", "net.core.somaxconn=77", "--sysctl", "kernel/shmmni=1234", "--sysctl", "fs.mqueue.msg_max=20")
	want(t, "inside", got, "77\n1234\n20")
	after, _ := os.ReadFile("/proc/sys/kernel/shmmni")
	want(t, "on the host", string(after), string(before))
	for _, c := range [][]string{
		{"--sysctl vm.swappiness: it belongs to no namespace", "--sysctl", "vm.swappiness=1"},
		{"--sysctl kernel.shmmax does not go with --ipc host", "--sysctl", "kernel.shmmax=1", "--ipc", "host"},
		{"--sysctl net.core.somaxconn does not go with --network host", "--sysctl", "net.core.somaxconn=1", "--network", "host"},
		{"--sysctl kernel.domainname does not go with --uts host", "--sysctl", "kernel.domainname=x", "--uts", "host"},
		{"use --hostname", "--sysctl", "kernel.hostname=x"},
		{"it looks like net.core.somaxconn=1024", "--sysctl", "nonsense"},
	} {
		shared.MustFail(t, 125, c[0], append(append([]string{"run", "--rm"}, c[1:]...), testkit.Image, "true")...)
	}
}

// flag: run, create --tz
func TestTimeZone(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/usr/share/zoneinfo/Asia/Kolkata"); err != nil {
		t.Skip("no time zones on this host (tzdata)")
	}
	want(t, "by name", inside(t, "date +%Z", "--tz", "Asia/Kolkata"), "IST")
	local, err := exec.Command("date", "+%Z").Output()
	if _, statErr := os.Stat("/etc/localtime"); err == nil && statErr == nil && os.Getenv("TZ") == "" {
		want(t, "local", inside(t, "date +%Z", "--tz", "local"), strings.TrimSpace(string(local)))
	}
	shared.MustFail(t, 125, "this host knows no such time zone", "run", "--rm", "--tz", "Moon/Crater", testkit.Image, "true")
	shared.MustFail(t, 125, "it is a name like Europe/Berlin", "run", "--rm", "--tz", "../../etc/passwd", testkit.Image, "true")
}

// A systemd has what it wants: its stop signal, tmpfs where it writes, its control group.
//
// flag: run, create --systemd --shm-size-systemd
func TestSystemdMode(t *testing.T) {
	t.Parallel()
	mounts := "for d in /run /run/lock /tmp /var/log/journal; do grep -c \" $d tmpfs\" /proc/mounts; done; echo $container"
	want(t, "always", inside(t, mounts, "--systemd", "always"), "1\n1\n1\n1\noci")
	want(t, "false", inside(t, mounts, "--systemd", "false"), "0\n0\n0\n0")
	want(t, "size", inside(t, "df /run | tail -1 | tr -s ' ' | cut -d' ' -f2", "--systemd", "always", "--shm-size-systemd", "3m"), "3072")
	init := image(t, []entry{{name: "sbin/init", mode: 0o755, content: "#!/bin/sh\ngrep -c ' /run tmpfs' /proc/mounts\n"}})
	want(t, "by the command", shared.Must(t, "run", "--rm", "--network", "none", init, "/sbin/init"), "1")
	ctr := shared.Name(t)
	shared.Must(t, "create", "--name", ctr, "--systemd", "always", testkit.Image, "true")
	want(t, "stop signal", inspected(t, ctr, "{{.Config.StopSignal}}"), "SIGRTMIN+3")
	shared.MustFail(t, 125, "it is one of true, false, always", "run", "--rm", "--systemd", "maybe", testkit.Image, "true")
}

// --init-path runs another program as the first process.
//
// flag: run, create --init-path
func TestInitPath(t *testing.T) {
	t.Parallel()
	init := filepath.Join(dir(t), "myinit")
	os.WriteFile(init, []byte("#!/bin/sh\nshift\necho init $$\n\"$@\"\n"), 0o755)
	want(t, "who runs", inside(t, "echo command $PPID", "--init", "--init-path", init), "init 1\ncommand 1")
	shared.MustFail(t, 125, "--init-path needs --init", "run", "--rm", "--init-path", init, testkit.Image, "true")
	shared.MustFail(t, 125, "it is no program on this host", "run", "--rm", "--init", "--init-path", "/nosuch", testkit.Image, "true")
}
