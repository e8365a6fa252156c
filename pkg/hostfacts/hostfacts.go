// Package hostfacts reads what the host offers a container: resource limits, device nodes, security modules.
package hostfacts

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Rlimit is one limit of the calling process; ^uint64(0) is unlimited.
type Rlimit struct{ Soft, Hard uint64 }

// RlimitNames maps the names of --ulimit to the kernel's numbers.
var RlimitNames = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
	"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE,
	"nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
	"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

// Rlimits returns the calling process' limits of those names.
func Rlimits(names ...string) (map[string]Rlimit, error) {
	out := make(map[string]Rlimit, len(names))
	for _, name := range names {
		n, ok := RlimitNames[name]
		if !ok {
			continue // an unknown name is reported where the limit is applied
		}
		var r unix.Rlimit
		// Prlimit: Getrlimit may show what the Go runtime made of the soft nofile limit.
		if err := unix.Prlimit(0, n, nil, &r); err != nil {
			return nil, fmt.Errorf("read own limit %s: %w", name, err)
		}
		out[name] = Rlimit{Soft: r.Cur, Hard: r.Max}
	}
	return out, nil
}

// OOMScoreAdj returns the calling process' adjustment; a lower one needs CAP_SYS_RESOURCE.
func OOMScoreAdj() int {
	b, _ := os.ReadFile("/proc/self/oom_score_adj")
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return n
}

// AppArmor reports whether the kernel confines by AppArmor profiles.
func AppArmor() bool {
	b, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return strings.HasPrefix(string(b), "Y")
}

// SELinux reports whether the kernel enforces or logs an SELinux policy.
func SELinux() bool {
	_, err := os.Stat("/sys/fs/selinux/enforce")
	return err == nil
}

// Devices describes the character and block devices at paths, those in directories too. What belongs to the
// container itself (terminals, /dev/shm, /dev/mqueue, /dev/console) is left out of directories.
func Devices(paths ...string) ([]specs.LinuxDevice, error) {
	var out []specs.LinuxDevice
	for _, path := range paths {
		err := filepath.WalkDir(path, func(p string, e os.DirEntry, err error) error {
			switch {
			case err != nil && p == path:
				return err
			case err != nil:
				return nil // the tree may change meanwhile, and parts of it may be closed to us
			case e.IsDir() && containersOwn(p):
				return filepath.SkipDir
			}
			if p != path && (containersOwn(p) || e.Type()&os.ModeSymlink != 0) {
				return nil // links such as /dev/stdin lead into the reader's own files
			}
			if d, ok := device(p); ok {
				out = append(out, d)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("device %s: %w", path, err)
		}
	}
	return out, nil
}

func containersOwn(path string) bool {
	switch path {
	case "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console", "/dev/ptmx", "/dev/.lxc", "/dev/.lxd-mounts",
		"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty":
		return true
	}
	return false
}

func device(path string) (specs.LinuxDevice, bool) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return specs.LinuxDevice{}, false
	}
	kind := ""
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		kind = "c"
	case unix.S_IFBLK:
		kind = "b"
	default:
		return specs.LinuxDevice{}, false
	}
	mode := os.FileMode(st.Mode & 0o777)
	uid, gid := st.Uid, st.Gid
	return specs.LinuxDevice{Path: path, Type: kind, Major: int64(unix.Major(uint64(st.Rdev))),
		Minor: int64(unix.Minor(uint64(st.Rdev))), FileMode: &mode, UID: &uid, GID: &gid}, true
}

// Number is the kernel's name of a device.
type Number struct{ Major, Minor int64 }

// BlockDevices finds the numbers of those paths that are block devices.
func BlockDevices(paths ...string) map[string]Number {
	found := make(map[string]Number, len(paths))
	for _, path := range paths {
		if d, ok := device(path); ok && d.Type == "b" {
			found[path] = Number{d.Major, d.Minor}
		}
	}
	return found
}
