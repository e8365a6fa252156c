// Package monitor is the engine's side of wherry-monitor, the process that stays with one container: what it is
// told (Job), how it answers (Report), and how clients attach to it.
package monitor

import (
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/events"
	"github.com/wherry-containers/wherry/pkg/systemd"
)

// File descriptors that the engine hands to the monitor.
const (
	JobFD    = 3 // read end: one JSON Job, then end of file
	ReportFD = 4 // write end: one JSON Report, then closed
	AttachFD = 5 // SOCK_SEQPACKET socket of the first attached client, or /dev/null
	LockFD   = 7 // the container's lock, shared with the engine; closed once the report is written
	RunFD    = 6 // executable memfd of the OCI runtime (sealed), or /dev/null: then Job.Runtime is executed
	ConfigFD = 8 // read end of a pipe that the runtime of the first start has as RuntimeConfig, or /dev/null
)

// KeepVar is the variable that says how many descriptors after ConfigFD the container of the first start has from 3 on.
const KeepVar = "WHERRY_KEEP"

// RuntimeConfig is what the bundle's config.json may be a link to until the first runtime has read it: it starts up
// while its configuration is being made. The file itself takes the link's place before the pipe is closed.
const RuntimeConfig = "/proc/self/fd/3"

// Job is all that a monitor needs to know. It is kept across restarts of the container.
type Job struct {
	ID         string
	Dir        string   // durable directory of the container
	RunDir     string   // run directory
	Trash      string   // layout.Dirs.Trash
	Names      string   // layout.Dirs.ContainerNames
	Name       string   // symbolic link in Names to drop on removal
	Runtime    string   // path of the runtime binary
	StartArgs  []string // arguments (with argv[0]) that start the container detached and write the pid file
	CreateArgs []string // init: take the place of StartArgs in the first start, after which the command waits for GoArgs; empty: it does not
	GoArgs     []string // init: let the command go
	Env        []string // of the runtime
	Terminal   bool
	OpenStdin  bool
	StdinOnce  bool
	Log        record.Log
	LogAttrs   map[string]string // labels and variables that go with each line
	LogTag     string
	LogFields  map[string]string // journald: what the container is
	Events     events.Log
	EventAttrs map[string]string // go with each event; the name is that of now
	Mounted    []string          // names of the container's volumes
	Lifecycle  record.Lifecycle
	Health     *record.Health
	ExecArgs   []string      // arguments (with argv[0]) of the runtime up to a process file: "exec --process"; the monitor appends FILE ID
	ExecSpec   []byte        // OCI process (JSON) that a health probe starts from; its args are replaced
	Cgroups    []string      // absolute directories to remove at the end: one on v2, one per controller on v1
	Leftovers  []string      // run-time paths to remove at the end besides RunDir (the runtime's state directory)
	Copied     string        // the runtime's copy of its configuration, to replace by RunDir's, which is without secrets; empty: leave it
	Volumes    []string      // durable directories of anonymous volumes to remove with the container (--rm)
	UplinkPid  string        // file in which the engine's uplink leaves its pid, absent without one: it is ended with the container
	Network    string        // file that says how the container is connected (network/state.Attachment), removed at the end; empty: none
	Scope      *systemd.Unit // that all this is in: while it is being stopped, nothing is started again
	BootID     string
	PostStop   bool     // the bundle's configuration may have hooks to run after the end
	AtEnd      []string // command line to start once the container is removed
}

// Report is the monitor's one answer.
type Report struct {
	Live  *record.Live `json:",omitempty"`
	Error string       `json:",omitempty"` // the runtime's own last line
	Exit  int          `json:",omitempty"` // exit status that Error asks for: 125, 126 or 127
}

// Messages on an attach socket (SOCK_SEQPACKET): one byte of kind, then data. A client that sent nothing yet
// receives output from now on. MaxData bounds the data of one message.
const (
	MsgStdin      = 0 // to the monitor: data for stdin
	MsgStdinClose = 1 // to the monitor: end of stdin
	MsgUpdate     = 3 // to the monitor: restart policy and health check have changed on disk (record.UpdateFile)
	MsgResize     = 2 // to the monitor: rows, columns as two little-endian uint16
	MsgHold       = 4 // to the monitor, with the master of a terminal: it is held beyond this connection
	MsgProbe      = 5 // to the monitor: check health now; MsgHealth answers
	MsgQuiet      = 6 // to the monitor: no output to this client, only the end
	MsgGo         = 7 // to the monitor of an initialized container: let its command go; a byte says whether this client stays as its first one (1) or not (0)
	MsgStdout     = 1 // from the monitor: data (also of a terminal)
	MsgStderr     = 2 // from the monitor: data
	MsgExit       = 3 // from the monitor, last: exit code as little-endian int32; state.json is written by then
	MsgHealth     = 4 // from the monitor: the probe's exit code as little-endian int32 (-1: it did not end), then its output
	MsgGone       = 5 // from the monitor, after MsgGo: the exit status that an error asks for as little-endian int32 (0: it runs; GoneStopped), then the error
	MaxData       = 32 << 10
)

// GoneStopped in MsgGone says that the container was stopped: it can be started as any other.
const GoneStopped = -1

// IdleAfter is how long nothing happens until the monitor gives its memory back.
const IdleAfter = 2 * time.Second
