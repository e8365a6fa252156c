package libpod

import (
	"context"
	"errors"
	"os/exec"
	"testing"

	"github.com/wherry-containers/wherry/libpod/record"
)

// Who finds a container running that has ended looks again, and says nothing of it.
func TestUnlessEnded(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	gone := &container{live: &record.Live{Pid: cmd.Process.Pid, PidStart: 1}}
	if _, err := openProcessRoot(gone); !errors.Is(err, errEnded) {
		t.Errorf("root of a process that is gone: %v", err)
	}
	e := &Engine{}
	if err := e.viewRunning(gone, withMounts, func(*fileView) error { return nil }); !errors.Is(err, errEnded) {
		t.Errorf("view of a container that is gone: %v", err)
	}
	tries := 0
	err := unlessEnded(t.Context(), func() error {
		if tries++; tries < 3 {
			return errEnded
		}
		return nil
	})
	if err != nil || tries != 3 {
		t.Errorf("%v after %d tries", err, tries)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := unlessEnded(ctx, func() error { return errEnded }); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
