package ownthread

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain keeps the tests on the first thread, where Do must not run anything.
func TestMain(m *testing.M) {
	runtime.LockOSThread()
	os.Exit(m.Run())
}

func TestDoIsNeverOnTheFirstThread(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	for range 50 {
		var thread int
		err := Do(func() error {
			thread = unix.Gettid()
			return failed
		})
		if !errors.Is(err, failed) || thread == os.Getpid() || thread == 0 {
			t.Fatalf("on thread %d of %d: %v", thread, os.Getpid(), err)
		}
	}
}
