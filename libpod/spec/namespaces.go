package spec

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func setNamespaces(in Input, s *specs.Spec) error {
	ns := []specs.LinuxNamespace{
		{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
	}
	if privateCgroup(in) {
		ns = append(ns, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	switch mode := in.Config.Network.Mode; {
	case in.NetworkPath != "":
		ns = append(ns, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: in.NetworkPath})
	case mode == "none":
		ns = append(ns, specs.LinuxNamespace{Type: specs.NetworkNamespace})
	case mode == "private", mode == "host", mode == "":
		// The runtime is started inside the namespace that the container is to have.
	default:
		return errdefs.New(errdefs.ErrUnsupported, "network mode %q (use private, none or host)", mode)
	}
	uids, gids, err := idMappings(in)
	if err != nil {
		return err
	}
	if uids != nil {
		ns = append(ns, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Linux.UIDMappings, s.Linux.GIDMappings = uids, gids
	}
	s.Linux.Namespaces = ns
	return nil
}

// privateCgroup: Docker's default on cgroup v2 is a namespace of its own, on v1 the host's.
func privateCgroup(in Input) bool {
	return in.Cgroup.Version == 2 && !in.Cgroup.Hybrid
}

type keepID struct{ uid, gid uint32 }

// parseKeepID reads keep-id and keep-id:uid=N,gid=N; errors are idMappings' to report.
func parseKeepID(mode string, h Host) (keepID, bool) {
	k, ok, _ := keepIDOptions(mode, h)
	return k, ok
}

func keepIDOptions(mode string, h Host) (k keepID, ok bool, err error) {
	name, opts, _ := strings.Cut(mode, ":")
	if name != "keep-id" {
		return k, false, nil
	}
	k = keepID{h.RealUID, h.RealGID}
	for _, opt := range strings.Split(opts, ",") {
		if opt == "" {
			continue
		}
		key, val, _ := strings.Cut(opt, "=")
		n, perr := strconv.ParseUint(val, 10, 31)
		switch {
		case perr != nil:
			return k, true, errdefs.New(errdefs.ErrInvalid, "userns %q: %q is not uid=NUMBER or gid=NUMBER", mode, opt)
		case key == "uid":
			k.uid = uint32(n)
		case key == "gid":
			k.gid = uint32(n)
		default:
			return k, true, errdefs.New(errdefs.ErrInvalid, "userns %q: %q is not uid=NUMBER or gid=NUMBER", mode, opt)
		}
	}
	return k, true, nil
}

// idMappings returns the container's own user namespace, or nil when it shares ours. Host ids are those of our
// namespace, in which 0 is the user and 1 and up are the subordinate ids.
func idMappings(in Input) (uids, gids []specs.LinuxIDMapping, err error) {
	mode := in.Config.Security.UserNS
	if mode == "" || mode == "host" {
		return nil, nil, nil
	}
	if !in.Host.Rootless {
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
		return nil, nil, errdefs.New(errdefs.ErrInvalid, "userns %q (use host, keep-id or nomap)", mode)
	}
	return keepMapping(k.uid, nu), keepMapping(k.gid, ng), nil
}

// keepMapping maps id to our 0 and the n-1 subordinate ids around it.
func keepMapping(id, n uint32) []specs.LinuxIDMapping {
	sub := n - 1
	below := min(id, sub)
	var m []specs.LinuxIDMapping
	if below > 0 {
		m = append(m, specs.LinuxIDMapping{ContainerID: 0, HostID: 1, Size: below})
	}
	m = append(m, specs.LinuxIDMapping{ContainerID: id, HostID: 0, Size: 1})
	if sub > below {
		m = append(m, specs.LinuxIDMapping{ContainerID: id + 1, HostID: below + 1, Size: sub - below})
	}
	return m
}

// mapped counts the ids of our namespace that follow 0 without a gap; no mapping means all.
func mapped(m []specs.LinuxIDMapping) uint32 {
	if len(m) == 0 {
		return ^uint32(0)
	}
	var next uint32
	for grown := true; grown; {
		grown = false
		for _, e := range m {
			if e.ContainerID == next && e.Size > 0 && next+e.Size > next {
				next += e.Size
				grown = true
			}
		}
	}
	return max(next, 1)
}

// gidMapped reports whether the container can name group id.
func gidMapped(in Input, s *specs.Spec, id uint32) bool {
	return holds(firstMapping(s.Linux.GIDMappings, in.Host.GIDs), id)
}

// holds tells whether a mapping has id; none at all has every id.
func holds(m []specs.LinuxIDMapping, id uint32) bool {
	if len(m) == 0 {
		return true
	}
	for _, e := range m {
		if id >= e.ContainerID && id-e.ContainerID < e.Size {
			return true
		}
	}
	return false
}

func cgroupsOff(in Input) bool {
	return in.Cgroup.Manager == cgroup.Disabled || in.Cgroup.Manager == ""
}
