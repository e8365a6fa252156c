// Package cgroup finds out how containers can be put into control groups here, and pauses and removes their groups.
package cgroup

// Root is where control groups are mounted.
const Root = "/sys/fs/cgroup"

// Manager says who makes a container's group.
type Manager string

// The managers. Cgroupfs: the runtime makes directories; Systemd: it asks systemd for a scope; Disabled: none is made.
const (
	Systemd  Manager = "systemd"
	Cgroupfs Manager = "cgroupfs"
	Disabled Manager = "disabled"
)

// Facts is what Detect found out about this process' place in the hierarchy.
type Facts struct {
	Version     int    // 2: unified; 1: legacy or hybrid; 0: nothing is mounted
	Hybrid      bool   // v1 controllers beside a unified tree
	Own         string // path of this process' group below Root (of the unified tree if there is one)
	Base        string // group below which containers get theirs (Cgroupfs), or that systemd puts their slice in
	Slice       string // systemd slice of containers (Systemd)
	Manager     Manager
	Controllers []string // controllers a container's group can have: memory, cpu, cpuset, pids, io, ...
	Rootless    bool
	Swap        bool   // swap can be limited
	Why         string // why Manager is Disabled or controllers are missing, for error texts
}

// Detect reads this process' place: a few small files, no connection to systemd.
func Detect(getenv func(string) string, rootless bool, realUID int) Facts { return Facts{} }

// Has reports whether a container's group can have the controller.
func (f Facts) Has(controller string) bool { return false }

// Missing is the error for a limit that needs a controller which is not there; flag is the option asked for (--memory).
func (f Facts) Missing(controller, flag string) error { return nil }

// SpecPath is linux.cgroupsPath for container id; empty when Manager is Disabled.
func (f Facts) SpecPath(id string) string { return "" }

// Dirs are the absolute directories of the container's group: one on v2, one per controller on v1; nil when Disabled.
func (f Facts) Dirs(id string) []string { return nil }

// Remove removes a group and what is below it; absent is fine. With kill, what still runs in it is killed first.
func Remove(dir string, kill bool) error { return nil }

// Freeze stops all processes of a group (v2) and returns when they are stopped.
func Freeze(dir string) error { return nil }

// Thaw undoes Freeze.
func Thaw(dir string) error { return nil }

// Frozen reports whether the group is frozen.
func Frozen(dir string) bool { return false }
