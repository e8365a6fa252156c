package run_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/run"
	"github.com/wherry-containers/wherry/pkg/testkit"
)

// TestFurtherCommands: they see what the step sees, end by themselves or by a signal, and at the latest with the step.
func TestFurtherCommands(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	signals := make(chan unix.Signal, 1)
	s := sh("trap 'echo bye; exit 0' TERM; echo first > /made; while :; do sleep 0.1; done")
	s.Meta.Env, s.Meta.Cwd = []string{"A=b"}, "/work"
	s.Container, s.Signals = run.NewContainer(), signals
	s.Mounts = []run.Mount{{Target: "/src", Source: b.source("x")}}
	var out bytes.Buffer
	s.Stdout = &out
	ended := make(chan error, 1)
	go func() { ended <- b.runner.Run(context.Background(), b.root, s) }()
	exec := func(script string, change func(*run.Process)) (string, error) {
		var out bytes.Buffer
		p := run.Process{Args: []string{"/bin/sh", "-c", script}, Stdout: &out, Stderr: &out}
		if change != nil {
			change(&p)
		}
		err := s.Container.Exec(context.Background(), p)
		return out.String(), err
	}
	testkit.Eventually(t, "the step to begin", func() bool { _, err := os.Stat(b.in("made")); return err == nil })
	got, err := exec("cat /made /src/x; pwd; echo $A $C; id -u; ls /proc | grep -c '^[0-9]'; cat", func(p *run.Process) {
		p.Env, p.User, p.Stdin = []string{"C=d"}, "bob", strings.NewReader("typed")
	})
	if want := "first\nx/work\nb d\n1000\n"; err != nil || !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "\ntyped") {
		t.Errorf("%q %v", got, err)
	}
	var exit *run.ExitError
	if _, err := exec("exit 5", nil); !errors.As(err, &exit) || exit.Code != 5 {
		t.Error(err)
	}
	if _, err := exec("", func(p *run.Process) { p.Args = []string{"nosuch"} }); !errors.As(err, &exit) || exit.Code != 127 {
		t.Error(err)
	}
	stop := make(chan unix.Signal, 1)
	go func() {
		testkit.Eventually(t, "the command to wait", func() bool { _, err := os.Stat(b.in("armed")); return err == nil })
		stop <- unix.SIGINT
	}()
	if _, err := exec("trap 'kill $!; exit 9' INT; sleep 31415926 & touch /armed; wait", func(p *run.Process) { p.Signals = stop }); !errors.As(err, &exit) || exit.Code != 9 {
		t.Error(err)
	}
	late := make(chan error, 1)
	go func() { _, err := exec("sleep 27182818", nil); late <- err }()
	testkit.Eventually(t, "the last command to run", func() bool { return len(marked("27182818")) > 0 })
	signals <- unix.SIGTERM
	for _, end := range []chan error{ended, late} {
		select {
		case err := <-end:
			if end == ended && (err != nil || out.String() != "bye\n") {
				t.Errorf("%v %q", err, out.String())
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it goes on")
		}
	}
	if left := append(marked("31415926"), marked("27182818")...); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	if _, err := exec("true", nil); err == nil {
		t.Error("a command in a container that has ended")
	}
}
