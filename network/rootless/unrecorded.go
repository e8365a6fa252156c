package rootless

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/network/uplink"
	"github.com/wherry-containers/wherry/pkg/procs"
	"golang.org/x/sys/unix"
)

// A command that is killed while it starts the uplink leaves one that uplink.json does not name. It holds the interface
// that the next one wants, and leaves its pid in the file that it was told of.

func uplinkPid(dir state.Dir) string { return filepath.Join(string(dir), "uplink.pid") }

// stopUnrecorded ends the uplink that left its pid, and tells whether there was one.
func stopUnrecorded(dir state.Dir) bool {
	pid, err := uplink.Pid(uplinkPid(dir))
	os.Remove(uplinkPid(dir))
	if err != nil {
		return false
	}
	start, err := procs.StartTime(pid)
	if err != nil || !serves(pid, dir) {
		return false
	}
	fd, err := procs.PidfdOpen(pid, start)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if procs.SendSignal(fd, unix.SIGKILL) != nil {
		return false
	}
	unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000) // its interface goes with it
	return true
}

// serves guards against a pid that was given away since it was written: an uplink has the namespace among its arguments.
func serves(pid int, dir state.Dir) bool {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(cmdline, []byte(dir.Namespace()))
}

// awaitUnrecorded gives an uplink that is still starting the time to leave its pid, and ends it. It is called only when
// something was in the way of ours.
func awaitUnrecorded(dir state.Dir) bool {
	for range 50 {
		if stopUnrecorded(dir) {
			return true
		}
		time.Sleep(10 * time.Millisecond) // nothing tells of the file that another process is about to write
	}
	return false
}
