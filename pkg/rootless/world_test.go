package rootless_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/wherry-containers/wherry/pkg/rootless"
)

// testUser is whom the tests run as when they are started by root; it is made if it is missing.
const testUser = "wherry-test"

// world is one unprivileged user with a run directory of its own.
type world struct {
	t        testing.TB
	uid, gid int
	home     string
	run      string
	cred     *syscall.Credential // nil: as ourselves
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, uid: os.Getuid(), gid: os.Getgid(), home: os.Getenv("HOME")}
	if w.uid == 0 {
		w.become(testUser)
	}
	if _, err := exec.LookPath("newuidmap"); err != nil {
		t.Skip("needs newuidmap")
	}
	dir, err := os.MkdirTemp("/tmp", "wherry-ns-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, w.uid, w.gid); err != nil {
		t.Fatal(err)
	}
	w.run = filepath.Join(dir, "run")
	t.Cleanup(func() {
		for _, name := range []string{"pause", "pause-single"} {
			if pid := w.pausePID(name); pid > 1 && bytes.Contains(readFile(fmt.Sprintf("/proc/%d/status", pid)), []byte(fmt.Sprintf("\nUid:\t%d", w.uid))) {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		os.RemoveAll(dir)
	})
	return w
}

func (w *world) become(name string) {
	w.t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		if out, err := exec.Command("useradd", "-m", name).CombinedOutput(); err != nil {
			w.t.Skipf("started by root, and the test user cannot be made: %s", out)
		}
		if u, err = user.Lookup(name); err != nil {
			w.t.Fatal(err)
		}
	}
	w.uid, _ = strconv.Atoi(u.Uid)
	w.gid, _ = strconv.Atoi(u.Gid)
	w.home = u.HomeDir
	w.cred = &syscall.Credential{Uid: uint32(w.uid), Gid: uint32(w.gid)}
}

func (w *world) command(argv ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: w.cred}
	cmd.Env = []string{"HOME=" + w.home, "PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "WHERRY_RUN=" + w.run}
	return cmd
}

// shown is what testdata/enter prints.
type shown struct {
	Status            rootless.Status
	EUID, EGID        int
	Joined            bool
	Cwd               string
	Namespace, Mounts string
	Args              []string
	Env               map[string]string
}

func (w *world) show(cmd *exec.Cmd) shown {
	w.t.Helper()
	s, err := try(cmd)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func try(cmd *exec.Cmd) (shown, error) {
	var s shown
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return s, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, &stderr)
	}
	if stderr.Len() > 0 {
		return s, fmt.Errorf("unasked output: %s", &stderr)
	}
	return s, json.Unmarshal(out, &s)
}

// fails runs a command that must end with status 125 and returns its one line.
func (w *world) fails(cmd *exec.Cmd) string {
	w.t.Helper()
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 125 || strings.Count(string(out), "\n") != 1 {
		w.t.Fatalf("want one line and exit 125, got %v:\n%s", err, out)
	}
	return string(out)
}

func (w *world) pausePID(name string) int {
	pid, _, _ := strings.Cut(string(readFile(filepath.Join(w.run, name))), " ")
	n, _ := strconv.Atoi(pid)
	return n
}

func readFile(path string) []byte {
	data, _ := os.ReadFile(path)
	return data
}

var built struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// binaries are testdata/enter with the entry stub and without it.
func binaries(t testing.TB) (stub, plain string) {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("/tmp", "wherry-enter-"); built.err != nil {
			return
		}
		built.err = os.Chmod(built.dir, 0o755)
		for name, flags := range map[string]string{"stub": "-E wherry_start", "plain": ""} {
			cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", flags, "-o", filepath.Join(built.dir, name), "./testdata/enter")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				built.err = fmt.Errorf("go build: %w\n%s", err, out)
			}
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "stub"), filepath.Join(built.dir, "plain")
}
