package spec

import specs "github.com/opencontainers/runtime-spec/specs-go"

// IDMappings returns the mapping of the container's own user namespace, or nil when it shares ours: the root file
// system must be mounted in its terms before the rest of Input is known. It looks at Config and Host only.
func IDMappings(in Input) (uids, gids []specs.LinuxIDMapping, err error) { return idMappings(in) }
