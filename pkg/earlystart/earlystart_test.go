package earlystart_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// emulators run the binaries of other architectures.
var emulators = map[string]string{"arm64": "qemu-aarch64-static", "arm": "qemu-arm-static"}

func build(t *testing.T, arch, flags string) []string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "early-"+arch)
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", flags, "-o", binary, "./testdata/early")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch, "GOARM=6")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if arch == runtime.GOARCH {
		return []string{binary}
	}
	emulator, err := exec.LookPath(emulators[arch])
	if err != nil {
		t.Skipf("built; %s is not installed to run it", emulators[arch])
	}
	return []string{emulator, binary}
}

func run(argv []string, args ...string) (string, int) {
	argv = append(argv[:len(argv):len(argv)], args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "EARLY_VALUE=abc", "EARLY_VALUE2=no")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	return strings.ReplaceAll(string(out), "\x00", ""), 0
}

func TestHook(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64", "arm"} {
		t.Run(arch, func(t *testing.T) {
			argv := build(t, arch, "-E wherry_start")
			if out, code := run(argv, "x", "y"); out != "1 3 true abc 3 abc\n" || code != 0 {
				t.Errorf("run: %q, exit %d", out, code)
			}
			if out, code := run(argv, "exit"); out != "" || code != 7 {
				t.Errorf("exit in the hook: %q, exit %d", out, code)
			}
		})
	}
}

// A waiting process sleeps in ppoll, lives on after an ignored signal, and holds next to no memory.
func TestWaitForever(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64", "arm"} {
		t.Run(arch, func(t *testing.T) {
			argv := append(build(t, arch, "-E wherry_start"), "wait")
			cmd := exec.Command(argv[0], argv[1:]...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond)
			cmd.Process.Signal(syscall.SIGCONT)
			time.Sleep(50 * time.Millisecond)
			pss := regexp.MustCompile(`(?m)^Pss: +(\d+) kB`).FindSubmatch(read(t, cmd.Process.Pid, "smaps_rollup"))
			stat := read(t, cmd.Process.Pid, "stat")
			cmd.Process.Kill()
			if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
				t.Errorf("ended by itself: %v", err)
			}
			if !bytes.Contains(stat, []byte(") S ")) {
				t.Errorf("does not sleep: %s", stat)
			}
			if kb, _ := strconv.Atoi(string(pss[1])); arch == runtime.GOARCH && kb > 40 {
				t.Errorf("holds %d kB", kb)
			} else {
				t.Logf("holds %d kB", kb)
			}
		})
	}
}

func read(t *testing.T, pid int, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestWithoutFlag(t *testing.T) {
	argv := build(t, runtime.GOARCH, "")
	if out, code := run(argv, "exit"); !strings.HasPrefix(out, "0 0 ") || !strings.HasSuffix(out, " 2 abc\n") || code != 0 {
		t.Errorf("run: %q, exit %d", out, code)
	}
}
