package rootless

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/wherry-containers/wherry/pkg/realuser"
)

// tool is newuidmap or newgidmap.
type tool struct {
	Path       string // empty: not in PATH
	Privileged bool   // setuid root or with file capabilities
	NoSuid     bool   // on a file system mounted nosuid
}

// unknown is the value of a setting that this kernel does not have.
const unknown = -1

// probe is what decides whether and how a user namespace can be made. Errors are pure functions of it.
type probe struct {
	User           string
	UID            int
	Exe            string
	SubUIDs        []Range
	SubGIDs        []Range
	Taken          []subidEntry // every entry of both files
	NewUIDMap      tool
	NewGIDMap      tool
	UserNamespaces bool // the kernel has them
	MaxUserNS      int  // user.max_user_namespaces
	MaxMountNS     int  // user.max_mnt_namespaces
	UnprivUserNS   int  // kernel.unprivileged_userns_clone, Debian
	AppArmor       int  // kernel.apparmor_restrict_unprivileged_userns, Ubuntu
	NoNewPrivs     bool
}

// collectStatic reads what the first call needs to go on.
func collectStatic() probe {
	uid := realuser.UID()
	p := probe{User: userName(uid), UID: uid, Exe: ownPath()}
	subuids, subgids := readSubids("/etc/subuid"), readSubids("/etc/subgid")
	p.SubUIDs, p.SubGIDs = rangesOf(subuids, p.User, uid), rangesOf(subgids, p.User, uid)
	p.Taken = append(subuids, subgids...)
	p.NewUIDMap.Path, p.NewGIDMap.Path = lookPath("newuidmap"), lookPath("newgidmap")
	return p
}

// collect reads everything, to explain a failure or to report.
func collect() probe {
	p := collectStatic()
	inspectTool(&p.NewUIDMap)
	inspectTool(&p.NewGIDMap)
	_, err := os.Stat("/proc/self/ns/user")
	p.UserNamespaces = err == nil
	p.MaxUserNS = readSetting("/proc/sys/user/max_user_namespaces")
	p.MaxMountNS = readSetting("/proc/sys/user/max_mnt_namespaces")
	p.UnprivUserNS = readSetting("/proc/sys/kernel/unprivileged_userns_clone")
	p.AppArmor = readSetting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
	p.NoNewPrivs = hasNoNewPrivs()
	return p
}

func lookPath(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}

func inspectTool(t *tool) {
	var st syscall.Stat_t
	if t.Path == "" || syscall.Stat(t.Path, &st) != nil {
		return
	}
	n, err := syscall.Getxattr(t.Path, "security.capability", nil)
	t.Privileged = st.Mode&syscall.S_ISUID != 0 || err == nil && n > 0
	const nosuid = 2 // ST_NOSUID
	var fs syscall.Statfs_t
	t.NoSuid = syscall.Statfs(t.Path, &fs) == nil && fs.Flags&nosuid != 0
}

func readSetting(path string) int {
	data, err := os.ReadFile(path)
	if err != nil {
		return unknown
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return unknown
	}
	return n
}

func hasNoNewPrivs() bool {
	data, err := os.ReadFile("/proc/self/status")
	return err == nil && strings.Contains(string(data), "\nNoNewPrivs:\t1\n")
}
