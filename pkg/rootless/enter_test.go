package rootless_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/procs"
)

func TestEnter(t *testing.T) {
	stub, plain := binaries(t)
	for name, first := range map[string]string{"stub": stub, "plain": plain} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cmd := w.command(first, "id", "", "a b")
			cmd.Dir = w.home
			got := w.show(cmd)
			checkInside(t, w, got)
			if got.Cwd != w.home || fmt.Sprint(got.Args) != "[id  a b]" {
				t.Errorf("working directory %s, arguments %q", got.Cwd, got.Args)
			}
			for _, binary := range []string{stub, plain} {
				again := w.show(w.command(binary, "id"))
				checkInside(t, w, again)
				if again.Joined != (binary == stub) || again.Namespace != got.Namespace || again.Mounts != got.Mounts {
					t.Errorf("%s: second call in %s %s, first in %s %s", binary, again.Namespace, again.Mounts, got.Namespace, got.Mounts)
				}
			}
		})
	}
}

func checkInside(t *testing.T, w *world, got shown) {
	t.Helper()
	s := got.Status
	if got.EUID != 0 || got.EGID != 0 || !s.Rootless || !s.Inside || s.UID != w.uid || s.GID != w.gid || s.PausePID != w.pausePID("pause") || len(s.Problems) > 0 {
		t.Errorf("got %+v", got)
	}
	if len(s.UIDMap) < 2 || int(s.UIDMap[0].HostID) != w.uid || s.UIDMap[0].Size != 1 || s.UIDMap[1].ContainerID != 1 {
		t.Errorf("uid map %+v", s.UIDMap)
	}
	want := map[string]string{
		"HOME": w.home, "_CONTAINERS_USERNS_CONFIGURED": "done",
		"_CONTAINERS_ROOTLESS_UID": strconv.Itoa(w.uid), "_CONTAINERS_ROOTLESS_GID": strconv.Itoa(w.gid),
	}
	if fmt.Sprint(got.Env) != fmt.Sprint(want) {
		t.Errorf("environment %v, want %v", got.Env, want)
	}
}

func TestNestedCallKnowsThatItIsInside(t *testing.T) {
	stub, plain := binaries(t)
	w := newWorld(t)
	first := w.show(w.command(stub, "id"))
	for _, inner := range []string{stub, plain} {
		got := w.show(w.command(stub, "exec", inner, "id"))
		checkInside(t, w, got)
		if got.Namespace != first.Namespace {
			t.Errorf("nested in another namespace: %s", got.Namespace)
		}
	}
}

func TestConcurrentFirstCalls(t *testing.T) {
	stub, _ := binaries(t)
	w := newWorld(t)
	const n = 16
	var wg sync.WaitGroup
	results, errs := make([]shown, n), make([]error, n)
	for i := range n {
		wg.Go(func() { results[i], errs[i] = try(w.command(stub, "id")) })
	}
	wg.Wait()
	for i := range n {
		if errs[i] != nil || results[i].Mounts != results[0].Mounts || results[i].Namespace != results[0].Namespace {
			t.Errorf("call %d: %v, %s %s", i, errs[i], results[i].Namespace, results[i].Mounts)
		}
	}
	if pauses := w.processesNamed("wherry-pause", results[0].Namespace); len(pauses) != 1 {
		t.Errorf("pause processes: %v", pauses)
	}
}

// processesNamed are the processes of the user with a name; ns may be empty.
func (w *world) processesNamed(comm, ns string) (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if strings.TrimSpace(string(readFile(dir+"/comm"))) != comm {
			continue
		}
		if link, err := os.Readlink(dir + "/ns/user"); err == nil && (ns == "" || link == ns) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestHeals(t *testing.T) {
	stub, plain := binaries(t)
	other := exec.Command("sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	replace := func(w *world, content string) error {
		path := filepath.Join(w.run, "pause")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
		return os.Chown(path, w.uid, w.gid)
	}
	file := func(w *world) []string { return strings.Fields(string(readFile(filepath.Join(w.run, "pause")))) }
	for name, damage := range map[string]func(*world) error{
		"killed":       func(w *world) error { return syscall.Kill(w.pausePID("pause"), syscall.SIGKILL) },
		"file removed": func(w *world) error { return os.Remove(filepath.Join(w.run, "pause")) },
		"empty file":   func(w *world) error { return replace(w, "") },
		"half a file":  func(w *world) error { return replace(w, strings.Join(file(w)[:2], " ")) },
		"pid of another process": func(w *world) error {
			return replace(w, strconv.Itoa(other.Process.Pid)+" "+strings.Join(file(w)[1:], " ")+"\n")
		},
		"pid recycled, same namespaces": func(w *world) error {
			f := file(w)
			return replace(w, f[0]+" 1 "+strings.Join(f[2:], " ")+"\n")
		},
		"run directory removed": func(w *world) error { return os.RemoveAll(w.run) },
	} {
		for kind, binary := range map[string]string{"stub": stub, "plain": plain} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				w := newWorld(t)
				w.show(w.command(binary, "id"))
				old := w.pausePID("pause")
				t.Cleanup(func() { syscall.Kill(old, syscall.SIGKILL) })
				if err := damage(w); err != nil {
					t.Fatal(err)
				}
				waitGone(t, name == "killed", old)
				checkInside(t, w, w.show(w.command(binary, "id")))
			})
		}
	}
}

func waitGone(t *testing.T, wanted bool, pid int) {
	t.Helper()
	start, err := procs.StartTime(pid)
	for i := 0; wanted && err == nil && procs.Alive(pid, start); i++ {
		if i == 1000 {
			t.Fatalf("process %d does not end", pid)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// A container that runs must stay in reach when the pause process is killed.
func TestHealsIntoTheNamespaceThatStillLives(t *testing.T) {
	stub, plain := binaries(t)
	for kind, binary := range map[string]string{"stub": stub, "plain": plain} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			before := w.show(w.command(binary, "id"))
			running := w.command(binary, "exec", "sh", "-c", "echo in; exec sleep 1000")
			out, err := running.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			running.SysProcAttr.Setpgid = true
			if err := running.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { syscall.Kill(-running.Process.Pid, syscall.SIGKILL); running.Wait() }()
			if _, err := out.Read(make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			old := w.pausePID("pause")
			syscall.Kill(old, syscall.SIGKILL)
			waitGone(t, true, old)
			after := w.show(w.command(binary, "id"))
			checkInside(t, w, after)
			if after.Namespace != before.Namespace {
				t.Errorf("user namespace was %s, is %s", before.Namespace, after.Namespace)
			}
		})
	}
}

func TestStop(t *testing.T) {
	stub, plain := binaries(t)
	for _, binary := range []string{stub, plain} {
		w := newWorld(t)
		w.show(w.command(binary, "id"))
		old := w.pausePID("pause")
		if out, err := w.command(binary, "stop").CombinedOutput(); err != nil {
			t.Fatalf("stop: %v: %s", err, out)
		}
		if _, err := os.Stat(filepath.Join(w.run, "pause")); !os.IsNotExist(err) {
			t.Errorf("the pause file is there after stop: %v", err)
		}
		waitGone(t, true, old)
		checkInside(t, w, w.show(w.command(binary, "id")))
	}
}

func TestWorkingDirectory(t *testing.T) {
	stub, plain := binaries(t)
	w := newWorld(t)
	w.show(w.command(stub, "id"))
	dir := filepath.Join(filepath.Dir(w.run), "with space", strings.Repeat("deep/", 20), "é")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, binary := range []string{stub, plain} {
		cmd := w.command(binary, "id")
		cmd.Dir = dir
		if got := w.show(cmd); got.Cwd != dir {
			t.Errorf("%s: %q", filepath.Base(binary), got.Cwd)
		}
		gone := w.command("sh", "-c", `mkdir "$1" && cd "$1" && rmdir "$1" && exec "$0" id`, binary, filepath.Join(filepath.Dir(w.run), "gone"))
		checkInside(t, w, w.show(gone))
	}
}

// The stub and layout.RunDir must look for the pause file in the same place.
func TestRunDirectories(t *testing.T) {
	stub, _ := binaries(t)
	w := newWorld(t)
	own := filepath.Dir(w.run)
	for name, env := range map[string][]string{
		"WHERRY_RUN":              {"WHERRY_RUN=" + own + "/elsewhere/run", "XDG_RUNTIME_DIR=/proc"},
		"XDG_RUNTIME_DIR":         {"XDG_RUNTIME_DIR=" + own},
		"none":                    {},
		"XDG_RUNTIME_DIR missing": {"XDG_RUNTIME_DIR=" + own + "/missing"},
		"XDG_RUNTIME_DIR foreign": {"XDG_RUNTIME_DIR=/proc"},
		"empty variables":         {"WHERRY_RUN=", "XDG_RUNTIME_DIR="},
	} {
		t.Run(name, func(t *testing.T) {
			call := func(what string) *exec.Cmd {
				cmd := w.command(stub, what)
				cmd.Env = append([]string{"HOME=" + w.home, "PATH=" + os.Getenv("PATH")}, env...)
				return cmd
			}
			kept, _ := filepath.Glob("/tmp/wherry-run-*")
			more, _ := filepath.Glob("/run/user/*/wherry")
			first := w.show(call("id"))
			if !first.Joined { // the second execution of the first call is joined by the stub, or else it was nsenter
				t.Errorf("the first call was not joined by the stub: %+v", first)
			}
			second := w.show(call("id"))
			if !second.Joined || second.Status.PausePID == 0 || second.Status.PauseFile != first.Status.PauseFile || second.Mounts != first.Mounts {
				t.Errorf("first %+v, second %+v", first, second)
			}
			if run := filepath.Dir(first.Status.PauseFile); !slices.Contains(append(kept, more...), run) {
				syscall.Kill(second.Status.PausePID, syscall.SIGKILL)
				os.RemoveAll(run)
			}
		})
	}
}

func TestOtherPrimaryGroup(t *testing.T) {
	stub, _ := binaries(t)
	w := newWorld(t)
	if w.cred == nil {
		t.Skip("needs root to choose the group")
	}
	w.show(w.command(stub, "id"))
	cmd := w.command(stub, "id")
	cmd.SysProcAttr.Credential.Gid = 65533
	if got := w.show(cmd); got.EGID != 0 || !got.Joined {
		t.Errorf("got %+v", got)
	}
}

// An emulated binary starts as usual where a pause process is there to join: setns fails under qemu-user.
func TestEmulated(t *testing.T) {
	stub, _ := binaries(t)
	w := newWorld(t)
	w.show(w.command(stub, "id"))
	for arch, emulator := range map[string]string{"arm64": "qemu-aarch64-static", "arm": "qemu-arm-static"} {
		if _, err := exec.LookPath(emulator); err != nil || arch == runtime.GOARCH {
			continue
		}
		binary := filepath.Join(filepath.Dir(stub), arch)
		cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-E wherry_start", "-o", binary, "./testdata/enter")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARM=6", "GOARCH="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
		if out, err := w.command(emulator, binary, "hello").CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", arch, err, out)
		}
	}
}

func TestPauseProcess(t *testing.T) {
	stub, _ := binaries(t)
	w := newWorld(t)
	// A descriptor that the caller's shell left open must not live on in the pause process.
	leaky := w.command("sh", "-c", `exec 7</dev/zero; exec "$0" id`, stub)
	w.show(leaky)
	pid := w.pausePID("pause")
	proc := fmt.Sprintf("/proc/%d/", pid)
	if fds, err := os.ReadDir(proc + "fd"); err != nil || len(fds) != 0 {
		t.Errorf("open descriptors: %v, %v", fds, err)
	}
	if strings.Contains(string(readFile(proc+"mountinfo")), " shared:") {
		t.Error("mounts made inside would reach other namespaces")
	}
	if sid := strings.Fields(string(readFile(proc + "stat")))[5]; sid != strconv.Itoa(pid) {
		t.Errorf("session %s, process %d", sid, pid)
	}
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE, syscall.SIGCHLD} {
		syscall.Kill(pid, sig)
	}
	time.Sleep(20 * time.Millisecond)
	if again := w.show(w.command(stub, "id")); again.Status.PausePID != pid {
		t.Errorf("a signal of a closing terminal ended the pause process")
	}
	for _, line := range strings.Split(string(readFile(proc+"smaps_rollup")), "\n") {
		if strings.HasPrefix(line, "Pss:") {
			t.Log("memory of the pause process:", line)
		}
	}
	syscall.Kill(pid, syscall.SIGTERM)
	waitGone(t, true, pid)
}

func TestSingleID(t *testing.T) {
	stub, plain := binaries(t)
	for _, binary := range []string{stub, plain} {
		for _, setting := range []string{"WHERRY_SINGLE_ID=1", "ENTER_SINGLE=1"} {
			w := newWorld(t)
			for range 2 {
				cmd := w.command(binary, "id")
				cmd.Env = append(cmd.Env, setting, "PATH=/usr/bin:/bin") // without newuidmap's help
				got := w.show(cmd)
				if s := got.Status; !s.SingleID || !s.Inside || s.UID != w.uid || len(s.UIDMap) != 1 || len(s.GIDMap) != 1 || s.PausePID == 0 {
					t.Errorf("%s: %+v", setting, s)
				}
			}
			checkInside(t, w, w.show(w.command(binary, "id")))
		}
	}
}

// The difference of these two is what joining costs.
func BenchmarkHello(b *testing.B)  { benchmark(b, "hello", "WHERRY_RUN=/nonexistent") }
func BenchmarkJoined(b *testing.B) { benchmark(b, "true") }

func benchmark(b *testing.B, what string, env ...string) {
	stub, _ := binaries(b)
	w := newWorld(b)
	if _, err := try(w.command(stub, "id")); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		cmd := w.command(stub, what)
		cmd.Env = append(cmd.Env, env...)
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
	}
}
