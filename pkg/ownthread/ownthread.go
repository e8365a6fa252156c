// Package ownthread runs a function on a thread of its own, whose namespaces it may change.
package ownthread

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Do runs fn on a thread that ends with it: what fn does to the thread's namespaces is seen by nobody but the processes
// and files that come of it. The process' first thread cannot end, and what lies in its namespaces would stay for as long
// as the process does, so it is passed over.
func Do(fn func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: so the thread ends with the goroutine
		if unix.Gettid() == os.Getpid() {
			result <- Do(fn)
			runtime.UnlockOSThread()
			return
		}
		result <- fn()
	}()
	return <-result
}
