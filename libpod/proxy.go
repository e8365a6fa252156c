package libpod

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalProxy hands the signals this process gets on to a container's first process, all but those that concern only us.
type signalProxy struct {
	got  chan os.Signal
	runs chan struct{} // closed when there is a container to hand them to
}

// catchSignals begins to catch signals and keeps them until pass. To catch them all takes the Go runtime two
// milliseconds, which pass beside what the caller does next. Once caught they stay so: a command ends with its container.
func (e *Engine) catchSignals(c *container) *signalProxy {
	p := &signalProxy{got: make(chan os.Signal, 32), runs: make(chan struct{})}
	go func() {
		signal.Notify(p.got)
		<-p.runs
		for s := range p.got {
			sig, ok := s.(syscall.Signal)
			if !ok || ownSignal(sig) {
				continue
			}
			if now := e.loadLive(c.ID); now != nil { // a restart gives it another pid
				(&container{Config: c.Config, live: now}).signal(sig)
			}
		}
	}()
	return p
}

// pass hands on what was caught and what comes.
func (p *signalProxy) pass() {
	if p != nil {
		close(p.runs)
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
