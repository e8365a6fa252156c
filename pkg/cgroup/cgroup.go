// Package cgroup finds out how containers can be put into control groups here, and pauses and removes their groups.
//
// Where systemd runs (version 2), one scope of a user holds all containers' groups. It is a unit with Delegate=yes, which
// is what systemd asks of those who want to make groups of their own: it keeps its hands off what is below, and keeps the
// controllers switched on. So the runtime makes and removes groups there directly, without a scope for each container,
// which costs ten milliseconds and more. Monitors live in the scope too, out of reach of the end of a login session.
package cgroup

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/systemd"
)

// Root is where control groups are mounted.
const Root = "/sys/fs/cgroup"

// Manager says who makes a container's group.
type Manager string

// The managers. Cgroupfs: the runtime makes directories; Disabled: no group is made.
const (
	Cgroupfs Manager = "cgroupfs"
	Disabled Manager = "disabled"
)

// Facts is what Detect found out about this process' place in the hierarchy.
type Facts struct {
	Version     int      // 2: unified; 1: legacy or hybrid; 0: nothing is mounted
	Hybrid      bool     // v1 controllers beside a unified tree
	Own         string   // path of this process' group below Root
	Base        string   // group below which containers get theirs
	Slice       string   // systemd's slice of Base, when that is the scope that systemd delegates to us
	Manager     Manager  // of containers
	Controllers []string // controllers a container's group can have: memory, cpu, cpuset, pids, io, ...
	Kernel      []string // controllers the kernel has (v2), when some are missing from Controllers
	Rootless    bool
	Outside     bool   // a process of ours cannot move into Base by itself: it belongs to a login session
	Swap        bool   // swap can be limited
	Why         string // why Manager is Disabled or controllers are missing, for error texts

	systemd  systemd.Manager // to ask for the scope
	scope    string          // name of the scope, when it is one container's own
	under    string          // where containers get their groups, when that is not Base
	stay     bool            // the monitor stays in the group it was started in
	divided  bool            // Base is this process' own group, split
	declined bool            // the user wants no group
	realtime bool            // real-time scheduling can be limited
}

// prefix begins the name of every group of ours.
const prefix = "wherry-"

// Has reports whether a container's group can have the controller.
func (f Facts) Has(controller string) bool { return slices.Contains(f.Controllers, controller) }

// Realtime reports whether the kernel can limit real-time scheduling: some of v1 can.
func (f Facts) Realtime() bool { return f.realtime }

// Missing is the error for a limit that needs a controller which is not there; flag is the option asked for (--memory).
func (f Facts) Missing(controller, flag string) error {
	why := ""
	if f.Why != "" && (f.declined || !f.lacks(controller)) {
		why = ": " + f.Why
	}
	return errdefs.New(errdefs.ErrUnsupported, "%s needs the cgroup controller %q, which is not available%s (%s)",
		flag, controller, why, f.fix(controller))
}

// lacks: the kernel itself does not offer the controller in version 2.
func (f Facts) lacks(controller string) bool {
	return f.Version == 2 && !f.Has(controller) && !slices.Contains(f.Kernel, controller)
}

// Warning is what a user should know who has asked for no limit; empty when all is well.
func (f Facts) Warning() string {
	if f.Manager == Disabled {
		return "containers get no control group: " + f.Why
	}
	var held, absent, all []string
	for _, c := range []string{"cpu", "memory", "pids"} {
		switch {
		case f.Has(c):
		case f.lacks(c):
			absent = append(absent, c)
		default:
			held = append(held, c)
		}
	}
	if len(held) > 0 {
		all = append(all, "containers cannot be limited in "+strings.Join(held, ", ")+": "+f.Why+" ("+f.fix(held[0])+")")
	}
	if i := slices.Index(absent, "memory"); i >= 0 {
		all = append(all, "containers cannot be limited in memory: "+f.fix("memory"))
		absent = slices.Delete(absent, i, i+1)
	}
	if len(absent) > 0 {
		all = append(all, "containers cannot be limited in "+strings.Join(absent, ", ")+": this kernel cannot do it")
	}
	return strings.Join(all, "; ")
}

func (f Facts) fix(controller string) string {
	switch {
	case f.declined:
		return "leave one of the two out"
	case f.Version == 1 && f.Rootless:
		return "run it as root, or boot with systemd.unified_cgroup_hierarchy=1"
	case f.Version != 2:
		return "leave the limit out, or mount cgroup2 at " + Root
	case f.lacks("memory") && controller == "memory":
		return "the kernel has it off: on a Raspberry Pi add cgroup_enable=memory cgroup_memory=1 to the line in /boot/firmware/cmdline.txt and reboot"
	case f.lacks(controller):
		return "the kernel lacks it; leave the limit out"
	case f.Slice != "" && !slices.Contains(delegable, controller):
		return "systemd delegates no such controller; run it as root with --cgroup-manager=cgroupfs"
	case f.Rootless && f.Manager == Cgroupfs:
		return "delegate it: put [Service] and Delegate=cpu cpuset io memory pids into " +
			"/etc/systemd/system/user@.service.d/delegate.conf, then systemctl daemon-reload and log in again"
	case f.Rootless:
		return "ask for it in a session of systemd that delegates it, or run as root"
	}
	return "leave the limit out"
}

// delegable are the controllers that systemd hands down.
var delegable = []string{"cpu", "cpuset", "io", "memory", "pids"}

// SpecPath is linux.cgroupsPath for container id; empty when Manager is Disabled.
func (f Facts) SpecPath(id string) string {
	if f.Manager != Cgroupfs {
		return ""
	}
	switch {
	case f.under != "":
		return filepath.Join(f.under, prefix+id)
	case f.scope != "":
		return filepath.Join(f.Base, "container")
	}
	return filepath.Join(f.Base, prefix+id)
}

// Dirs are the absolute directories of the container's group: one on v2, one per controller on v1; nil when Disabled.
func (f Facts) Dirs(id string) []string {
	switch {
	case f.Manager != Cgroupfs:
		return nil
	case f.Version == 2:
		return []string{filepath.Join(Root, f.SpecPath(id))}
	}
	var dirs []string
	for _, c := range legacyControllers {
		dirs = append(dirs, filepath.Join(Root, c, f.SpecPath(id)))
	}
	return dirs
}

// legacyControllers are the hierarchies of v1 in which a runtime makes a group, freezer first: that one tells pause.
var legacyControllers = []string{
	"freezer", "memory", "cpu", "cpuacct", "cpuset", "pids", "blkio", "devices", "hugetlb", "net_cls", "net_prio",
	"perf_event", "rdma", "misc", "systemd", "unified",
}
