package rootfs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// testRoot is the outer id of root in the tests' user namespace when the real root runs them.
const testRoot = 1000000

// inNamespaces runs fn, with an empty directory, in a mount namespace of its own: in a user namespace, and again as
// the real root where the test is started by it. The test starts itself for each.
func inNamespaces(t *testing.T, fn func(t *testing.T, dir string)) {
	t.Helper()
	if dir := os.Getenv("ROOTFS_TEST_DIR"); dir != "" {
		runtime.LockOSThread()
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		fn(t, dir)
		return
	}
	t.Run("userns", func(t *testing.T) { reexec(t, userNamespace(), testRoot) })
	if os.Geteuid() == 0 {
		t.Run("root", func(t *testing.T) { reexec(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}, 0) })
	}
}

func userNamespace() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}}
	if os.Geteuid() == 0 {
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: testRoot, Size: 65536}}
		attr.GidMappings = attr.UidMappings
		attr.Credential = &syscall.Credential{}
	}
	return attr
}

// command runs the test itself again; its directory belongs to the root of the namespace.
func command(t *testing.T, attr *syscall.SysProcAttr, owner int, env ...string) (*exec.Cmd, string) {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		must(t, os.Chmod(filepath.Dir(dir), 0o711))
		must(t, os.Chown(dir, owner, owner))
	}
	// Overlay's own directories have mode 0, which stops a user outside the namespace from removing them.
	t.Cleanup(func() {
		for _, path := range []string{"/work/work", "/work/work/incompat", "/work/work/incompat/volatile"} {
			os.Chmod(dir+path, 0o700)
		}
	})
	name, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+name+"$", "-test.v")
	cmd.Env = append(append(os.Environ(), "ROOTFS_TEST_DIR="+dir), env...)
	cmd.SysProcAttr = attr
	cmd.Dir = "/"
	return cmd, dir
}

func reexec(t *testing.T, attr *syscall.SysProcAttr, owner int) {
	cmd, _ := command(t, attr, owner)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skip(string(out))
	}
	if testing.Verbose() {
		t.Log(string(out))
	}
}

// newSpec makes n layers, bottom one first: each has file<i>, overwrites "common", and layer i > 0 removes file<i-1> if
// i is odd.
func newSpec(t testing.TB, dir string, n int) Spec {
	t.Helper()
	s := Spec{Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work"), Target: filepath.Join(dir, "root")}
	must(t, os.MkdirAll(s.Target, 0o755))
	for i := range n {
		// As long as containers/storage's own paths.
		layer := filepath.Join(dir, "overlay", fmt.Sprintf("%064d", i), "diff")
		must(t, os.MkdirAll(layer, 0o755))
		write(t, filepath.Join(layer, fmt.Sprintf("file%d", i)), fmt.Sprint(i))
		write(t, filepath.Join(layer, "common"), fmt.Sprint(i))
		s.Lower = append([]string{layer}, s.Lower...)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

func wantFile(t testing.TB, path, content string) {
	t.Helper()
	if data, err := os.ReadFile(path); err != nil || string(data) != content {
		t.Errorf("%s: %q %v, want %q", path, data, err, content)
	}
}

func mounted(t testing.TB, target string) bool {
	t.Helper()
	data, err := os.ReadFile("/proc/thread-self/mounts")
	must(t, err)
	return strings.Contains(string(data), " "+target+" ")
}
