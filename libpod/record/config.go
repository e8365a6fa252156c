// Package record holds what is kept of a container: Config, the wish, written once, and State, what became of it.
package record

import "time"

// Version is the version of the on-disk form that this program writes. A record of a higher version is refused.
const Version = 1

// Config is the wish for one container, from flags or an API body. It is written once, at create. Its zero values
// mean "as the image says" or "the default". The image's own settings are resolved into it at create, so that a
// container outlives its image's name.
type Config struct {
	Version    int
	ID         string // 64 hexadecimal digits
	Name       string
	Created    time.Time
	Image      Image
	Process    Process
	Hostname   string
	Labels     map[string]string `json:",omitempty"`
	Notes      map[string]string `json:",omitempty"` // OCI annotations (--annotation)
	Mounts     []Mount           `json:",omitempty"`
	Secrets    []Secret          `json:",omitempty"` // references: the values are in no record
	Rootfs     Rootfs
	Security   Security
	Namespaces Namespaces
	Accounts   Accounts
	Resources  Resources
	Cgroup     Cgroup `json:",omitzero"`
	Network    Network
	Log        Log
	Lifecycle  Lifecycle
	Health     *Health `json:",omitempty"` // nil: no health check
	Runtime    string  // name or path of the OCI runtime; empty: the default
}

// Image says what a container was made from.
type Image struct {
	ID     string   // image id, 64 hexadecimal digits
	Name   string   // as the user typed it
	Ref    string   // normalised: docker.io/library/busybox:latest; empty when typed as an id
	Layers []string // ids of the image's layers, top first: what image removal must not take away
}

// Process is the container's first process.
type Process struct {
	Entrypoint  []string
	Command     []string // arguments; with an empty Entrypoint the command itself
	Env         []string // NAME=value, complete: image's, then the user's
	WorkDir     string
	User        string   // name|uid[:group|gid], as typed; resolved in the root file system at start
	Groups      []string `json:",omitempty"` // --group-add: names or gids
	Terminal    bool
	Rows        uint16 `json:",omitempty"` // of the terminal at the start; 0: as the first client has it
	Columns     uint16 `json:",omitempty"`
	OpenStdin   bool   // -i: keep stdin open; else it is /dev/null
	StdinOnce   bool   // close stdin when the first attached client leaves
	Umask       string
	Personality string `json:",omitempty"` // LINUX, LINUX32; empty: the host's
	Init        bool   // an init process reaps and forwards signals
	InitPath    string `json:",omitempty"` // of it on the host; empty: ours, or one that is installed
	Systemd     bool   `json:",omitempty"` // the command is a systemd, which wants /run and its cgroup writable
	TZ          string `json:",omitempty"` // time zone by name, or local for the host's
}

// Args is the command line: Entrypoint followed by Command.
func (p Process) Args() []string {
	return append(append([]string{}, p.Entrypoint...), p.Command...)
}

// Rootfs says how the root file system is made.
type Rootfs struct {
	ReadOnly bool
	ShmSize  int64 // bytes of /dev/shm; 0: 64 MiB
	Volatile bool  // skip syncing the read-write layer (--rm)
	Tmpfs    bool  `json:",omitempty"` // with ReadOnly: a tmpfs at /run, /tmp and /var/tmp
}

// Security holds what the container may do.
type Security struct {
	Privileged      bool
	CapAdd          []string `json:",omitempty"` // CAP_NET_ADMIN, or ALL
	CapDrop         []string `json:",omitempty"`
	Seccomp         string   // "" default profile, "unconfined", or the profile's JSON itself
	AppArmor        string
	Label           []string `json:",omitempty"` // --security-opt label=...
	NoNewPrivileges bool
	Mask            []string `json:",omitempty"`
	Unmask          []string `json:",omitempty"` // paths, or ALL
	UserNS          string   // "", host, private, keep-id[:uid=,gid=,size=], nomap, auto[:OPTIONS], container:ID, ns:PATH
	Devices         []Device `json:",omitempty"`
	CDI             []string `json:",omitempty"` // --device and --gpus by their names in CDI: vendor.com/class=name
	DeviceRules     []string `json:",omitempty"` // --device-cgroup-rule, as "c 42:* rmw"
}

// Device is one --device.
type Device struct {
	Source, Target, Access string // Access: a subset of rwm
}

// Log says where the output goes.
type Log struct {
	Driver string            // json-file, passthrough, none
	Opts   map[string]string `json:",omitempty"` // max-size, max-file, compress, labels, env, tag, mode
}

// Lifecycle says how the container starts, stops and ends.
type Lifecycle struct {
	AutoRemove     bool
	RemoveImage    bool     `json:",omitempty"` // with AutoRemove: the image goes with the container, unless others stand on it
	Restart        string   // no, always, unless-stopped, on-failure
	MaxRetries     int      // of on-failure; 0: no bound
	StopSignal     string   // as typed; empty: SIGTERM
	StopTimeout    *int     // seconds; nil: 10, -1: wait for ever
	Timeout        int      // seconds of run time until it is killed; 0: none
	SdNotify       string   `json:",omitempty"` // container, conmon: who tells systemd that it is ready; empty: nobody
	PIDFile        string   `json:",omitempty"` // gets the pid of the container's first process
	MonitorPIDFile string   `json:",omitempty"`
	Requires       []string `json:",omitempty"` // ids of containers that are started before
	CIDFile        string   // removed with the container
	Detached       bool     // was made by run -d
}

// Health is the health check. Durations in nanoseconds, as Docker's API has them.
type Health struct {
	Test          []string // CMD args..., or CMD-SHELL line; NONE is stored as a nil Health
	Interval      time.Duration
	Timeout       time.Duration
	StartPeriod   time.Duration
	StartInterval time.Duration
	Retries       int
	OnFailure     string         // none, kill, restart, stop
	Log           HealthLog      `json:",omitzero"`
	Startup       *StartupHealth `json:",omitempty"` // what must succeed before Test is run at all; nil: nothing
}

// HealthLog says what is kept of the probes.
type HealthLog struct {
	Destination string // empty or local: health.json alone; events_logger: an event each; else a directory that has a file too
	MaxCount    *int   // probes kept; nil: 5, 0: all
	MaxSize     *int   // characters kept of one probe's output; nil: 4096, 0: all
}

// StartupHealth is the check of a container that still starts.
type StartupHealth struct {
	Test      []string // as Health.Test
	Interval  time.Duration
	Timeout   time.Duration
	Retries   int // failures after which the container is started again; 0: never
	Successes int // that end the start; 0: one
}
