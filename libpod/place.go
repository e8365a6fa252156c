package libpod

import (
	"fmt"
	"os"

	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/rootless"
)

// place sees to it that the monitor, and the pause process with it, are in the control group that systemd delegates to
// us: they outlive the login session then. The runtime may make the container's group only from in there.
func (s *startup) place() error {
	if !s.monitor.InGroup {
		if err := s.facts.Place(s.monitor.Pid); err != nil {
			return err
		}
	}
	common := s.e.host().cgroup() // the pause process is nobody's own
	if pid := rootless.PausePID(); pid > 0 && s.facts.Slice != "" && s.e.host().rootless && !common.Placed(pid) {
		return common.Place(pid)
	}
	return nil
}

// placing places beside what the caller does until it asks for the outcome, where systemd may have to be asked; else
// another thread would cost more than it saves.
func (s *startup) placing() (outcome func() error) {
	if s.facts.Slice == "" || s.monitor.InGroup {
		err := s.place()
		return func() error { return err }
	}
	placed := make(chan error, 1)
	go func() { placed <- s.place() }()
	return func() error { return <-placed }
}

// withoutGroup goes on without a control group when none can be had; a limit that was asked for is then an error.
func (s *startup) withoutGroup(in *spec.Input, cause error) {
	s.facts.Manager, s.facts.Slice, s.facts.Controllers, s.facts.Why = cgroup.Disabled, "", nil, cause.Error()
	s.runtime.Manager, in.Cgroup = cgroup.Disabled, s.facts
	s.e.opts.Warn(fmt.Sprintf("container %q runs without a control group: %v", s.c.name(), cause))
}

// placeExec moves this process to where the runtime can move on into the container's group. It is needed in a login
// session only, which is no part of what is delegated to the user.
func (e *Engine) placeExec() {
	facts := e.host().cgroup()
	if facts.Outside {
		facts.Place(os.Getpid()) // should that fail, the runtime says what it cannot do
	}
}
