package cgroup

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/systemd"
)

// Detect reads this process' place: a few small files, no connection to systemd. rootless and realUID are those of
// the user outside our user namespace.
func Detect(getenv func(string) string, rootless bool, realUID int) Facts {
	d := detector{root: Root, proc: "/proc/self/cgroup", run: "/run", getenv: getenv, uid: realUID, mode: fsMode(Root),
		writable: writable}
	return d.detect(rootless)
}

// detector holds what tests put in place of the machine.
type detector struct {
	root, proc, run string
	getenv          func(string) string
	uid             int
	mode            int // 0: nothing mounted, 1: controllers of v1, 2: unified
	writable        func(path string) bool
}

func fsMode(root string) int {
	var st unix.Statfs_t
	switch err := unix.Statfs(root, &st); {
	case err != nil:
		return 0
	case int64(st.Type) == unix.CGROUP2_SUPER_MAGIC:
		return 2
	case int64(st.Type) == unix.TMPFS_MAGIC:
		return 1
	}
	return 0
}

func (d detector) detect(rootless bool) Facts {
	f := Facts{Version: d.mode, Rootless: rootless, Manager: Disabled}
	paths := ownPaths(d.proc)
	switch d.mode {
	case 2:
		f.Own = clean(paths[""])
		d.unified(&f)
	case 1:
		f.Hybrid = exists(filepath.Join(d.root, "unified"))
		f.Own = clean(paths["memory"])
		d.legacy(&f)
	default:
		f.Why = "no control groups are mounted at " + d.root
	}
	return f
}

// legacy: only root may make groups of v1, which were never delegated safely.
func (d detector) legacy(f *Facts) {
	if f.Rootless {
		f.Why = "this host uses cgroup v1, which cannot be used without root"
		if f.Hybrid {
			f.Why = "this host uses hybrid cgroups, which cannot be used without root"
		}
		return
	}
	for _, c := range []string{"memory", "cpu", "cpuset", "pids", "blkio", "devices", "freezer"} {
		if exists(filepath.Join(d.root, c, "cgroup.procs")) {
			f.Controllers = append(f.Controllers, c)
		}
	}
	if len(f.Controllers) == 0 || !d.writable(filepath.Join(d.root, f.Controllers[0])) {
		f.Controllers, f.Why = nil, "the control groups at "+d.root+" are read-only"
		return
	}
	f.Manager, f.Base = Cgroupfs, "/"
	f.realtime = exists(filepath.Join(d.root, "cpu", "cpu.rt_runtime_us"))
	f.Swap = exists(filepath.Join(d.root, "memory", "memory.memsw.limit_in_bytes"))
}

func (d detector) unified(f *Facts) {
	own := filepath.Join(d.root, f.Own)
	runtimeDir := ""
	if f.Rootless {
		runtimeDir = d.userSystemd()
	}
	switch {
	case !f.Rootless && exists(d.run+"/systemd/system"):
		f.systemd = systemd.System()
		d.scope(f, "/", "system.slice")
	case runtimeDir != "":
		f.systemd = systemd.User(runtimeDir, d.uid)
		base := userService(d.uid)
		f.Outside = !strings.HasPrefix(f.Own, base+"/")
		d.scope(f, base, "user.slice")
		f.Why = "systemd does not delegate it to your session"
	default:
		d.direct(f, own)
	}
	if !f.Has("memory") || !f.Has("cpu") || !f.Has("pids") || !f.Has("cpuset") {
		f.Kernel = words(filepath.Join(d.root, "cgroup.controllers"))
	}
	f.Swap = f.Has("memory") && (exists(filepath.Join(own, "memory.swap.max")) || exists("/proc/swaps") && !exists(filepath.Join(own, "memory.max")))
}

// scope is the place below a service manager's group. Before it is there, what the manager has is what it will get.
func (d detector) scope(f *Facts, manager, slice string) {
	f.Manager, f.Slice, f.Base = Cgroupfs, slice, filepath.Join(manager, slice, scopeName)
	f.Controllers = words(filepath.Join(d.root, f.Base, "cgroup.controllers"))
	if len(f.Controllers) == 0 {
		f.Controllers = words(filepath.Join(d.root, manager, "cgroup.controllers"))
	}
}

func userService(uid int) string {
	n := strconv.Itoa(uid)
	return "/user.slice/user-" + n + ".slice/user@" + n + ".service"
}

// userSystemd is the run directory in which the user's own systemd listens; empty when that does not run. The variable
// is often missing, or another user's, after su and sudo.
func (d detector) userSystemd() string {
	if !exists(filepath.Join(d.root, userService(d.uid), "cgroup.procs")) {
		return ""
	}
	for _, dir := range []string{d.getenv("XDG_RUNTIME_DIR"), d.run + "/user/" + strconv.Itoa(d.uid)} {
		if dir != "" && d.writable(dir+"/systemd/private") {
			return dir
		}
	}
	return ""
}

// direct finds a group in which this process may make others: beside its own if it may, because a group that holds
// processes cannot hand controllers down; else below it.
func (d detector) direct(f *Facts, own string) {
	for _, base := range []string{filepath.Dir(f.Own), f.Own} {
		dir := filepath.Join(d.root, base)
		if f.Own == "/" || base == "/" {
			dir, base = d.root, "/"
		}
		if !d.writable(dir) || !d.writable(filepath.Join(dir, "cgroup.procs")) {
			continue
		}
		f.Manager, f.Base = Cgroupfs, base
		f.Controllers = words(filepath.Join(dir, "cgroup.subtree_control"))
		// The group at the top of the machine may have processes and hand controllers down all the same.
		if !exists(filepath.Join(dir, "cgroup.type")) || len(words(filepath.Join(dir, "cgroup.procs"))) == 0 {
			f.Controllers = words(filepath.Join(dir, "cgroup.controllers"))
		}
		f.Why = "it is not delegated to " + base
		return
	}
	f.Why = "no control group is delegated to you, and no systemd user session runs"
}

// ownPaths maps each controller to this process' group; "" is the unified tree.
func ownPaths(file string) map[string]string {
	b, _ := os.ReadFile(file)
	return parseOwn(string(b))
}

func parseOwn(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		p := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(p) != 3 {
			continue
		}
		for _, c := range strings.Split(p[1], ",") {
			m[c] = p[2]
		}
	}
	return m
}

// clean keeps a group that lies above our cgroup namespace (/../..) from leading out of Root.
func clean(p string) string { return filepath.Clean("/" + p) }

func exists(path string) bool { return unix.Access(path, unix.F_OK) == nil }

func words(path string) []string {
	b, _ := os.ReadFile(path)
	return strings.Fields(string(b))
}
