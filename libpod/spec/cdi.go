package spec

import specs "github.com/opencontainers/runtime-spec/specs-go"

// CDIRequest is what the companion for device descriptions (CDI) is asked: to add the devices to the configuration.
type CDIRequest struct {
	Spec     *specs.Spec
	Devices  []string // vendor.com/class=name
	Dirs     []string // where descriptions lie; empty: the usual places
	Rootless bool
}
