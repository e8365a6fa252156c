package realuser

import "syscall"

// Attributes lets a program that is started see the user outside in place of the namespace's root: ssh looks for keys in
// the home of the user that it runs as.
func Attributes(attr *syscall.SysProcAttr) {
	if !Inside() || UID() == 0 {
		return
	}
	attr.Cloneflags |= syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: UID(), HostID: 0, Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: GID(), HostID: 0, Size: 1}}
	attr.GidMappingsEnableSetgroups = false
}
