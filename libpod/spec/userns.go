package spec

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/idmap"
)

// keepID is what --userns keep-id asks for; size 0: all ids.
type keepID struct{ uid, gid, size uint32 }

// parseKeepID reads keep-id and keep-id:uid=N,gid=N,size=N; errors are idMappings' to report.
func parseKeepID(mode string, h Host) (keepID, bool) {
	k, ok, _ := keepIDOptions(mode, h)
	return k, ok
}

func keepIDOptions(mode string, h Host) (k keepID, ok bool, err error) {
	name, opts, _ := strings.Cut(mode, ":")
	if name != "keep-id" {
		return k, false, nil
	}
	k = keepID{uid: h.RealUID, gid: h.RealGID}
	fields := map[string]*uint32{"uid": &k.uid, "gid": &k.gid, "size": &k.size}
	for _, opt := range strings.Split(opts, ",") {
		if opt == "" {
			continue
		}
		key, val, _ := strings.Cut(opt, "=")
		n, perr := strconv.ParseUint(val, 10, 31)
		if perr != nil || fields[key] == nil || key == "size" && n == 0 {
			return k, true, errdefs.New(errdefs.ErrInvalid, "userns %q: %q is not uid=NUMBER, gid=NUMBER or size=NUMBER", mode, opt)
		}
		*fields[key] = uint32(n)
	}
	return k, true, nil
}

// idMappings is wishedMappings in lines that the kernel takes.
func idMappings(in Input) (uids, gids []specs.LinuxIDMapping, err error) {
	uids, gids, err = wishedMappings(in)
	return idmap.Split(uids, in.Host.UIDs), idmap.Split(gids, in.Host.GIDs), err
}

// wishedMappings returns the mapping of the container's own user namespace, or of another's that it enters, or nil when it
// shares ours. Host ids are those of our namespace, in which 0 is the user and 1 and up are the subordinate ids.
func wishedMappings(in Input) (uids, gids []specs.LinuxIDMapping, err error) {
	mode, settled := in.Config.Security.UserNS, in.Config.Namespaces
	switch {
	case in.Joined.User != "":
		return in.Joined.UIDs, in.Joined.GIDs, nil
	case len(settled.UIDMap) > 0:
		return settled.UIDMap, settled.GIDMap, nil
	case mode == "", mode == "host", strings.HasPrefix(mode, "container:"), strings.HasPrefix(mode, "ns:"):
		return nil, nil, nil
	case mode == "private" && in.Host.Rootless:
		return idmap.Identity(in.Host.UIDs), idmap.Identity(in.Host.GIDs), nil
	case mode == "private":
		return nil, nil, errdefs.New(errdefs.ErrInvalid, "--userns private as root needs --uidmap (or use --userns auto)")
	case !in.Host.Rootless:
		return nil, nil, errdefs.New(errdefs.ErrUnsupported, "userns %q is for use without root (leave it out)", mode)
	}
	nu, ng := mapped(in.Host.UIDs), mapped(in.Host.GIDs)
	if mode == "nomap" {
		if nu < 2 || ng < 2 {
			return nil, nil, errdefs.New(errdefs.ErrUnsupported, "userns nomap needs subordinate ids (add a line for the user to /etc/subuid and /etc/subgid)")
		}
		return []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1, Size: nu - 1}},
			[]specs.LinuxIDMapping{{ContainerID: 0, HostID: 1, Size: ng - 1}}, nil
	}
	k, ok, err := keepIDOptions(mode, in.Host)
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		return nil, nil, errdefs.New(errdefs.ErrInvalid, "userns %q (use host, private, keep-id, nomap, auto, container:NAME or ns:PATH)", mode)
	}
	if k.size > min(nu, ng) {
		return nil, nil, errdefs.New(errdefs.ErrInvalid, "userns %q: you have %d ids (add a larger range to /etc/subuid and /etc/subgid)", mode, min(nu, ng))
	}
	if k.size > 0 {
		nu, ng = k.size, k.size
	}
	return idmap.Keep(k.uid, nu), idmap.Keep(k.gid, ng), nil
}

// ownMappings are the ids that the container has: those of its user namespace, else ours.
func ownMappings(in Input) (uids, gids []specs.LinuxIDMapping) {
	uids, gids, err := idMappings(in)
	if err != nil || uids == nil {
		return in.Host.UIDs, in.Host.GIDs
	}
	return uids, gids
}

// mapped counts the ids of our namespace that follow 0 without a gap; no mapping means all.
func mapped(own []specs.LinuxIDMapping) uint32 {
	if have := idmap.Available(own); len(have) > 0 && have[0].Start == 0 {
		return have[0].Size
	}
	return 1
}

// gidMapped reports whether the container can name group id.
func gidMapped(in Input, id uint32) bool {
	_, gids := ownMappings(in)
	return idmap.Holds(gids, id)
}
