// Package spec turns a container's record and what was resolved for one start into the OCI runtime's configuration.
// It is pure: it reads no disk and executes nothing.
package spec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/caps"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/hostfacts"
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
	Joined      Joined // namespaces of others
	NetworkPath string // network namespace to join; empty: by Config.Network.Mode
	CgroupNS    string // control group namespace to join; needed with ns: and container: of Config.Cgroup.Namespace
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
	Localtime                   string // of --tz
	Notify                      string // directory with the socket of --sdnotify container
}

// Seccomp is the filter: a section, or a compiled one for crun. Both empty: none.
type Seccomp struct {
	Section *specs.LinuxSeccomp
	BPF     string // value of seccomp.Annotation
}

// Host holds facts of the machine and of the calling process; package hostfacts reads what is not known anyway.
type Host struct {
	Rootless         bool                   // in a user namespace of ours
	Caps             caps.Set               // caps.Permitted()
	RealUID, RealGID uint32                 // of the user outside (keep-id)
	UIDs, GIDs       []specs.LinuxIDMapping // of the current user namespace; empty: all ids are mapped
	Hostname         string                 // used with network mode host; may be empty otherwise
	Rlimits          map[string]Rlimit      // own limits, as hostfacts.Rlimits has them; needed with ulimits only
	OOMScoreAdj      int                    // own one; needed with Config.Resources.OOMScoreAdj only
	Devices          []specs.LinuxDevice    // hostfacts.Devices of Config.Security.Devices' sources, or of /dev (privileged)
	Block            map[string]BlockDevice // those of the paths in Config.Resources.Block that are block devices
	NoThrottle       bool                   // the kernel cannot limit the rate of block devices (v2)
	SELinux          bool
	AppArmor         bool
	Mqueue           bool // /dev/mqueue is mounted; needed with --ipc host only
}

// Rlimit is one limit of the calling process.
type Rlimit = hostfacts.Rlimit

// BlockDevice names a block device to the kernel.
type BlockDevice = hostfacts.Number
