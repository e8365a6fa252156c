// Package ociruntime drives OCI runtimes (crun, runc and what follows their command line). It is the only package
// that executes one.
package ociruntime

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/seccomp"
)

// Kind tells the runtimes apart whose command lines or state directories differ.
type Kind string

// The kinds. Other is driven like runc, whose command line is the one that others follow.
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
	Flags    []string // of the user: given before the command, with -- in front
}

// Start is what a start needs.
type Start struct {
	ID            string
	Bundle        string
	PidFile       string
	ConsoleSocket string // unix socket that receives the terminal's master; empty without terminal
	KeepKeyring   bool   // no session keyring of its own: the caller's
	Keep          int    // so many descriptors from 3 on go to the container
	LogFile       string // receives the runtime's messages, for Failure; empty: its stderr
}

// elsewhere are directories of runtimes that an unprivileged user's PATH may lack.
var elsewhere = []string{"/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/sbin", "/bin", "/usr/libexec",
	"/usr/libexec/podman", "/usr/lib/podman", "/run/current-system/sw/bin"}

// Find returns the runtime of that name or path; an empty name means crun, else runc.
func Find(name string) (*Runtime, error) {
	names := []string{name}
	if name == "" {
		names = []string{"crun", "runc"}
	}
	for _, n := range names {
		if path := lookup(n); path != "" {
			return &Runtime{Path: path, Kind: kindOf(path)}, nil
		}
	}
	if name == "" {
		return nil, errdefs.New(errdefs.ErrNotFound, "no OCI runtime found: install crun (sudo apt install crun)")
	}
	if fi, err := os.Stat(name); strings.Contains(name, "/") && err == nil {
		if fi.IsDir() {
			return nil, errdefs.New(errdefs.ErrInvalid, "OCI runtime %s is a directory (name the program in it)", name)
		}
		return nil, errdefs.New(errdefs.ErrInvalid, "OCI runtime %s is not executable (chmod +x it)", name)
	}
	return nil, errdefs.New(errdefs.ErrNotFound, "OCI runtime %q not found (install it, or leave --runtime out to use crun or runc)", name)
}

func lookup(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		if path, err = filepath.Abs(path); err == nil {
			return path
		}
	}
	if strings.Contains(name, "/") {
		return ""
	}
	for _, dir := range elsewhere {
		path := filepath.Join(dir, name)
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil {
			return path
		}
	}
	return ""
}

// kindOf goes by the name of the program, or of what a link of another name leads to.
func kindOf(path string) Kind {
	if k := kindOfName(path); k != Other {
		return k
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return kindOfName(real)
	}
	return Other
}

func kindOfName(path string) Kind {
	base := filepath.Base(path)
	switch {
	case strings.HasPrefix(base, "crun"):
		return Crun
	case strings.HasPrefix(base, "runc"):
		return Runc
	}
	return Other
}

// global is the command line up to the subcommand.
func (r *Runtime) global(logFile string) []string {
	args := []string{filepath.Base(r.Path), "--root", r.StateDir}
	if r.Kind == Crun {
		manager := r.Manager
		if manager == "" {
			manager = cgroup.Disabled
		}
		args = append(args, "--cgroup-manager="+string(manager))
	} else if r.Rootless && r.Kind == Runc {
		args = append(args, "--rootless=true")
	}
	for _, flag := range r.Flags {
		args = append(args, "--"+flag)
	}
	if logFile != "" {
		args = append(args, "--log", logFile, "--log-format", "json")
	}
	return args
}

// StartArgs is the command line (with argv[0]) that starts a container detached.
func (r *Runtime) StartArgs(s Start) []string { return r.createArgs(s, "run", "--detach") }

// CreateArgs is the command line (with argv[0]) that makes a container whose command waits for GoArgs.
func (r *Runtime) CreateArgs(s Start) []string { return r.createArgs(s, "create") }

// GoArgs is the command line (with argv[0]) that lets the command of a container go that CreateArgs made.
func (r *Runtime) GoArgs(s Start) []string { return append(r.global(s.LogFile), "start", s.ID) }

func (r *Runtime) createArgs(s Start, verb ...string) []string {
	args := append(append(r.global(s.LogFile), verb...), "--bundle", s.Bundle, "--pid-file", s.PidFile)
	if s.KeepKeyring && r.Kind != Other {
		args = append(args, "--no-new-keyring")
	}
	if s.ConsoleSocket != "" {
		args = append(args, "--console-socket", s.ConsoleSocket)
	}
	if s.Keep > 0 {
		args = append(args, "--preserve-fds", strconv.Itoa(s.Keep))
	}
	return append(args, s.ID)
}

// ExecArgs is the command line (with argv[0]) of an exec up to the process file: FILE and ID follow.
func (r *Runtime) ExecArgs() []string { return append(r.global(""), "exec", "--process") }

// Env is the environment that the runtime is executed with: what it needs to reach the user's systemd, and nothing
// that would make it notify or listen.
func (r *Runtime) Env() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, name := range []string{"XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "HOME", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// Leftovers lists the run-time paths of container id that are to be removed when it has ended.
func (r *Runtime) Leftovers(id string) []string { return []string{filepath.Join(r.StateDir, id)} }

// SeccompFile is where the runtime leaves the compiled filter of a started container; empty: nowhere, or this
// runtime does not know how to take it back.
func (r *Runtime) SeccompFile(id string) string {
	if r.Kind != Crun {
		return ""
	}
	binary, err := os.ReadFile(r.Path)
	if err != nil || !bytes.Contains(binary, []byte(seccomp.Annotation)) {
		return ""
	}
	return filepath.Join(r.StateDir, id, "seccomp.bpf")
}
