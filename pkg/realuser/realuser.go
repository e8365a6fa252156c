// Package realuser tells who the user outside wherry's user namespace is, and whether this process is inside.
package realuser

import (
	"os"
	"strconv"
)

// Environment that processes inside pass on to the ones they execute. The first three are containers/storage's.
const (
	EnvConfigured = "_CONTAINERS_USERNS_CONFIGURED"
	EnvUID        = "_CONTAINERS_ROOTLESS_UID"
	EnvGID        = "_CONTAINERS_ROOTLESS_GID"
	EnvNamespace  = "_WHERRY_USERNS" // what /proc/self/ns/user links to; a value from elsewhere never matches
)

// Early is what the code that runs before the Go runtime (pkg/rootless/join) found; plain numbers, for it cannot
// write anything else.
var Early struct {
	Ran    uintptr // 1: this binary has the stub
	Joined uintptr // 1: the stub took this process into the namespace
	UID    uintptr // of the user outside, set together with Joined
	GID    uintptr
	Errno  uintptr // of the setns that failed
}

// Inside reports whether this process is in wherry's user namespace. It is false as real root.
func Inside() bool {
	if Early.Joined != 0 {
		return true
	}
	want := os.Getenv(EnvNamespace)
	return want != "" && os.Geteuid() == 0 && want == Namespace()
}

// Namespace names the user namespace of this process as the kernel does: "user:[4026531837]".
func Namespace() string {
	name, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		return ""
	}
	return name
}

// UID is the user id outside the namespace.
func UID() int { return outside(Early.UID, EnvUID, os.Getuid) }

// GID is the primary group id outside the namespace.
func GID() int { return outside(Early.GID, EnvGID, os.Getgid) }

func outside(early uintptr, env string, current func() int) int {
	if Early.Joined != 0 {
		return int(early)
	}
	if !Inside() {
		return current()
	}
	id, err := strconv.Atoi(os.Getenv(env))
	if err != nil {
		return current()
	}
	return id
}

// Mark puts into the environment what processes executed from here need in order to know that they are inside.
func Mark() error {
	values := map[string]string{
		EnvUID:        strconv.Itoa(UID()),
		EnvGID:        strconv.Itoa(GID()),
		EnvConfigured: "done",
		EnvNamespace:  Namespace(),
	}
	for name, value := range values {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}
