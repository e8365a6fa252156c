package run

import (
	"errors"

	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/cdi"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// permitDevices puts the names that the user has granted in the place of their aliases, and refuses what he has not.
func permitDevices(s *Step) error {
	if len(s.Devices) == 0 {
		return nil
	}
	granted, _ := s.Allowed[entitlements.EntitlementDevice].(*entitlements.DevicesConfig)
	permitted := make([]*pb.CDIDevice, 0, len(s.Devices))
	for _, d := range s.Devices {
		if granted == nil {
			granted = &entitlements.DevicesConfig{}
		}
		name, ok := granted.Devices[d.Name]
		if !ok && !granted.All {
			return errdefs.New(errdefs.ErrInvalid, "device %s is requested by the build but not allowed (--allow device=%s)", d.Name, d.Name)
		}
		if name == "" {
			name = d.Name
		}
		permitted = append(permitted, &pb.CDIDevice{Name: name, Optional: d.Optional})
	}
	s.Devices = permitted
	return nil
}

// addDevices adds those that are named as in CDI; an optional one only where there is a description of it.
func (st *step) addDevices(s *specs.Spec) error {
	for _, d := range st.Devices {
		err := cdi.Add(s, []string{d.Name}, st.r.opts.CDIDirs, st.h.rootless)
		if err != nil && !(d.Optional && errors.Is(err, errdefs.ErrNotFound)) {
			return err
		}
	}
	return nil
}
