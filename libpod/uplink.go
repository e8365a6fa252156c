package libpod

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/network/rootless"
	"github.com/wherry-containers/wherry/network/uplink"
	"github.com/wherry-containers/wherry/pkg/procs"
)

const (
	uplinkPidFile = "uplink.pid"
	uplinkDNS     = uplink.DNS
)

// uplink makes a network namespace with an uplink to itself. The namespace is kept by a bind mount in this thread's mount
// namespace: like the root file system it goes with the monitor and the container. The uplink shares the mount
// namespace, and the network namespace of the user; it ends when the run directory is removed.
func (s *startup) uplink(ctx context.Context) error {
	if !ownUplink(s.c.Network.Mode) {
		return nil
	}
	netns, err := rootless.NewNamespace(false)
	if err != nil {
		return fmt.Errorf("make a network namespace for container %q: %w", s.c.name(), err)
	}
	defer netns.Close()
	if err := s.keepNetns(netns); err != nil {
		return err
	}
	return s.startUplink(ctx, uplink.Options{Program: s.c.Network.Mode, Args: s.c.Network.Options,
		NetNS: filepath.Join(s.runDir, record.NetNSFile), PidFile: filepath.Join(s.runDir, uplinkPidFile)})
}

// startUplink starts it where the monitor is, so that it too outlives the login session.
func (s *startup) startUplink(ctx context.Context, o uplink.Options) error {
	if s.monitor.InGroup {
		o.Group = s.facts.Monitors()
	}
	if o.Group != nil {
		defer o.Group.Close()
		return uplink.Start(ctx, o)
	}
	if err := uplink.Start(ctx, o); err != nil {
		return err
	}
	pid, err := uplink.Pid(o.PidFile)
	if err != nil {
		return err
	}
	return s.facts.Place(pid)
}

// killUplink ends the uplink that a run left behind.
func (e *Engine) killUplink(c *container) {
	if c.live != nil && c.live.Uplink > 0 {
		procs.PidfdSignal(c.live.Uplink, c.live.UplinkStart, 9)
		return
	}
	pid, err := uplink.Pid(filepath.Join(e.dirs.ContainerRun(c.ID), uplinkPidFile))
	if err != nil || !isUplink(pid) {
		return
	}
	procs.PidfdSignal(pid, 0, 9)
}

// isUplink guards against a pid that was given away since it was written.
func isUplink(pid int) bool {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	name := strings.TrimSpace(string(comm))
	return err == nil && (strings.HasPrefix(name, "pasta") || strings.HasPrefix(name, "passt") || name == "slirp4netns")
}
