package system

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// withFiles runs wherry with files as its descriptors from 3 on.
func withFiles(t *testing.T, files []*os.File, args ...string) (string, error) {
	t.Helper()
	cmd := shared.Command(context.Background(), args...)
	cmd.ExtraFiles = files
	out, err := cmd.CombinedOutput()
	return strings.TrimRight(string(out), "\n"), err
}

// run --preserve-fds and --preserve-fd hand open descriptors to the container; without them it has none.
//
// flag: run --preserve-fds --preserve-fd
func TestRunPreservesDescriptors(t *testing.T) {
	t.Parallel()
	open := func(text string) *os.File {
		f, err := os.Open(file(t, "f", text))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	for _, c := range []struct {
		flags  []string
		script string
		want   string
	}{
		{[]string{"--preserve-fds", "2"}, "cat <&3 <&4", "second"},
		{[]string{"--preserve-fd", "4"}, "cat <&4; test /proc/self/fd/3 -ef /dev/null && echo null", "second\nnull"},
		{nil, "test -e /proc/self/fd/3 || echo closed", "closed"},
	} {
		got, err := withFiles(t, []*os.File{open("first\n"), open("second\n")}, runArgs(c.script, c.flags...)...)
		if err != nil || got != c.want {
			t.Errorf("%v: %q, %v; want %q", c.flags, got, err, c.want)
		}
	}
	if got, err := withFiles(t, nil, "run", "--rm", "--preserve-fds", "1", testkit.Image, "true"); err == nil || !strings.Contains(got, "descriptor 3") {
		t.Errorf("one that is not open: %q, %v", got, err)
	}
	got, err := withFiles(t, []*os.File{open("x")}, "run", "--restart", "always", "--preserve-fds", "1", testkit.Image, "true")
	if err == nil || !strings.Contains(got, "do not go together") {
		t.Errorf("with --restart: %q, %v", got, err)
	}
}

// Sockets that systemd opened (socket activation) reach the container's first process, which answers on them.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	place := filepath.Join(dir(t), "socket")
	listener, err := net.Listen("unix", place)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket, err := listener.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	// The shell knows the pid that wherry will have; systemd does too.
	args := append([]string{"-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec "$0" "$@"`, shared.Bin},
		runArgs("echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES; ls -l /proc/self/fd/3 | grep -c socket:")...)
	cmd := exec.Command("/bin/sh", args...)
	cmd.Env = shared.Command(context.Background()).Env
	cmd.ExtraFiles = []*os.File{socket}
	out, err := cmd.Output()
	if string(out) != "1 1 web\n1\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}
