package libpod

import (
	"strings"
	"sync/atomic"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/ownthread"
)

// Ahead is what a start needs whatever is started: a thread with a mount namespace of its own, and a monitor in it. A
// command that is about to start a container has them made while it still reads its flags. What is not used costs some
// processor time and ends with the program.
type Ahead struct {
	taken   atomic.Bool
	work    chan func() error // runs on the thread, once
	result  chan error
	host    func() *host // is found out here, for the engine too
	group   string       // that the monitor was started in; empty: the caller's
	monitor *monitor.Process
}

// NewAhead begins to make one for the engine of getenv's directories.
func NewAhead(getenv func(string) string) *Ahead {
	a := &Ahead{work: make(chan func() error), result: make(chan error, 1), host: hostOnce()}
	go ownthread.Do(func() error {
		if a.make(getenv) != nil {
			a.drop() // whoever makes it anew will say why it cannot be
		}
		if work, used := <-a.work; used {
			a.result <- work()
		} else {
			a.drop()
		}
		return nil
	})
	return a
}

func (a *Ahead) make(getenv func(string) string) error {
	dirs, err := layout.Find(getenv)
	if err != nil {
		return err
	}
	facts, err := a.host().cgroup().For(cgroup.Want{})
	if err != nil {
		return err
	}
	if err := isolate(); err != nil {
		return err
	}
	group := facts.Monitors()
	if group != nil {
		defer group.Close()
		a.group = group.Name()
	}
	a.monitor, err = monitor.SpawnAhead(dirs.Monitor(), group)
	return err
}

func (a *Ahead) drop() {
	if a.monitor != nil {
		a.monitor.Drop()
		a.monitor = nil
	}
}

// onThread runs launch on a thread with a mount namespace of its own: the one that was made ahead, if there is one and it
// fits, else on one that ends with it.
func (s *startup) onThread(launch func() error) error {
	a := s.e.opts.Ahead
	if a == nil || !a.taken.CompareAndSwap(false, true) {
		return onOwnThread(launch)
	}
	if !s.fits() {
		close(a.work)
		return onOwnThread(launch)
	}
	a.work <- func() error {
		if a.monitor == nil || a.group != s.facts.MonitorsPath() {
			a.drop()
			return onOwnThread(launch)
		}
		s.ahead = a.monitor
		return launch()
	}
	return <-a.result
}

// fits says that the monitor needs nothing that only a child of now can have, and that the mount namespace may be of the
// time before the container was locked.
func (s *startup) fits() bool {
	if s.c.Log.Driver == "passthrough" || len(s.c.keep) > 0 || s.e.heldMount(s.c.ID) != "" {
		return false
	}
	for _, m := range s.c.Mounts {
		if strings.HasSuffix(m.Propagation, "shared") {
			return false
		}
	}
	return true
}
