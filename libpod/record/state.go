package record

import "time"

// Status is where a container is in its life.
type Status string

// The statuses of Docker. Paused is never stored: the kernel is asked.
const (
	Created     Status = "created"
	Initialized Status = "initialized" // its namespaces and mounts are there, its command waits for a start
	Running     Status = "running"
	Paused      Status = "paused"
	Restarting  Status = "restarting" // the monitor waits to start it again
	Exited      Status = "exited"
	Removing    Status = "removing"
)

// State is the durable state of a container, replaced whole (state.json). Its absence means Created.
// Running in it is only a claim: Live and the boot id tell whether it still holds.
type State struct {
	Version      int
	Name         string `json:",omitempty"` // set by rename; overrides Config.Name
	Status       Status
	BootID       string    // of the boot that StartedAt belongs to
	StartedAt    time.Time // of the last start
	RunDir       string    `json:",omitempty"` // where its run-time state lies since then
	FinishedAt   time.Time
	ExitCode     int
	OOMKilled    bool
	Error        string // why the last start failed
	RestartCount int
	UserStopped  bool // stop, kill or rm asked for it: the restart policy rests until the next start
	// Networks is set by connect and disconnect; it overrides Config.Network.Ends.
	Networks *[]NetworkEnd `json:",omitempty"`
}

// Rested is what a container is that does not run, by whether it ever did.
func (s *State) Rested() Status {
	if s.StartedAt.IsZero() {
		return Created
	}
	return Exited
}

// Live is the run-time state of a started container (live.json in its run directory, on tmpfs), written by the
// monitor before it reports "started".
type Live struct {
	Pid          int    // container's first process, in the caller's pid namespace
	PidStart     uint64 // field 22 of /proc/<pid>/stat: tells a recycled pid
	Monitor      int
	MonitorStart uint64
	BootID       string
	StartedAt    time.Time
	Cgroups      []string `json:",omitempty"` // absolute directories of its control groups: one on v2, none when it has none
	Runtime      string   // path of the runtime that started it
	Initialized  bool     `json:",omitempty"` // the first process is the runtime's, which waits for `start` to become the command
	Uplink       int      `json:",omitempty"` // pid of the network uplink
	UplinkStart  uint64   `json:",omitempty"`
}

// HealthState is the outcome of the health check (health.json in the run directory), written by the monitor.
type HealthState struct {
	Status        string // starting, healthy, unhealthy
	FailingStreak int
	Log           []HealthResult // the last five, oldest first
}

// HealthResult is one probe.
type HealthResult struct {
	Start, End time.Time
	ExitCode   int
	Output     string // at most 4096 bytes
}
