package idmap

import (
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// MountMap is the mapping that a mount shows owners through: of ids on disk (ContainerID) to ids of the namespace in which
// wherry works, or, when relative, of the container.
type MountMap struct {
	UIDs, GIDs                 []specs.LinuxIDMapping
	UIDsRelative, GIDsRelative bool
}

// ParseMount reads uids=[@]DISK-ID-SIZE#...;gids=[@]DISK-ID-SIZE#..., crun's form. Empty text is an empty mapping: that
// of the container's user namespace is meant.
func ParseMount(text string) (MountMap, error) {
	var m MountMap
	if text == "" {
		return m, nil
	}
	for _, part := range strings.Split(text, ";") {
		key, list, _ := strings.Cut(part, "=")
		list, relative := strings.CutPrefix(list, "@")
		lines, err := parseMountLines(list)
		if err != nil {
			return m, err
		}
		switch key {
		case "uids":
			m.UIDs, m.UIDsRelative = lines, relative
		case "gids":
			m.GIDs, m.GIDsRelative = lines, relative
		default:
			return m, errMountMap()
		}
	}
	if len(m.UIDs) == 0 || len(m.GIDs) == 0 {
		return m, errMountMap()
	}
	return m, nil
}

func errMountMap() error {
	return errdefs.New(errdefs.ErrInvalid, "idmap looks like idmap=uids=0-1000-1#1-2000-10;gids=0-1000-1: an id on disk, an id here, and how many")
}

func parseMountLines(list string) ([]specs.LinuxIDMapping, error) {
	var lines []specs.LinuxIDMapping
	for _, text := range strings.Split(list, "#") {
		var n [3]uint32
		fields := strings.Split(text, "-")
		if len(fields) != len(n) {
			return nil, errMountMap()
		}
		for i, f := range fields {
			v, err := strconv.ParseUint(f, 10, 32)
			if err != nil {
				return nil, errMountMap()
			}
			n[i] = uint32(v)
		}
		if n[2] == 0 {
			return nil, errMountMap()
		}
		lines = append(lines, specs.LinuxIDMapping{ContainerID: n[0], HostID: n[1], Size: n[2]})
	}
	return lines, nil
}

// Through gives the lines whose HostID is an id of the container ids of the namespace that its mapping maps to.
func Through(lines, container []Map) ([]Map, error) {
	var out []Map
	for _, l := range lines {
		left := uint64(l.Size)
		for _, c := range container {
			from, to := max(uint64(l.HostID), uint64(c.ContainerID)), min(uint64(l.HostID)+uint64(l.Size), uint64(c.ContainerID)+uint64(c.Size))
			if from >= to {
				continue
			}
			out = append(out, Map{ContainerID: l.ContainerID + uint32(from-uint64(l.HostID)), HostID: c.HostID + uint32(from-uint64(c.ContainerID)), Size: uint32(to - from)})
			left -= min(left, to-from)
		}
		if left > 0 {
			return nil, errdefs.New(errdefs.ErrInvalid, "ids %s are not the container's", span(l.HostID, l.Size))
		}
	}
	return out, nil
}
