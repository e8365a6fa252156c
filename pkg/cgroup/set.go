package cgroup

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Group is the control group of one container: one directory on v2, one per controller on v1.
type Group struct {
	Dirs    []string
	Version int
}

// dir is the directory in which the files of a controller of v1 are; on v2 there is only one.
func (g Group) dir(controller string) string {
	if g.Version == 2 && len(g.Dirs) == 1 {
		return g.Dirs[0]
	}
	for _, d := range g.Dirs {
		if strings.HasPrefix(d, filepath.Join(Root, controller)+"/") {
			return d
		}
	}
	return ""
}

func (g Group) write(controller, file, value string) error {
	dir := g.dir(controller)
	if dir == "" {
		return errdefs.New(errdefs.ErrUnsupported, "the container's control group has no controller %q (stop and start it where it can have one)", controller)
	}
	return write(dir, file, value)
}

// Throttle names a limit of a block device by its key in v2's io.max.
type Throttle string

// The limits: bytes and operations a second.
const (
	ReadBps   Throttle = "rbps"
	WriteBps  Throttle = "wbps"
	ReadIOps  Throttle = "riops"
	WriteIOps Throttle = "wiops"
)

// SetThrottle limits a device; a rate of 0 takes the limit away.
func (g Group) SetThrottle(what Throttle, major, minor int64, rate uint64) error {
	device := fmt.Sprintf("%d:%d ", major, minor)
	number := strconv.FormatUint(rate, 10)
	if g.Version == 2 {
		if rate == 0 {
			number = "max"
		}
		return g.write("io", "io.max", device+string(what)+"="+number)
	}
	file := map[Throttle]string{ReadBps: "read_bps", WriteBps: "write_bps", ReadIOps: "read_iops", WriteIOps: "write_iops"}[what]
	return g.write("blkio", "blkio.throttle."+file+"_device", device+number)
}

// NoQuota takes the limit of processor time off; v1 only.
func (g Group) NoQuota() error { return g.write("cpu", "cpu.cfs_quota_us", "-1") }

// SetSwappiness sets how readily the group is swapped out; v1 only.
func (g Group) SetSwappiness(n int64) error {
	return g.write("memory", "memory.swappiness", strconv.FormatInt(n, 10))
}
