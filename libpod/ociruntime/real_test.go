package ociruntime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/caps"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/hostfacts"
	"github.com/wherry-containers/wherry/pkg/seccomp"
)

// The tests in this file drive real runtimes on a root of busybox. They execute themselves again where that works:
// root in a mount namespace with a view of cgroup v2, others in a user namespace.
const insideEnv = "WHERRY_TEST_INSIDE"

const rootScript = `set -e
mount --make-rprivate /
umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/wherrytest$$/sh
echo $$ > /sys/fs/cgroup/wherrytest$$/sh/cgroup.procs
set +e
"$@"; rc=$?
echo $$ > /sys/fs/cgroup/cgroup.procs; rmdir /sys/fs/cgroup/wherrytest$$/sh /sys/fs/cgroup/wherrytest$$ || rc=1
exit $rc`

// inside returns true in the process that is to run the test.
func inside(t *testing.T, legacy bool) bool {
	t.Helper()
	if os.Getenv(insideEnv) == t.Name() {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		return true
	}
	if _, err := exec.LookPath("busybox"); err != nil {
		t.Skip("busybox is not installed")
	}
	args := []string{os.Args[0], "-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=15s"}
	switch {
	case legacy && os.Getuid() != 0:
		t.Skip("cgroup v1 is for root only")
	case legacy:
		args = append([]string{"unshare", "-m"}, args...)
	case os.Getuid() == 0:
		args = append([]string{"unshare", "-m", "bash", "-c", rootScript, "bash"}, args...)
	default:
		args = append([]string{"unshare", "--user", "--map-root-user", "--map-auto", "--mount"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"="+t.Name(), fmt.Sprintf("WHERRY_TEST_UID=%d", os.Getuid()))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("inside: %v", err)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skip("skipped inside")
	}
	return false
}

// bench is one bundle and the runtime that starts it.
type bench struct {
	t       *testing.T
	rt      *ociruntime.Runtime
	dir, id string
	in      spec.Input
	facts   cgroup.Facts
}

func newBench(t *testing.T, name string) *bench {
	t.Helper()
	rt, err := ociruntime.Find(name)
	if err != nil {
		t.Skip(err)
	}
	rootless := os.Getenv("WHERRY_TEST_UID") != "0"
	uid := 0
	fmt.Sscan(os.Getenv("WHERRY_TEST_UID"), &uid)
	b := &bench{t: t, rt: rt, dir: t.TempDir(), id: fmt.Sprintf("%064x", time.Now().UnixNano())}
	b.facts = cgroup.Detect(os.Getenv, rootless, uid)
	rt.StateDir, rt.Manager, rt.Rootless = filepath.Join(b.dir, "state"), b.facts.Manager, rootless
	root := filepath.Join(b.dir, "root")
	busyboxRoot(t, root)
	permitted, err := caps.Permitted()
	if err != nil {
		t.Fatal(err)
	}
	b.in = spec.Input{
		Config: &record.Config{ID: b.id, Name: "test", Network: record.Network{Mode: "none"}},
		Root:   root, Cgroup: b.facts,
		Host: spec.Host{Rootless: rootless, Caps: permitted, AppArmor: hostfacts.AppArmor()},
	}
	if rootless {
		b.in.Host.GIDs = idMap(t, "/proc/self/gid_map")
		b.in.Host.UIDs = idMap(t, "/proc/self/uid_map")
		b.in.Host.RealUID, b.in.Host.RealGID = uint32(uid), uint32(uid)
	}
	return b
}

func busyboxRoot(t *testing.T, root string) {
	t.Helper()
	for _, d := range []string{"bin", "etc", "proc", "sys", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(filepath.Join(root, "tmp"), 0o777|os.ModeSticky)
	busybox, _ := exec.LookPath("busybox")
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, a := range strings.Fields("sh true cat ls id sleep env mount stat grep unshare readlink chroot hostname touch wc tty stty kill") {
		os.Symlink("busybox", filepath.Join(root, "bin", a))
	}
	os.WriteFile(filepath.Join(root, "bin/data"), []byte("no program"), 0o755)
	os.WriteFile(filepath.Join(root, "bin/noexec"), []byte("#!/bin/sh\n"), 0o644)
}

// start runs the container detached and returns its pid and output file.
func (b *bench) start() (int, string, error) {
	b.t.Helper()
	if b.in.Seccomp.Section == nil && b.in.Seccomp.BPF == "" {
		bounding, err := spec.Capabilities(b.in)
		if err != nil {
			b.t.Fatal(err)
		}
		if b.in.Seccomp.Section, err = seccomp.Build(spec.SeccompProfile(b.in), bounding); err != nil {
			b.t.Fatal(err)
		}
	}
	s, err := spec.Build(b.in)
	if err != nil {
		b.t.Fatal(err)
	}
	data, _ := json.Marshal(s)
	bundle := filepath.Join(b.dir, "bundle")
	os.MkdirAll(bundle, 0o700)
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o600); err != nil {
		b.t.Fatal(err)
	}
	out, log, pidFile := filepath.Join(b.dir, "out"), filepath.Join(b.dir, "log"), filepath.Join(b.dir, "pid")
	f, _ := os.Create(out)
	defer f.Close()
	args := b.rt.StartArgs(ociruntime.Start{ID: b.id, Bundle: bundle, PidFile: pidFile, LogFile: log})
	cmd := exec.Command(b.rt.Path, args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Env = f, f, b.rt.Env()
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log)
		more, _ := os.ReadFile(out)
		return 0, "", b.rt.Failure(string(more) + "\n" + string(text))
	}
	var pid int
	text, _ := os.ReadFile(pidFile)
	if fmt.Sscan(string(text), &pid); pid <= 0 {
		b.t.Fatalf("pid file: %q", text)
	}
	return pid, out, nil
}

// run starts the container, waits for its end and returns its output.
func (b *bench) run(script string) (string, int) {
	b.t.Helper()
	b.in.Config.Process.Command = []string{"/bin/sh", "-c", script}
	pid, out, err := b.start()
	if err != nil {
		b.t.Fatal(err)
	}
	code := waitPid(b.t, pid)
	text, _ := os.ReadFile(out)
	b.cleanup()
	return string(text), code
}

func waitPid(t *testing.T, pid int) int {
	t.Helper()
	var ws syscall.WaitStatus
	end := time.Now().Add(5 * time.Second)
	for {
		// All are reaped: the first process of a pid namespace ends only after its adopted zombies.
		got, err := syscall.Wait4(-1, &ws, 0, nil)
		if errors.Is(err, syscall.EINTR) || err == nil && got != pid {
			continue
		}
		// crun returns a moment before the process of its that is the container's parent has ended.
		if errors.Is(err, syscall.ECHILD) && time.Now().Before(end) {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return ws.ExitStatus()
	}
}

// cleanup does what the monitor does at the end, without the runtime.
func (b *bench) cleanup() {
	b.t.Helper()
	for _, p := range b.rt.Leftovers(b.id) {
		if err := os.RemoveAll(p); err != nil {
			b.t.Error(err)
		}
	}
	for _, d := range b.facts.Dirs(b.id) {
		if err := cgroup.Remove(d, true); err != nil {
			b.t.Error(err)
		}
	}
	if left, _ := filepath.Glob(cgroup.Root + "/*/*/*" + b.id + "*"); left != nil {
		b.t.Errorf("control groups left: %v", left)
	}
	if left, _ := os.ReadDir(b.rt.StateDir); len(left) > 0 {
		b.t.Errorf("runtime state left: %v", left)
	}
}

func each(t *testing.T, f func(t *testing.T, b *bench)) {
	if !inside(t, false) {
		return
	}
	for _, name := range []string{"crun", "runc"} {
		t.Run(name, func(t *testing.T) { f(t, newBench(t, name)) })
	}
}

func TestDefaultsInside(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		out, code := b.run(`grep -E '^(CapEff|CapBnd|CapPrm|CapInh|CapAmb|Seccomp|NoNewPrivs):' /proc/self/status
echo fds $(ls /proc/self/fd | wc -l)
echo hostname $(hostname) umask $(umask) id $(id -u):$(id -g) pid $$
cat /proc/keys | wc -c; cat /proc/timer_list | wc -c; ls /sys/firmware | wc -l
echo 1 > /proc/sys/kernel/domainname || echo sysro
echo x > /proc/sysrq-trigger || echo sysrqro
touch /sys/x || echo sysfsro
unshare -U true || echo unshared-denied
grep -E ' /(proc|dev|dev/shm|dev/pts|dev/mqueue|sys|sys/fs/cgroup) ' /proc/mounts
ls /dev; cat /proc/net/dev; env; exit 7`)
		if code != 7 {
			t.Errorf("exit status %d, want 7", code)
		}
		set := docker14(b)
		for _, want := range []string{
			"CapEff:\t" + set, "CapBnd:\t" + set, "CapPrm:\t" + set,
			"CapInh:\t0000000000000000", "CapAmb:\t0000000000000000", "Seccomp:\t2", "NoNewPrivs:\t0",
			"fds 4\n", // 0, 1, 2 and ls' own
			"hostname " + b.id[:12] + " umask 0022 id 0:0 pid 1", "\n0\n0\n0\n",
			"sysro", "sysrqro", "sysfsro", "unshared-denied",
			"/dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=65536k", "/dev/pts devpts", "/dev/mqueue mqueue",
			"/sys sysfs ro", "HOME=/\n", "HOSTNAME=" + b.id[:12],
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("inside there is no %q", want)
			}
		}
		if t.Failed() {
			t.Log(out)
		}
	})
}

func TestUserInside(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.in.User = spec.User{UID: 1000, GID: 1001, Groups: []uint32{1002}, Home: "/home/x"}
		b.in.Config.Security.NoNewPrivileges = true
		b.in.Config.Rootfs.ReadOnly = true
		b.in.Config.Process.Umask = "077"
		b.in.Config.Process.WorkDir = "/tmp"
		b.in.Mounts = append(b.in.Mounts, tmpfs("/tmp"))
		out, _ := b.run(`grep -E '^(CapEff|CapBnd|Seccomp|NoNewPrivs):' /proc/self/status; id; umask; echo $HOME $PWD
touch /etc/x || echo rofs; touch /tmp/x && stat -c %a /tmp/x; mount -t tmpfs t /tmp || echo nomount`)
		for _, want := range []string{"CapEff:\t0000000000000000", "CapBnd:\t" + docker14(b), "Seccomp:\t2", "NoNewPrivs:\t1",
			"uid=1000 gid=1001 groups=1001,1002", "0077", "/home/x /tmp", "rofs", "600", "nomount"} {
			if !strings.Contains(out, want) && !strings.Contains(out, strings.Replace(want, "groups=1001,", "groups=", 1)) {
				t.Errorf("inside there is no %q:\n%s", want, out)
			}
		}
	})
}

func TestPrivilegedInside(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.in.Config.Security.Privileged = true
		var err error
		if b.in.Host.Devices, err = hostfacts.Devices("/dev"); err != nil {
			t.Fatal(err)
		}
		out, _ := b.run(`grep -E '^(CapEff|Seccomp):' /proc/self/status; mount -t tmpfs t /tmp && echo mounted; ls /dev; cat /proc/timer_list | wc -c`)
		full := fmt.Sprintf("CapEff:\t%016x", uint64(b.in.Host.Caps))
		for _, want := range []string{full, "Seccomp:\t0", "mounted"} {
			if !strings.Contains(out, want) {
				t.Errorf("inside there is no %q:\n%s", want, out)
			}
		}
		for _, d := range b.in.Host.Devices {
			if !strings.Contains(out, filepath.Base(d.Path)+"\n") && filepath.Dir(d.Path) == "/dev" {
				t.Errorf("device %s is missing", d.Path)
			}
		}
	})
}

// TestCompiledFilter starts with the section, harvests, and starts with the annotation: the filter must be the same.
func TestCompiledFilter(t *testing.T) {
	if !inside(t, false) {
		return
	}
	b := newBench(t, "crun")
	cache := seccomp.Cache{Dir: filepath.Join(b.dir, "cache")}
	bounding, _ := spec.Capabilities(b.in)
	key, err := cache.Key("", bounding, b.rt.Path)
	if err != nil {
		t.Fatal(err)
	}
	const script = `grep -E '^Seccomp:' /proc/self/status; unshare -U true || echo denied; sleep 30`
	b.in.Config.Process.Command = []string{"/bin/sh", "-c", script}
	filters := map[string][]byte{}
	for _, way := range []string{"section", "annotation"} {
		if way == "annotation" {
			b.in.Seccomp = spec.Seccomp{BPF: cache.Load(key)}
			if b.in.Seccomp.BPF == "" {
				t.Fatal("nothing was harvested")
			}
		}
		pid, out, err := b.start()
		if err != nil {
			t.Fatalf("%s: %v", way, err)
		}
		waitFor(t, func() bool { text, _ := os.ReadFile(out); return strings.Contains(string(text), "denied") })
		text, _ := os.ReadFile(out)
		if !strings.Contains(string(text), "Seccomp:\t2") {
			t.Errorf("%s: no filter inside: %s", way, text)
		}
		if filters[way], err = os.ReadFile(b.rt.SeccompFile(b.id)); err != nil {
			t.Error(err)
		}
		if err := cache.Harvest(key, b.rt.SeccompFile(b.id)); err != nil {
			t.Error(err)
		}
		status, err := b.rt.Exec(context.Background(), ociruntime.Exec{ID: b.id, Dir: b.dir,
			Process: process(b, "/bin/sh", "-c", "grep -q 'Seccomp:.2' /proc/self/status || exit 1; unshare -U true && exit 2; exit 0")})
		if err != nil || status != 0 {
			t.Errorf("%s: exec has no filter: status %d, %v", way, status, err)
		}
		unix.Kill(pid, unix.SIGKILL)
		waitPid(t, pid)
		b.cleanup()
	}
	if tree, err := seccomp.Tree(filters["section"]); err != nil || string(tree) != string(filters["annotation"]) {
		t.Errorf("the annotation does not give the section's filter as a tree: %v", err)
	}
}

func TestExec(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.in.Config.Process.Command = []string{"/bin/sleep", "30"}
		pid, _, err := b.start()
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(b.dir, "exec.out")
		for _, c := range []struct {
			args   []string
			status int
			kind   error
			text   string
		}{
			{[]string{"/bin/sh", "-c", "exit 3"}, 3, nil, ""},
			{[]string{"sh", "-c", "echo $0 $FOO $(ls /proc/self/fd | wc -l)"}, 0, nil, "sh bar 4\n"},
			{[]string{"/bin/sh", "-c", "kill -9 $$"}, 137, nil, ""},
			{[]string{"/bin/sh", "-c", "exit 127"}, 127, nil, ""},
			{[]string{"nosuch"}, 0, errdefs.ErrNoCommand, ""},
			{[]string{"/bin/nosuch"}, 0, errdefs.ErrNoCommand, ""},
			{[]string{"/bin/noexec"}, 0, errdefs.ErrNotExecutable, ""},
			{[]string{"/etc"}, 0, errdefs.ErrNotExecutable, ""},
		} {
			f, _ := os.Create(out)
			p := process(b, c.args...)
			p.Env = append(p.Env, "FOO=bar")
			status, err := b.rt.Exec(context.Background(), ociruntime.Exec{ID: b.id, Process: p, Dir: b.dir, Stdout: f})
			f.Close()
			text, _ := os.ReadFile(out)
			if status != c.status || !errors.Is(err, c.kind) || c.text != "" && string(text) != c.text {
				t.Errorf("exec %q: status %d, error %v, output %q", c.args, status, err, text)
			}
		}
		execConsole(t, b)
		if left, _ := filepath.Glob(b.dir + "/exec-*"); left != nil {
			t.Errorf("left behind: %v", left)
		}
		st, err := b.rt.State(context.Background(), b.id)
		if err != nil || st.Status != "running" || st.Pid != pid {
			t.Errorf("state: %+v, %v", st, err)
		}
		unix.Kill(pid, unix.SIGKILL)
		waitPid(t, pid)
		b.cleanup()
		if _, err := b.rt.State(context.Background(), b.id); err == nil {
			t.Error("the runtime still knows the container")
		}
	})
}

// execConsole: the terminal that Exec hands over is the process' own, in both directions.
func execConsole(t *testing.T, b *bench) {
	t.Helper()
	p := process(b, "/bin/sh", "-c", "test -t 0 && test -t 1 && echo terminal; read x; echo got $x; exit 5")
	p.Terminal = true
	got := make(chan string, 1)
	status, err := b.rt.Exec(context.Background(), ociruntime.Exec{ID: b.id, Process: p, Dir: b.dir, Console: func(m *os.File) {
		go func() {
			defer m.Close()
			m.WriteString("hello\n")
			var all []byte
			buf := make([]byte, 1024)
			for {
				n, err := m.Read(buf)
				all = append(all, buf[:n]...)
				if err != nil {
					break
				}
			}
			got <- string(all)
		}()
	}})
	if err != nil || status != 5 {
		t.Errorf("exec with a console: status %d, %v", status, err)
	}
	if text := <-got; !strings.Contains(text, "terminal") || !strings.Contains(text, "got hello") {
		t.Errorf("console: %q", text)
	}
}

func TestStartFailures(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		for _, c := range []struct {
			args []string
			dir  string
			code int
		}{
			{[]string{"nosuch"}, "", 127}, {[]string{"/bin/nosuch"}, "", 127}, {[]string{"/bin/noexec"}, "", 126},
			{[]string{"/etc"}, "", 126}, {[]string{"/bin/data"}, "", 126},
		} {
			b.in.Config.Process.Command, b.in.Config.Process.WorkDir = c.args, c.dir
			pid, _, err := b.start()
			if err == nil { // runc starts it and learns too late that the kernel does not take it
				if code := waitPid(t, pid); code == 0 {
					t.Errorf("%q: started and ended with 0", c.args)
				}
			} else if got := errdefs.ExitCode(err); got != c.code || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: status %d, want %d: %v", c.args, got, c.code, err)
			}
			b.cleanup()
		}
	})
}

// TestLeakedDescriptor replays CVE-2024-21626: a working directory that reaches the host through a descriptor which
// the runtime left open.
func TestLeakedDescriptor(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		leak, err := os.Open("/") // ours are close-on-exec, as every file of Go
		if err != nil {
			t.Fatal(err)
		}
		defer leak.Close()
		for fd := 3; fd < 12; fd++ {
			b.in.Config.Process.Command = []string{"/bin/sh", "-c", "ls ../../../../../etc; ls .."}
			b.in.Config.Process.WorkDir = fmt.Sprintf("/proc/self/fd/%d", fd)
			pid, out, err := b.start()
			if err == nil {
				waitPid(t, pid)
				text, _ := os.ReadFile(out)
				if strings.Contains(string(text), "passwd") || strings.Contains(string(text), "shadow") {
					t.Errorf("descriptor %d shows the host: %s", fd, text)
				}
			}
			b.cleanup()
			b.in.Config.Process.WorkDir = "/"
		}
	})
}

func TestPauseKill(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		dirs := b.facts.Dirs(b.id)
		if len(dirs) == 0 {
			t.Skip("no control group here")
		}
		b.in.Config.Process.Command = []string{"/bin/sleep", "30"}
		pid, _, err := b.start()
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := cgroup.Freeze(dirs[0]); err != nil {
			t.Fatal(err)
		}
		if !cgroup.Frozen(dirs[0]) {
			t.Error("not frozen")
		}
		if err := cgroup.Thaw(dirs[0]); err != nil || cgroup.Frozen(dirs[0]) {
			t.Errorf("thaw: %v", err)
		}
		t.Logf("freeze and thaw: %v", time.Since(began))
		if err := b.rt.Kill(context.Background(), b.id, "KILL", false); err != nil {
			t.Error(err)
		}
		waitPid(t, pid)
		b.cleanup()
	})
}

func TestUserNamespaces(t *testing.T) {
	if !inside(t, false) {
		return
	}
	if os.Getenv("WHERRY_TEST_UID") == "0" {
		t.Skip("without root only")
	}
	for _, name := range []string{"crun", "runc"} {
		for mode, want := range map[string]string{"keep-id": "uid " + os.Getenv("WHERRY_TEST_UID"), "keep-id:uid=7,gid=8": "uid 7", "nomap": "uid 0"} {
			t.Run(name+" "+mode, func(t *testing.T) {
				b := newBench(t, name)
				for d := b.dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
					os.Chmod(d, 0o755)
				}
				b.in.Config.Security.UserNS = mode
				out, code := b.run("echo uid $(id -u); cat /proc/self/uid_map")
				if code != 0 || !strings.Contains(out, want+"\n") {
					t.Errorf("status %d: %s", code, out)
				}
			})
		}
	}
}

// TestLegacyLimits asserts limits where cgroup v1 has the controllers: root, runc.
func TestLegacyLimits(t *testing.T) {
	if !inside(t, true) {
		return
	}
	b := newBench(t, "runc")
	if b.facts.Version != 1 || !b.facts.Has("memory") || !b.facts.Has("pids") {
		t.Skip("no controllers of cgroup v1 here")
	}
	pids := int64(55)
	b.in.Config.Resources = record.Resources{Memory: 64 << 20, NanoCPUs: 5e8, Pids: &pids}
	b.in.Config.Process.Command = []string{"/bin/sleep", "30"}
	pid, _, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	name := b.facts.SpecPath(b.id)
	for file, want := range map[string]string{
		"memory" + name + "/memory.limit_in_bytes": "67108864", "pids" + name + "/pids.max": "55",
		"cpu" + name + "/cpu.cfs_quota_us": "50000",
	} {
		if got, err := os.ReadFile(filepath.Join(cgroup.Root, file)); strings.TrimSpace(string(got)) != want {
			t.Errorf("%s: %q, want %s (%v)", file, got, want, err)
		}
	}
	dirs := b.facts.Dirs(b.id)
	if err := cgroup.Freeze(dirs[0]); err != nil || !cgroup.Frozen(dirs[0]) {
		t.Errorf("freeze: %v", err)
	}
	if err := cgroup.Thaw(dirs[0]); err != nil {
		t.Error(err)
	}
	unix.Kill(pid, unix.SIGKILL)
	waitPid(t, pid)
	b.cleanup()
	for _, c := range []string{"memory", "pids", "cpu", "freezer", "devices", "unified", "systemd", "hugetlb"} {
		if _, err := os.Stat(filepath.Join(cgroup.Root, c, name)); err == nil {
			t.Errorf("%s%s is left", c, name)
		}
	}
}
