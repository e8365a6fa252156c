package libpod

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// proxySignals hands the signals this process gets on to the container's first process, all but those that concern
// only us, until the returned function is called.
func (e *Engine) proxySignals(c *container) (stop func()) {
	got := make(chan os.Signal, 32)
	signal.Notify(got)
	go func() {
		for s := range got {
			sig, ok := s.(syscall.Signal)
			if !ok || ownSignal(sig) {
				continue
			}
			if now := e.loadLive(c.ID); now != nil { // a restart gives it another pid
				(&container{Config: c.Config, live: now}).signal(sig)
			}
		}
	}()
	return func() {
		signal.Stop(got)
		close(got)
	}
}

// ownSignal tells signals that concern this process alone: children, windows (attach sends the size), the runtime's
// pre-emption signal, and broken pipes.
func ownSignal(sig syscall.Signal) bool {
	switch sig {
	case unix.SIGCHLD, unix.SIGWINCH, unix.SIGURG, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU, unix.SIGTSTP, unix.SIGCONT:
		return true
	}
	return false
}
