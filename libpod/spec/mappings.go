package spec

import specs "github.com/opencontainers/runtime-spec/specs-go"

// IDMappings returns the mapping of the container's own user namespace, or nil when it shares ours: the root file
// system must be mounted in its terms before the rest of Input is known. It looks at Config and Host only.
func IDMappings(in Input) (uids, gids []specs.LinuxIDMapping, err error) { return idMappings(in) }

// KeepID returns the ids that the caller keeps under --userns keep-id: who the first process runs as unless the user
// says otherwise.
func KeepID(in Input) (uid, gid uint32, ok bool) {
	k, ok := parseKeepID(in.Config.Security.UserNS, in.Host)
	return k.uid, k.gid, ok
}
