// Package seccomp makes the system call filter of a container from a profile, and keeps compiled filters so that
// the runtime need not compile the same one at each start.
package seccomp

import (
	"errors"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Unconfined as a profile means: no filter.
const Unconfined = "unconfined"

var errLater = errors.New("x")

// Build returns the filter that profile asks for in a container with the bounding set caps. An empty profile is
// Docker's default; else it is the profile's JSON. The result is nil for Unconfined and for an empty JSON profile.
func Build(profile string, caps []string) (*specs.LinuxSeccomp, error) { return nil, errLater }

// Cache keeps compiled filters in Dir (layout.Dirs.Cache()/seccomp), each in a file named by its key.
type Cache struct{ Dir string }

// Key names the filter of profile and caps as runtime (path of the binary) compiles it. It reads no profile.
func (c Cache) Key(profile string, caps []string, runtime string) (string, error) {
	return "", errLater
}

// Load returns the filter kept under key in the form of the annotation Annotation, or "" when there is none that
// can be trusted.
func (c Cache) Load(key string) string { return "" }

// Harvest keeps the filter that the runtime left in file (Runtime.SeccompFile) under key. It is called
// after a start that used the plain section; a filter that does not look right is not kept.
func (c Cache) Harvest(key, file string) error { return errLater }

// Annotation gives crun a compiled filter, base64.
const Annotation = "run.oci.seccomp_bpf_data"
