package libpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/network/uplink"
	"github.com/wherry-containers/wherry/pkg/procs"
	"golang.org/x/sys/unix"
)

const (
	uplinkPidFile = "uplink.pid"
	netnsFile     = "netns"
	uplinkDNS     = uplink.DNS
)

// uplink makes a private network and connects it. The namespace is kept by a bind mount in this thread's mount
// namespace: like the root file system it goes with the monitor and the container. The uplink shares the mount
// namespace, and the network namespace of the user; it ends when the run directory is removed.
func (s *startup) uplink(ctx context.Context) error {
	if s.c.Network.Mode != "private" {
		return nil
	}
	path := filepath.Join(s.runDir, netnsFile)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	netns, err := newNetns()
	if err != nil {
		return fmt.Errorf("make a network namespace for container %q: %w", s.c.name(), err)
	}
	defer netns.Close()
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", netns.Fd()), path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("keep the network namespace of container %q: %w", s.c.name(), err)
	}
	return s.startUplink(ctx, path, filepath.Join(s.runDir, uplinkPidFile))
}

// startUplink starts it where the monitor is, so that it too outlives the login session.
func (s *startup) startUplink(ctx context.Context, netns, pidFile string) error {
	var group *os.File
	if s.monitor.InGroup {
		group = s.facts.Monitors()
	}
	if group != nil {
		defer group.Close()
		return uplink.Start(ctx, netns, pidFile, group)
	}
	if err := uplink.Start(ctx, netns, pidFile, nil); err != nil {
		return err
	}
	pid, err := uplinkPid(pidFile)
	if err != nil {
		return err
	}
	return s.facts.Place(pid)
}

func uplinkPid(file string) (int, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// newNetns makes a network namespace on a thread of its own.
func newNetns() (netns *os.File, err error) {
	err = onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		// As in Docker: ports below 1024 need no capability inside.
		err := os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		netns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return netns, err
}

// killUplink ends the uplink that a run left behind.
func (e *Engine) killUplink(c *container) {
	if c.live != nil && c.live.Uplink > 0 {
		procs.PidfdSignal(c.live.Uplink, c.live.UplinkStart, 9)
		return
	}
	pid, err := uplinkPid(filepath.Join(e.dirs.ContainerRun(c.ID), uplinkPidFile))
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
