package libpod

import (
	"io"
	"os"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/network/state"
)

// CreateOptions is what `create` needs. Config holds the user's wishes only; Create merges the image's settings in.
type CreateOptions struct {
	Config  record.Config
	Env     []string // -e and --env-file, already expanded to NAME=value
	EnvWish EnvWish
	Replace bool   // remove a container of the same name first
	Pull    string // always, missing (default), never, newer
	// PullImage fetches an image that is missing or must be fresh; nil: an unknown image is an error.
	PullImage func(ref, policy, platform string) error
	Platform  string // os/arch[/variant], empty: the host's
	Command   []string
	// Entrypoint is nil to keep the image's; empty to drop it.
	Entrypoint []string
	WorkDir    string
	User       string
	IDs        IDWish // of the user namespace
	Systemd    SystemdWish
	NoHealth   bool
	HealthSet  bool // Config.Health came from flags and overrides the image's
	// VolumesFrom names containers, each with options after a colon, whose bind mounts and volumes this one has too.
	VolumesFrom   []string
	ImageVolume   record.ImageVolume
	CgroupManager string // of the settings: taken where Config names none and it works here
}

// RunOptions is what `run` needs.
type RunOptions struct {
	CreateOptions
	Keep   []*os.File // what the command has from descriptor 3 on
	Detach bool
	Attach AttachOptions
}

// AttachOptions says what is connected to a container. Nil streams are not.
type AttachOptions struct {
	Stdin      io.Reader
	Stdout     io.Writer
	Stderr     io.Writer
	DetachKeys string // ctrl-p,ctrl-q by default; empty: default
	SigProxy   bool
	NoStdin    bool
}

// StartOptions is what `start` needs.
type StartOptions struct {
	Attach *AttachOptions // nil: detached
	Began  func()         // with Attach: is called once the container runs, before its end is waited for; nil: nobody asks
	// Init stops short of the command: namespaces, mounts and network are there, and the next Start lets it go.
	Init bool
}

// StopOptions is what `stop` and `restart` need.
type StopOptions struct {
	Timeout *int   // seconds until SIGKILL; nil: the container's own; -1: wait for ever
	Signal  string // empty: the container's own
}

// RemoveOptions is what `rm` needs.
type RemoveOptions struct {
	Force   bool
	Volumes bool // anonymous volumes too
	Timeout *int // seconds between stop signal and SIGKILL with Force; nil: kill at once
}

// ExecOptions is what `exec` needs.
type ExecOptions struct {
	Command    []string
	Env        []string
	WorkDir    string
	User       string
	Privileged bool
	Terminal   bool
	Detach     bool
	Stdin      *os.File // nil: /dev/null
	Stdout     *os.File
	Stderr     *os.File
	DetachKeys string
	// Relay, with Terminal, stands before the terminal in place of the streams, until its other side is closed; the engine
	// closes the master then. It runs on a goroutine of its own.
	Relay     func(master *os.File)
	Rows      uint16 // of the terminal at the start; 0: those of the caller's
	Columns   uint16
	PidFile   string     // gets the pid of the command's process; empty: none
	NoSession bool       // no events, and the terminal goes with this process
	Extra     []*os.File // descriptors of the command from 3 on
}

// LogsOptions is what `logs` needs.
type LogsOptions struct {
	Follow     bool
	Tail       int // -1: all
	Since      time.Time
	Until      time.Time
	Timestamps bool
	Details    bool
	Stdout     io.Writer
	Stderr     io.Writer
}

// ListOptions is what `ps` needs. Filters holds Docker's and Podman's keys (see filterKeys).
type ListOptions struct {
	All     bool
	Last    int // newest n whatever their status; 0: no bound
	Filters map[string][]string
	Size    bool
	Sync    bool // settle stale records before listing, waiting for their locks
}

// Summary is one row of `ps`.
type Summary struct {
	ID           string
	Name         string
	Image        string
	ImageID      string
	Command      []string
	Created      time.Time
	Status       record.Status
	StartedAt    time.Time
	FinishedAt   time.Time
	ExitCode     int
	Pid          int
	Health       string // healthy, unhealthy, starting, empty: none
	Labels       map[string]string
	Mounts       []string // volume names and host paths
	Targets      []string // of Mounts, in the container
	Networks     []string
	Ports        []state.Port     // published, of one that runs
	Ends         []state.Endpoint // its ends of networks, of one that runs
	RestartCount int
	Restart      string // policy: no, always, unless-stopped, on-failure
	UserStopped  bool   // stop, kill or rm asked for its end
	AutoRemove   bool
	SizeRw       int64 // only with ListOptions.Size
	SizeRootFs   int64
}

// VolumeCreateOptions is what `volume create` needs.
type VolumeCreateOptions struct {
	Name   string // empty: 64 random hexadecimal digits
	Driver string // local
	Labels map[string]string
	Opts   map[string]string
	Ignore bool // an existing volume of the name is fine
	UID    *int // owner of its directory; nil: the user
	GID    *int
}

// Volume is one volume, as `volume inspect` shows it.
type Volume struct {
	Name       string
	Driver     string
	Mountpoint string
	CreatedAt  time.Time
	Labels     map[string]string
	Options    map[string]string
	Scope      string
	Anonymous  bool `json:"-"`
}
