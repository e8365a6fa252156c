package system

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// systemd stands in for the service manager: what it is told arrives in the channel.
func systemd(t *testing.T) (*testkit.Store, <-chan string) {
	t.Helper()
	place := filepath.Join(dir(t), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: place, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	told := make(chan string, 10)
	go func() {
		defer close(told)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			told <- string(buf[:n])
		}
	}()
	return shared.With("NOTIFY_SOCKET=" + place), told
}

func heard(t *testing.T, told <-chan string) string {
	t.Helper()
	select {
	case message := <-told:
		return message
	case <-time.After(10 * time.Second):
		t.Fatal("systemd was told nothing")
		return ""
	}
}

// --sdnotify conmon tells systemd that the container runs, and which process stays with it; without it nobody is told.
//
// flag: run, create --sdnotify
func TestNotifyRunning(t *testing.T) {
	t.Parallel()
	s, told := systemd(t)
	name := shared.Name(t)
	s.Must(t, "run", "-d", "--network", "none", "--name", name, "--sdnotify", "conmon", testkit.Image, "sh", "-c", "echo \"[$NOTIFY_SOCKET]\"; sleep 1000")
	message := heard(t, told)
	if monitor := inspected(t, name, "{{.State.ConmonPid}}"); !strings.Contains(message, "READY=1") || !strings.Contains(message, "MAINPID="+monitor+"\n") {
		t.Errorf("told %q, want the monitor %s", message, monitor)
	}
	testkit.Eventually(t, "its output", func() bool { return shared.Must(t, "logs", name) != "" })
	want(t, "the container's environment", shared.Must(t, "logs", name), "[]")
	s.Must(t, runArgs("true")...)
	s.Must(t, runArgs("true", "--sdnotify", "ignore")...)
	select {
	case message := <-told:
		t.Errorf("told %q without being asked to", message)
	default:
	}
	shared.MustFail(t, 125, "its health is not told", "run", "--rm", "--sdnotify", "healthy", testkit.Image, "true")
	shared.Must(t, runArgs("true", "--sdnotify", "conmon")...) // no systemd there
}

// --sdnotify container has a detached run wait for the container's own word; one that ends without it is an error.
func TestNotifyByContainer(t *testing.T) {
	t.Parallel()
	s, told := systemd(t)
	name := shared.Name(t)
	self, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	s.Must(t, "run", "-d", "--network", "none", "--name", name, "--sdnotify", "container", "-e", sayReady+"=1", "-v", self+":/client:ro", testkit.Image, "/client")
	message := heard(t, told)
	for _, line := range []string{"READY=1", "STATUS=up", "MAINPID=" + inspected(t, name, "{{.State.ConmonPid}}")} {
		if !strings.Contains("\n"+message+"\n", "\n"+line+"\n") {
			t.Errorf("told %q, which lacks %s", message, line)
		}
	}
	if strings.Contains(message, "MAINPID="+strconv.Itoa(1)+"\n") {
		t.Errorf("the container's own idea of its pid was passed on: %q", message)
	}
	s.MustFail(t, 125, "ended before it said that it is ready", "run", "-d", "--network", "none", "--name", name+"-silent", "--sdnotify", "container", testkit.Image, "true")
	t.Cleanup(func() { shared.Try(t, "rm", "-f", name+"-silent") })
}

// sayReady makes this program, run in a container, a service that tells systemd when it is ready.
const sayReady = "WHERRY_TEST_SAY_READY"

func saidReady() bool {
	if os.Getenv(sayReady) == "" {
		return false
	}
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err == nil {
		conn.Write([]byte("STATUS=up\nMAINPID=1\nREADY=1"))
	}
	time.Sleep(time.Hour)
	return true
}
