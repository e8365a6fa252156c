// Package ociruntime drives OCI runtimes (crun, runc and what follows their command line). It is the only package
// that executes one.
package ociruntime

import (
	"context"
	"errors"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/cgroup"
)

// Kind tells the runtimes apart whose command lines or state directories differ.
type Kind string

// The kinds.
const (
	Crun  Kind = "crun"
	Runc  Kind = "runc"
	Other Kind = "other"
)

// Runtime is one runtime binary and the options that all its commands get. The caller fills the fields below Kind.
type Runtime struct {
	Path string // absolute
	Kind Kind

	StateDir string         // layout.Dirs.Runtime()
	Manager  cgroup.Manager // cgroup.Facts.Manager
	Rootless bool
}

// Start is what a start needs.
type Start struct {
	ID            string
	Bundle        string
	PidFile       string
	ConsoleSocket string // unix socket that receives the terminal's master; empty without terminal
	LogFile       string // receives the runtime's messages; empty: its stderr
}

var errLater = errors.New("x")

// Find returns the runtime of that name or path; an empty name means crun, else runc.
func Find(name string) (*Runtime, error) { return nil, errLater }

// StartArgs is the command line (with argv[0]) that starts a container detached.
func (r *Runtime) StartArgs(s Start) []string { return nil }

// ExecArgs is the command line (with argv[0]) of a detached-less exec up to the process file: FILE and ID follow.
func (r *Runtime) ExecArgs() []string { return nil }

// Env is the environment that the runtime is executed with.
func (r *Runtime) Env() []string { return nil }

// Memfd returns a sealed, executable copy of the runtime in memory for monitor.RunFD, or nil when executing Path
// is as good. The caller closes it.
func (r *Runtime) Memfd() (*os.File, error) { return nil, errLater }

// Leftovers lists the run-time paths of container id that are to be removed when it has ended.
func (r *Runtime) Leftovers(id string) []string { return nil }

// SeccompFile is where the runtime leaves the compiled filter of a started container; empty: nowhere.
func (r *Runtime) SeccompFile(id string) string { return "" }

// Exec is one process to run in a running container.
type Exec struct {
	ID      string
	Process *specs.Process
	Dir     string   // directory for the process file, private to the caller (the container's run directory)
	PidFile string   // optional
	Detach  bool     // return when the process has started
	Stdin   *os.File // nil: /dev/null
	Stdout  *os.File
	Stderr  *os.File
	// Console receives the master of the process' terminal instead of the streams above: for detach keys.
	// It is called once, before Exec returns; the callee owns the file.
	Console func(master *os.File)
}

// Exec runs a process in a container and returns its exit status; an error is of kind errdefs.ErrNoCommand or
// ErrNotExecutable where that is the cause, and carries the runtime's own last line.
func (r *Runtime) Exec(ctx context.Context, e Exec) (int, error) { return 0, errLater }

// Pause freezes a container, Resume thaws it: for where package cgroup cannot (cgroup v1).
func (r *Runtime) Pause(ctx context.Context, id string) error { return errLater }

// Resume undoes Pause.
func (r *Runtime) Resume(ctx context.Context, id string) error { return errLater }

// Kill sends a signal to the first process, or to all processes of the container.
func (r *Runtime) Kill(ctx context.Context, id, signal string, all bool) error { return errLater }

// Delete removes what the runtime keeps of a container; with force it is killed first.
func (r *Runtime) Delete(ctx context.Context, id string, force bool) error { return errLater }

// State asks the runtime.
func (r *Runtime) State(ctx context.Context, id string) (*specs.State, error) { return nil, errLater }

// Failure is the error for a failed start or exec: text is what the runtime wrote, of which the last line is shown.
// Its kind is ErrNoCommand or ErrNotExecutable where the runtime says so: errdefs.ExitCode knows 126 and 127.
func (r *Runtime) Failure(text string) error { return errLater }
