// Package testkit runs the built wherry in tests: one store a test binary, one small image, and helpers that look at
// what a command did rather than at what it said.
package testkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Image is the name of the small image that every store of a test holds: busybox with its applets.
const Image = "busybox"

// timeout ends a command that hangs, so that the test says which.
const timeout = 60 * time.Second

// Store is one wherry store with the binary that works on it.
type Store struct {
	Bin  string // path of wherry
	Data string
	Run  string
	Env  []string // added to each command's environment
}

// Result is what one command did.
type Result struct {
	Args   []string
	Stdout string
	Stderr string
	Code   int
}

// Out is standard output without the last line's end.
func (r Result) Out() string { return strings.TrimRight(r.Stdout, "\n") }

// Open makes a store with the image in a directory of its own and returns what removes it. bin is "bin" or "fault".
// It is for TestMain; the error asks to skip when there is nothing built.
func Open(bin string) (*Store, func(), error) {
	path, err := binary(bin)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "wherry-test.")
	if err != nil {
		return nil, nil, err
	}
	run := dir
	if base := os.Getenv("XDG_RUNTIME_DIR"); base != "" {
		if run, err = os.MkdirTemp(base, "wherry-test."); err != nil {
			return nil, nil, err
		}
	}
	s := &Store{Bin: path, Data: filepath.Join(dir, "data"), Run: filepath.Join(run, "run")}
	closer := func() { s.close(dir, run) }
	if err := s.importImage(dir); err != nil {
		closer()
		return nil, nil, err
	}
	return s, closer, nil
}

func binary(kind string) (string, error) {
	env := map[string]string{"bin": "WHERRY_BIN", "fault": "WHERRY_FAULT_BIN"}[kind]
	dir := os.Getenv(env)
	if dir == "" {
		return "", fmt.Errorf("%s is not set (make test sets it)", env)
	}
	path := filepath.Join(dir, "wherry")
	_, err := os.Stat(path)
	return path, err
}

// images keeps the image of the first store for the others: it takes longer to make than to read.
var images struct {
	sync.Mutex
	busybox []byte
}

func (s *Store) importImage(dir string) error {
	tar := filepath.Join(dir, "busybox.tar")
	if err := s.makeImage(tar); err != nil {
		return err
	}
	r := s.exec(nil, "import", "--change", "CMD [\"sh\"]", tar, Image)
	if r.Code != 0 {
		return fmt.Errorf("import the test image: exit %d: %s", r.Code, r.Stderr)
	}
	return nil
}

func (s *Store) makeImage(tar string) error {
	images.Lock()
	defer images.Unlock()
	if len(images.busybox) > 0 {
		return os.WriteFile(tar, images.busybox, 0o644)
	}
	script := filepath.Join(filepath.Dir(s.Bin), "../test/setup/image.sh")
	if _, err := os.Stat(script); err != nil {
		script = filepath.Join(filepath.Dir(s.Bin), "../../test/setup/image.sh") // bin/fault lies one deeper
	}
	if out, err := exec.Command(script, "busybox", tar).CombinedOutput(); err != nil {
		return fmt.Errorf("make the test image: %w: %s", err, out)
	}
	images.busybox, _ = os.ReadFile(tar) // only saves time
	return nil
}

// close removes all containers and the store itself, inside the user namespace where the files are ours.
func (s *Store) close(dirs ...string) {
	s.exec(nil, "rm", "-f", "-a", "-t", "0")
	s.exec(nil, append([]string{"unshare", "rm", "-rf"}, dirs...)...)
	for _, dir := range dirs {
		os.RemoveAll(dir)
	}
}

// exec runs wherry with stdin and returns what it did, also when it failed.
func (s *Store) exec(stdin *os.File, args ...string) Result {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := s.Command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if stdin != nil {
		cmd.Stdin = stdin
	}
	err := cmd.Run()
	r := Result{Args: args, Stdout: out.String(), Stderr: errs.String(), Code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.Code, r.Stderr = -1, r.Stderr+err.Error()
	}
	return r
}

// Command is a wherry command on this store, not started.
func (s *Store) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.Bin, args...)
	cmd.Env = append(append(os.Environ(), "WHERRY_DATA="+s.Data, "WHERRY_RUN="+s.Run), s.Env...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Try runs wherry and returns what it did.
func (s *Store) Try(t testing.TB, args ...string) Result {
	t.Helper()
	return s.exec(nil, args...)
}

// Must runs wherry, ends the test if it fails, and returns its standard output without the last line's end.
func (s *Store) Must(t testing.TB, args ...string) string {
	t.Helper()
	r := s.exec(nil, args...)
	if r.Code != 0 {
		t.Fatalf("wherry %s: exit %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Out()
}

// MustFail runs wherry, which must exit with code and say one line on standard error that contains text.
func (s *Store) MustFail(t testing.TB, code int, text string, args ...string) Result {
	t.Helper()
	r := s.exec(nil, args...)
	lines := strings.Count(strings.TrimRight(r.Stderr, "\n"), "\n") + 1
	if r.Code != code || !strings.Contains(r.Stderr, text) || lines > 2 {
		t.Errorf("wherry %s: exit %d, want %d; stderr, want one line with %q:\n%s", strings.Join(args, " "), r.Code, code, text, r.Stderr)
	}
	return r
}

// Name is a container or volume name for this test, removed with the container at its end.
func (s *Store) Name(t testing.TB) string {
	name := strings.NewReplacer("/", "-", " ", "-", "=", "-", ",", "-").Replace(strings.ToLower(t.Name()))
	t.Cleanup(func() { s.exec(nil, "rm", "-f", "-v", name) })
	return name
}

// Eventually waits until ok is true, for at most ten seconds.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not within 10 s", what)
}

// With returns the same store with more in the environment of its commands.
func (s *Store) With(env ...string) *Store {
	with := *s
	with.Env = append(append([]string{}, s.Env...), env...)
	return &with
}

// Monitors lists the processes whose environment names this store's run directory and that are monitors: those that
// stay with a container.
func (s *Store) Monitors() []int {
	var pids []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		comm, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil || !strings.HasPrefix(string(comm), "wherry-monitor") {
			continue
		}
		if cmd, err := os.ReadFile(filepath.Join(dir, "cmdline")); err != nil || len(cmd) == 0 {
			continue // a zombie: its parent has not looked yet
		}
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err == nil && strings.Contains(string(env), s.Run) {
			var pid int
			fmt.Sscanf(filepath.Base(dir), "%d", &pid)
			pids = append(pids, pid)
		}
	}
	return pids
}
