// Package seccomp makes the system call filter of a container from a profile, and keeps compiled filters so that
// the runtime need not compile the same one at each start.
package seccomp

import (
	"encoding/json"
	"fmt"
	"slices"

	docker "github.com/docker/docker/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Unconfined as a profile means: no filter.
const Unconfined = "unconfined"

// Annotation gives crun a compiled filter, base64.
const Annotation = "run.oci.seccomp_bpf_data"

// maxProfile bounds a profile's JSON; Docker's has 13 kB.
const maxProfile = 1 << 20

// Build returns the filter that profile asks for in a container with the bounding set caps. An empty profile is
// Docker's default; else it is the profile's JSON. The result is nil for Unconfined and for an empty JSON profile.
func Build(profile string, caps []string) (*specs.LinuxSeccomp, error) {
	container := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
	switch profile {
	case Unconfined:
		return nil, nil
	case "":
		filter, err := docker.GetDefaultProfile(container) //lint:ignore SA1019 the same profile under its old name
		if err != nil {
			return nil, fmt.Errorf("default seccomp profile: %w", err)
		}
		return filter, nil
	}
	if err := decodable(profile); err != nil {
		return nil, err
	}
	filter, err := docker.LoadProfile(profile, container) //lint:ignore SA1019 as above
	if err != nil {
		return nil, invalid("%v", err)
	}
	if filter == nil {
		return nil, nil
	}
	return filter, check(filter)
}

func invalid(format string, args ...any) error {
	return errdefs.New(errdefs.ErrInvalid, "seccomp profile: "+format, args...)
}

// decodable refuses what the library would accept in silence or stumble over: it walks the list of system calls
// without looking for null.
func decodable(profile string) error {
	if len(profile) > maxProfile {
		return invalid("larger than %d bytes", maxProfile)
	}
	var p struct {
		DefaultAction *string            `json:"defaultAction"`
		Syscalls      []*json.RawMessage `json:"syscalls"`
	}
	if err := json.Unmarshal([]byte(profile), &p); err != nil {
		return invalid("not JSON of the right form: %v", err)
	}
	if p.DefaultAction == nil && len(p.Syscalls) > 0 {
		return invalid("defaultAction is missing")
	}
	if slices.Contains(p.Syscalls, nil) {
		return invalid("an entry of syscalls is null")
	}
	return nil
}

var actions = []specs.LinuxSeccompAction{
	specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno, specs.ActTrace,
	specs.ActAllow, specs.ActLog, specs.ActNotify,
}

var operators = []specs.LinuxSeccompOperator{
	specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan,
	specs.OpMaskedEqual,
}

// check names what a runtime would only refuse once the container is half made.
func check(f *specs.LinuxSeccomp) error {
	if !slices.Contains(actions, f.DefaultAction) {
		return invalid("unknown defaultAction %q", f.DefaultAction)
	}
	for _, call := range f.Syscalls {
		if len(call.Names) == 0 {
			return invalid("an entry of syscalls names no system call")
		}
		if !slices.Contains(actions, call.Action) {
			return invalid("system call %s: unknown action %q", call.Names[0], call.Action)
		}
		for _, arg := range call.Args {
			if arg.Index > 5 || !slices.Contains(operators, arg.Op) {
				return invalid("system call %s: argument %d %s cannot be compared", call.Names[0], arg.Index, arg.Op)
			}
		}
	}
	return nil
}

// Cacheable reports whether a compiled filter stands for f alone: one that notifies a listener does not.
func Cacheable(f *specs.LinuxSeccomp) bool {
	if f == nil || f.ListenerPath != "" || f.DefaultAction == specs.ActNotify {
		return false
	}
	return !slices.ContainsFunc(f.Syscalls, func(c specs.LinuxSyscall) bool { return c.Action == specs.ActNotify })
}
