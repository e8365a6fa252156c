package spec

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// cgroupNamespace is nil for the host's. Docker's default on cgroup v2 is one of its own, on v1 the host's.
func cgroupNamespace(in Input) (*specs.LinuxNamespace, error) {
	mode := in.Config.Cgroup.Namespace
	own := &specs.LinuxNamespace{Type: specs.CgroupNamespace}
	switch kind, _, _ := strings.Cut(mode, ":"); {
	case kind == "host":
		return nil, nil
	case kind == "ns", kind == "container":
		own.Path = in.CgroupNS
		return own, nil
	case mode == "private" && in.Cgroup.Version == 0:
		return nil, errdefs.New(errdefs.ErrUnsupported, "--cgroupns=private: no control groups are mounted here (leave it out)")
	case mode == "private", privateCgroup(in):
		return own, nil
	}
	return nil, nil
}
