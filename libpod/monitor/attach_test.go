package monitor_test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/monitor"
)

// pair is a client's connection and the monitor's end of it.
func pair(t *testing.T) (client *os.File, server int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	client = os.NewFile(uintptr(fds[0]), "client")
	t.Cleanup(func() { client.Close() })
	return client, fds[1]
}

func exitMessage(code byte) []byte {
	return []byte{monitor.MsgExit, code, 0, 0, 0}
}

// The monitor may end with messages of the client unread: the kernel then resets the connection, but the exit code
// that was sent before must still arrive.
func TestExitCodeArrivesAfterReset(t *testing.T) {
	client, server := pair(t)
	if _, err := client.Write([]byte{monitor.MsgStdinClose}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Send(server, exitMessage(3), 0); err != nil {
		t.Fatal(err)
	}
	unix.Close(server)
	code, _, err := monitor.Attach(t.Context(), client, monitor.Streams{})
	if code != 3 || err != nil {
		t.Errorf("exit code %d, %v; want 3", code, err)
	}
}

// A pipe that ends must end the input of a container's terminal, or `echo word | wherry run -it` would hang.
func TestEndOfPipeEndsTerminalInput(t *testing.T) {
	for input, want := range map[string]string{"": "\x04", "word\n": "word\n\x04", "word": "word\x04\x04"} {
		for _, ends := range []bool{true, false} {
			client, server := pair(t)
			done := make(chan error, 1)
			go func() {
				_, _, err := monitor.Attach(t.Context(), client, monitor.Streams{Stdin: strings.NewReader(input), Terminal: true, EndsInput: ends})
				done <- err
			}()
			got := typed(t, server)
			unix.Send(server, exitMessage(0), 0)
			if err := <-done; err != nil {
				t.Error(err)
			}
			unix.Close(server)
			if !ends {
				want = input
			}
			if got != want {
				t.Errorf("%q with EndsInput %t arrived as %q, want %q", input, ends, got, want)
			}
		}
	}
}

// typed is all input until the client says that its own has ended.
func typed(t *testing.T, server int) string {
	t.Helper()
	var all strings.Builder
	buf := make([]byte, monitor.MaxData+1)
	for {
		n, _, err := unix.Recvfrom(server, buf, 0)
		if err != nil || n == 0 {
			t.Fatalf("the client is gone: %v", err)
		}
		switch buf[0] {
		case monitor.MsgStdin:
			all.Write(buf[1:n])
		case monitor.MsgStdinClose:
			return all.String()
		}
	}
}
