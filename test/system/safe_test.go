package system

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// asking makes this program, started in a container, try system calls and say what the kernel answers.
const asking = "WHERRY_TEST_ASK_KERNEL"

// deniedCalls are calls that Docker's default profile denies to a container without further capabilities.
var deniedCalls = []struct {
	name string
	call func() unix.Errno
}{
	{"keyctl", func() unix.Errno { return raw(unix.SYS_KEYCTL, 0, ^uintptr(2), 0) }},
	{"add_key", func() unix.Errno { return raw(unix.SYS_ADD_KEY, 0, 0, 0) }},
	{"request_key", func() unix.Errno { return raw(unix.SYS_REQUEST_KEY, 0, 0, 0) }},
	{"unshare user", func() unix.Errno { return raw(unix.SYS_UNSHARE, unix.CLONE_NEWUSER, 0, 0) }},
	{"unshare mount", func() unix.Errno { return raw(unix.SYS_UNSHARE, unix.CLONE_NEWNS, 0, 0) }},
	{"clone user", func() unix.Errno { return raw(unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_THREAD, 0, 0) }},
	{"setns", func() unix.Errno { return raw(unix.SYS_SETNS, ^uintptr(0), 0, 0) }},
	{"mount", func() unix.Errno { return raw(unix.SYS_MOUNT, 0, 0, 0) }},
	{"umount2", func() unix.Errno { return raw(unix.SYS_UMOUNT2, 0, 0, 0) }},
	{"open_tree", func() unix.Errno { return raw(unix.SYS_OPEN_TREE, ^uintptr(0), 0, 0) }},
	{"move_mount", func() unix.Errno { return raw(unix.SYS_MOVE_MOUNT, ^uintptr(0), 0, 0) }},
	{"fsopen", func() unix.Errno { return raw(unix.SYS_FSOPEN, 0, 0, 0) }},
	{"pivot_root", func() unix.Errno { return raw(unix.SYS_PIVOT_ROOT, 0, 0, 0) }},
	{"bpf", func() unix.Errno { return raw(unix.SYS_BPF, 0, 0, 0) }},
	{"perf_event_open", func() unix.Errno { return raw(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0) }},
	{"userfaultfd", func() unix.Errno { return raw(unix.SYS_USERFAULTFD, ^uintptr(0), 0, 0) }},
	{"io_uring_setup", func() unix.Errno { return raw(unix.SYS_IO_URING_SETUP, 0, 0, 0) }},
	{"open_by_handle_at", func() unix.Errno { return raw(unix.SYS_OPEN_BY_HANDLE_AT, ^uintptr(0), 0, 0) }},
	{"init_module", func() unix.Errno { return raw(unix.SYS_INIT_MODULE, 0, 0, 0) }},
	{"finit_module", func() unix.Errno { return raw(unix.SYS_FINIT_MODULE, ^uintptr(0), 0, 0) }},
	{"delete_module", func() unix.Errno { return raw(unix.SYS_DELETE_MODULE, 0, 0, 0) }},
	{"kexec_load", func() unix.Errno { return raw(unix.SYS_KEXEC_LOAD, 0, 0, 0) }},
	{"reboot", func() unix.Errno { return raw(unix.SYS_REBOOT, 0, 0, 0) }},
	{"swapon", func() unix.Errno { return raw(unix.SYS_SWAPON, 0, 0, 0) }},
	{"acct", func() unix.Errno { return raw(unix.SYS_ACCT, 1, 0, 0) }},
	{"clock_settime", func() unix.Errno { return raw(unix.SYS_CLOCK_SETTIME, 0, 0, 0) }},
	{"settimeofday", func() unix.Errno { return raw(unix.SYS_SETTIMEOFDAY, 0, 0, 0) }},
	{"quotactl", func() unix.Errno { return raw(unix.SYS_QUOTACTL, ^uintptr(0), 0, 0) }},
	{"lookup_dcookie", func() unix.Errno { return raw(unix.SYS_LOOKUP_DCOOKIE, 0, 0, 0) }},
}

// raw makes a call whose arguments the kernel refuses too, each with another answer than a filter's.
func raw(number, a, b, c uintptr) unix.Errno {
	_, _, errno := unix.RawSyscall6(number, a, b, c, 0, 0, 0)
	return unix.Errno(errno)
}

func askKernel() {
	if os.Getenv(asking) == "overwrite" {
		overwriteRuntime()
	}
	for _, c := range deniedCalls {
		fmt.Println(c.name, unix.ErrnoName(c.call()))
	}
	for _, line := range []string{"CapEff", "CapBnd", "CapPrm", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp"} {
		status, _ := os.ReadFile("/proc/self/status")
		fmt.Println(line, statusFields(string(status))[line])
	}
}

// overwriteRuntime takes hold of each program that is not this container's own as soon as it shows in /proc, and writes
// to it once it has ended.
func overwriteRuntime() {
	fmt.Println("ready")
	for {
		pids, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, exe := range pids {
			f, err := os.Open(exe)
			if err != nil {
				continue // the kernel shows it to nobody
			}
			target, _ := os.Readlink(exe)
			if target == "/ask" || strings.HasPrefix(target, "/bin/") {
				f.Close()
				continue
			}
			fmt.Println("caught", target)
			for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
				if w, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY|os.O_APPEND, 0); err == nil {
					w.WriteString("evil")
					w.Close()
				}
			}
			f.Close()
		}
	}
}

// confined is what askKernel says in a container with the defaults: Docker's filter and its fourteen capabilities.
func confined() string {
	var b strings.Builder
	for _, c := range deniedCalls {
		fmt.Fprintln(&b, c.name, "EPERM")
	}
	const docker = "00000000a80425fb"
	return b.String() + "CapEff " + docker + "\nCapBnd " + docker + "\nCapPrm " + docker + "\nCapInh 0000000000000000\nCapAmb 0000000000000000\nNoNewPrivs 0\nSeccomp 2"
}

func runtimesHere(t *testing.T) []string {
	t.Helper()
	var here []string
	for _, name := range []string{"crun", "runc"} {
		if _, err := exec.LookPath(name); err == nil {
			here = append(here, name)
		}
	}
	return here
}

// The first run's filter is compiled by the runtime, the second's is our search tree of it, exec's another: they decide
// alike, and as Docker's does, with each runtime. A container without a filter shows that the calls get somewhere.
func TestKernelRefusesByDefault(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	fresh, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	filters := filepath.Join(fresh.Data, "cache", "seccomp")
	for _, runtime := range runtimesHere(t) {
		ask := func(what string, flags ...string) string {
			args := append([]string{"--runtime", runtime, "run", "--rm", "--network", "none", "-v", self + ":/ask:ro", "-e", asking + "=1"}, flags...)
			return fresh.Must(t, append(args, testkit.Image, "/ask")...)
		}
		if kept := entries(filters); runtime == "crun" && len(kept) > 0 {
			t.Errorf("filters before the first run: %v", kept)
		}
		want(t, runtime+", first run", ask("first"), confined())
		if kept := entries(filters); runtime == "crun" && len(kept) == 0 {
			t.Error("crun's filter was not kept")
		}
		want(t, runtime+", second run", ask("second"), confined())
		name := shared.Name(t) + runtime
		fresh.Must(t, "--runtime", runtime, "run", "-d", "--name", name, "--network", "none", "-v", self+":/ask:ro", testkit.Image, "sleep", "1000")
		want(t, runtime+", exec", fresh.Must(t, "exec", "-e", asking+"=1", name, "/ask"), confined())
		nnp := ask("no new privileges", "--security-opt", "no-new-privileges")
		want(t, runtime+", no-new-privileges", nnp, strings.Replace(confined(), "NoNewPrivs 0", "NoNewPrivs 1", 1))
		free := ask("free", "--security-opt", "seccomp=unconfined", "--cap-add", "SYS_ADMIN")
		for _, call := range []string{"keyctl EPERM", "open_tree EPERM", "setns EPERM", "move_mount EPERM"} {
			if strings.Contains(free, call+"\n") {
				t.Errorf("%s without a filter: %s, so this test shows nothing", runtime, call)
			}
		}
	}
}

// A working directory in a descriptor of the runtime's, from wherever it comes, is no way to the host (CVE-2024-21626).
func TestWorkdirOfImageInDescriptors(t *testing.T) {
	t.Parallel()
	host := secret(t)
	climb := "cat ../../../../../../../.." + host + "/key; cat ../.." + host + "/key; true"
	for fd := 3; fd <= 10; fd++ {
		place := fmt.Sprintf("/proc/self/fd/%d", fd)
		t.Run(fmt.Sprint(fd), func(t *testing.T) {
			t.Parallel()
			from := image(t, nil, "WORKDIR "+place)
			for _, runtime := range runtimesHere(t) {
				tries := [][]string{{"--runtime", runtime, "run", "--rm", "--network", "none", from, "sh", "-c", climb}}
				name := shared.Name(t) + runtime
				if r := shared.Try(t, "--runtime", runtime, "create", "--name", name, "--network", "none", "-w", place, testkit.Image, "sh", "-c", climb); r.Code == 0 {
					tries = append(tries, []string{"start", "-a", name})
				}
				for _, args := range tries {
					if r := shared.Try(t, args...); strings.Contains(r.Stdout+r.Stderr, "host secret") {
						t.Errorf("%v: out of the container", args)
					}
				}
				shared.Try(t, "rm", "-f", name)
			}
		})
	}
}

// A container that gets hold of the runtime through /proc/PID/exe and writes to it when it has ended (CVE-2019-5736)
// leaves the user's own copy of the runtime as it was: entrypoint, interpreter and exec.
func TestRuntimeIsNotOverwritten(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, runtime := range runtimesHere(t) {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			path, _ := exec.LookPath(runtime)
			program, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			mine := filepath.Join(dir(t), runtime) // that the container's root may write, were it to reach it
			if err := os.WriteFile(mine, program, 0o755); err != nil {
				t.Fatal(err)
			}
			from := image(t, []entry{{name: "evil", content: "#!/proc/self/exe\n", mode: 0o755}}, `ENTRYPOINT ["/proc/self/exe"]`)
			shared.Try(t, "--runtime", mine, "run", "--rm", "--network", "none", from)
			shared.Try(t, "--runtime", mine, "run", "--rm", "--network", "none", "--entrypoint", "/evil", from)
			name := shared.Name(t)
			shared.Must(t, "--runtime", mine, "run", "-d", "--network", "none", "--name", name, "-v", self+":/ask:ro", "-e", asking+"=overwrite", "--entrypoint", "/ask", from)
			testkit.Eventually(t, "ready", func() bool { return strings.Contains(shared.Must(t, "logs", name), "ready") })
			for range 5 {
				shared.Try(t, "exec", name, "/evil")
				shared.Try(t, "exec", name, "true")
			}
			// The attack works: on a program of the container's own.
			shared.Must(t, "exec", name, "cp", "/bin/busybox", "/tmp/sleep")
			shared.Must(t, "exec", name, "/tmp/sleep", "0.1")
			testkit.Eventually(t, "overwritten", func() bool { return shared.Try(t, "exec", name, "cmp", "/bin/busybox", "/tmp/sleep").Code == 1 })
			now, err := os.ReadFile(mine)
			if err != nil || sha256.Sum256(now) != sha256.Sum256(program) {
				t.Errorf("the runtime was changed: %d bytes, were %d (%v)", len(now), len(program), err)
			}
		})
	}
}

// /etc/passwd and /etc/group of an image are looked at before anything of the container runs, for --userns auto too
// (CVE-2024-9676): a link to a file without an end, or to one of the host, is neither read for ever nor shown.
func TestAccountsOfImageEndNowhere(t *testing.T) {
	t.Parallel()
	host := secret(t)
	for i, target := range []string{"/dev/zero", "/proc/self/fd/0", host + "/key", "../../../../../../../dev/zero"} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			from := image(t, []entry{{name: "etc/passwd", link: target}, {name: "etc/group", link: target}})
			for _, flags := range [][]string{{"--userns", "auto"}, {"-u", "someone"}, {"--userns", "keep-id"}} {
				args := append([]string{"run", "--rm", "--network", "none"}, flags...)
				r := shared.Try(t, append(args, from, "true")...)
				if r.Code < 0 || strings.Contains(r.Stderr, "host secret") {
					t.Errorf("%v: exit %d: %s", flags, r.Code, r.Stderr)
				}
			}
		})
	}
}

// Nobody else reads what is kept of containers: no file with content below the two directories can be
// reached by other users.
func TestStoreIsTheUsersAlone(t *testing.T) {
	t.Parallel()
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	s.Must(t, "secret", "create", "pw", file(t, "pw", "pass word"))
	s.Must(t, "run", "-d", "--name", "web", "--secret", "pw,type=env", "-v", "vol:/v", testkit.Image, "sh", "-c", "echo log line; sleep 1000")
	s.Must(t, "run", "--rm", "--network", "none", testkit.Image, "true")
	s.Must(t, "exec", "web", "true")
	s.Must(t, "commit", "-q", "web", "kept")
	for _, root := range []string{s.Data, s.Run} {
		seen := 0
		exposed := func(path string, mode fs.FileMode) { t.Errorf("others reach %s (%v)", path, mode) }
		filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil // files of the container's users below a directory that is theirs
			}
			info, err := d.Info()
			if err != nil {
				return nil
			}
			seen++
			if d.IsDir() && info.Mode()&0o011 == 0 && path != root {
				return fs.SkipDir // nobody gets in
			}
			if d.Type().IsRegular() && info.Mode()&0o044 != 0 && info.Size() > 0 || d.Type()&fs.ModeSocket != 0 && info.Mode()&0o022 != 0 {
				exposed(path, info.Mode())
			}
			return nil
		})
		info, err := os.Stat(root)
		if err != nil || info.Mode().Perm()&0o077 != 0 || seen == 0 {
			t.Errorf("%s: %v, %v", root, info.Mode(), err)
		}
	}
}

// The name that a file has while it is written may be taken by somebody else's: a link to a file that is to be
// overwritten, or a file that its owner would read.
func TestExportsDoNotWriteIntoWhatIsThere(t *testing.T) {
	t.Parallel()
	host, out, vol := secret(t), dir(t), volume(t)
	shared.Must(t, "volume", "create", vol)
	partial := filepath.Join(out, ".x.tar.tmp")
	if err := os.Link(filepath.Join(host, "key"), partial); err != nil {
		t.Skip(err)
	}
	shared.Must(t, "volume", "export", "-o", filepath.Join(out, "x.tar"), vol)
	for _, part := range []string{".y.tar.part", ".y.tar.tmp"} {
		if err := os.Link(filepath.Join(host, "key"), filepath.Join(out, part)); err != nil {
			t.Fatal(err)
		}
	}
	shared.Must(t, "save", "-q", "-o", filepath.Join(out, "y.tar"), testkit.Image)
}
