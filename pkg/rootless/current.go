package rootless

import (
	"os"
	"syscall"

	"github.com/wherry-containers/wherry/pkg/realuser"
	"github.com/wherry-containers/wherry/pkg/rootless/join"
)

// Current tells whether this process is in the user namespace that commands which start now work in. A process that stays is
// left behind when the user leaves the namespace (system migrate). Real root has none to leave.
func Current() bool {
	if !realuser.Inside() {
		return true
	}
	path, err := pauseFile(os.Getenv(join.EnvSingle) == "1")
	if err != nil {
		return false
	}
	p, err := readPause(path)
	if err != nil {
		return false
	}
	info, err := os.Stat("/proc/self/ns/user")
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Ino == p.User
}
