// Package spec turns a container's record and what was resolved for one start into the OCI runtime's configuration.
// It is pure: it reads no disk and executes nothing.
package spec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/caps"
	"github.com/wherry-containers/wherry/pkg/cgroup"
)

// Input is all that Build looks at.
type Input struct {
	Config      *record.Config
	Root        string // absolute path of the mounted root file system
	User        User
	Mounts      []specs.Mount // bind, volume and tmpfs mounts of the container, sources resolved; Build sorts them
	Files       Files
	InitPath    string // init binary on the host; needed with Config.Process.Init
	Seccomp     Seccomp
	Cgroup      cgroup.Facts
	Host        Host
	NetworkPath string // network namespace to join; empty: by Config.Network.Mode
}

// User is the user of the container's process, resolved in its root file system.
type User struct {
	UID, GID uint32
	Groups   []uint32
	Home     string
}

// Files are generated files that are bound into the container; an empty one is left out, as is one whose target
// is among Input.Mounts.
type Files struct {
	Hosts, Hostname, ResolvConf string
}

// Seccomp is the filter: a section, or a compiled one for crun. Both empty: none.
type Seccomp struct {
	Section *specs.LinuxSeccomp
	BPF     string // value of seccomp.Annotation
}

// Host holds facts of the machine and of the calling process.
type Host struct {
	Rootless         bool                   // in a user namespace of ours
	Caps             caps.Set               // caps.Permitted()
	RealUID, RealGID int                    // of the user outside (keep-id)
	UIDs, GIDs       []specs.LinuxIDMapping // of the current user namespace (rootless.Mappings); empty: all ids
	Rlimits          map[string]Rlimit      // own limits by name without RLIMIT_, lower case (HostRlimits)
	Devices          []string               // character and block devices below /dev, for --privileged (HostDevices); else nil
	SELinux          bool
	AppArmor         bool
}

// Rlimit is one limit of the calling process.
type Rlimit struct{ Soft, Hard uint64 }
