package spec

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Joined are the namespaces of others that the container enters: a path each, empty where it has its own or the host's.
type Joined struct {
	User, PID, IPC, UTS string
	UIDs, GIDs          []specs.LinuxIDMapping // of the user namespace, seen from ours
	Hostname            string                 // of the UTS namespace
	Shm                 string                 // directory that becomes /dev/shm; empty: a new one
}

func setNamespaces(in Input, s *specs.Spec) error {
	n := in.Config.Namespaces
	ns := []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	for _, k := range []struct {
		kind         specs.LinuxNamespaceType
		mode, joined string
	}{{specs.PIDNamespace, n.PID, in.Joined.PID}, {specs.IPCNamespace, n.IPC, in.Joined.IPC}, {specs.UTSNamespace, n.UTS, in.Joined.UTS}} {
		if k.mode != "host" {
			ns = append(ns, specs.LinuxNamespace{Type: k.kind, Path: k.joined})
		}
	}
	if own, err := cgroupNamespace(in); err != nil {
		return err
	} else if own != nil {
		ns = append(ns, *own)
	}
	switch mode := in.Config.Network.Mode; {
	case in.NetworkPath != "":
		ns = append(ns, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: in.NetworkPath})
	case mode == "none":
		ns = append(ns, specs.LinuxNamespace{Type: specs.NetworkNamespace})
	case mode == "host", mode == "":
		// The runtime is started inside the namespace that the container is to have.
	default:
		return errdefs.New(errdefs.ErrInvalid, "network mode %q without a namespace", mode)
	}
	uids, gids, err := idMappings(in)
	if err != nil {
		return err
	}
	switch {
	case in.Joined.User != "":
		ns = append(ns, specs.LinuxNamespace{Type: specs.UserNamespace, Path: in.Joined.User})
	case uids != nil:
		ns = append(ns, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Linux.UIDMappings, s.Linux.GIDMappings = uids, gids
	}
	s.Linux.Namespaces = ns
	return setSysctls(in, s)
}

// privateCgroup: Docker's default on cgroup v2 is a namespace of its own, on v1 the host's.
func privateCgroup(in Input) bool {
	return in.Cgroup.Version == 2 && !in.Cgroup.Hybrid
}

func cgroupsOff(in Input) bool {
	return in.Cgroup.Manager == cgroup.Disabled || in.Cgroup.Manager == ""
}

// ipcSysctls are those of the IPC namespace, next to fs.mqueue.*.
func ipcSysctls() []string {
	return []string{"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"}
}

// domainname is also what --domainname sets.
const domainname = "kernel.domainname"

// setSysctls sets those that belong to a namespace which the container does not share with the host. The engine has
// refused the others by CheckSysctls.
func setSysctls(in Input, s *specs.Spec) error {
	if len(in.Config.Namespaces.Sysctls) == 0 {
		return nil
	}
	s.Linux.Sysctl = make(map[string]string, len(in.Config.Namespaces.Sysctls))
	for name, value := range in.Config.Namespaces.Sysctls {
		if strings.HasPrefix(name, "net.") && in.NetworkPath != "" {
			continue // the engine sets it, whose namespace it is
		}
		if name == domainname && in.Host.Rootless { // the file is the real root's, the system call is for everybody
			s.Domainname = value
			continue
		}
		s.Linux.Sysctl[name] = value
	}
	return CheckSysctls(in.Config.Namespaces.Sysctls, in.Config.Namespaces.IPC, in.Config.Namespaces.UTS, in.Config.Network.Mode)
}

// CheckSysctls refuses a setting that would be the host's, or no container's at all.
func CheckSysctls(sysctls map[string]string, ipc, uts, network string) error {
	for name := range sysctls {
		flag, mode, namespace := "", "", ""
		switch {
		case strings.HasPrefix(name, "net."):
			flag, mode, namespace = "network", network, "private"
		case strings.HasPrefix(name, "fs.mqueue.") || slices.Contains(ipcSysctls(), name):
			flag, mode, namespace = "ipc", ipc, "private"
		case name == domainname || name == "kernel.hostname":
			flag, mode, namespace = "uts", uts, "private"
		default:
			return errdefs.New(errdefs.ErrInvalid, "--sysctl %s: it belongs to no namespace, so a container cannot have its own (net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm* and kernel.domainname can be set; set it on the host with sysctl)", name)
		}
		if mode == "host" {
			return errdefs.New(errdefs.ErrInvalid, "--sysctl %s does not go with --%s host, whose setting it would change (use --%s %s)", name, flag, flag, namespace)
		}
		if name == "kernel.hostname" {
			return errdefs.New(errdefs.ErrInvalid, "--sysctl kernel.hostname: use --hostname")
		}
	}
	return nil
}
