package spec

import (
	"errors"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Build returns the runtime's configuration for one start of in.Config.
func Build(in Input) (*specs.Spec, error) { return nil, errors.New("x") }

// Capabilities returns the container's bounding set: the caps argument of seccomp.Build and seccomp.Cache.Key.
func Capabilities(in Input) ([]string, error) { return nil, errors.New("x") }
