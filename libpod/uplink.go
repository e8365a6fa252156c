package libpod

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/network/uplink"
	"github.com/wherry-containers/wherry/pkg/procs"
)

const (
	uplinkPidFile = "uplink.pid"
	uplinkDNS     = uplink.DNS
)

// uplink connects a private network. The monitor's thread group is in the container's network namespace, this process
// is in the user's.
func (s *startup) uplink(ctx context.Context) error {
	if s.c.Network.Mode != "private" {
		return nil
	}
	done := make(chan error, 1)
	go func() { // any thread but this one, which has left the user's network
		done <- uplink.Start(ctx, fmt.Sprintf("/proc/%d/ns/net", s.monitor.Pid), filepath.Join(s.runDir, uplinkPidFile))
	}()
	return <-done
}

// killUplink ends the uplink that a run left behind.
func (e *Engine) killUplink(c *container) {
	if c.live != nil && c.live.Uplink > 0 {
		procs.PidfdSignal(c.live.Uplink, c.live.UplinkStart, 9)
		return
	}
	data, err := os.ReadFile(filepath.Join(e.dirs.ContainerRun(c.ID), uplinkPidFile))
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
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
