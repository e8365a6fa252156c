package rootfs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Mapping is the id mapping of a container's own user namespace, seen from ours.
type Mapping struct {
	UIDs, GIDs []specs.LinuxIDMapping
}

// shift gives the owner a file must have in our namespace to appear as uid:gid in the container's.
func (m *Mapping) shift(uid, gid int) (int, int, error) {
	u, ok1 := shiftID(m.UIDs, uid)
	g, ok2 := shiftID(m.GIDs, gid)
	if !ok1 || !ok2 {
		return 0, 0, errdefs.New(errdefs.ErrInvalid,
			"the image has files of %d:%d, which the container's user namespace does not map (add ids to /etc/subuid and /etc/subgid)", uid, gid)
	}
	return u, g, nil
}

func shiftID(maps []specs.LinuxIDMapping, id int) (int, bool) {
	for _, m := range maps {
		if off := uint64(id) - uint64(m.ContainerID); uint64(id) >= uint64(m.ContainerID) && off < uint64(m.Size) {
			return int(uint64(m.HostID) + off), true
		}
	}
	return 0, false
}

// key names the mapping in a path.
func (m *Mapping) key() string {
	data, _ := json.Marshal(m)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
