package spec

import (
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// setDevices gives the container its device nodes and says which ones its control group may use. The runtime adds
// /dev/null and its like by itself. In a user namespace nodes cannot be made, so they are bound from the host, and
// the host's own permissions stand in for the device rules.
func setDevices(in Input, s *specs.Spec) error {
	sec := in.Config.Security
	if sec.Privileged {
		for _, d := range in.Host.Devices {
			addDevice(in, s, d, d.Path)
		}
	}
	own, err := deviceRules(in)
	if err != nil {
		return err
	}
	rules := append(defaultRules(sec.Privileged), own...)
	for _, want := range sec.Devices {
		access, err := deviceAccess(want)
		if err != nil {
			return err
		}
		found := false
		for _, d := range in.Host.Devices {
			if d.Path != want.Source && !strings.HasPrefix(d.Path, strings.TrimSuffix(want.Source, "/")+"/") {
				continue
			}
			found = true
			if !sec.Privileged || want.Target != "" && want.Target != want.Source {
				addDevice(in, s, d, deviceTarget(want)+strings.TrimPrefix(d.Path, strings.TrimSuffix(want.Source, "/")))
			}
			major, minor := d.Major, d.Minor
			rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: d.Type, Major: &major, Minor: &minor, Access: access})
		}
		if !found {
			return errdefs.New(errdefs.ErrNotFound, "device %s: not a device, and none below it", want.Source)
		}
	}
	if !in.Host.Rootless && !cgroupsOff(in) && !deviceRulesFail(in) {
		s.Linux.Resources = &specs.LinuxResources{Devices: rules}
	}
	return nil
}

// deviceRulesFail: on v2 rules are a BPF program, and crun insists on raising its memory limit for that, which root
// without CAP_SYS_RESOURCE (in a container of somebody else) may not. Such containers get no CAP_MKNOD instead.
func deviceRulesFail(in Input) bool {
	return !in.Host.Rootless && in.Cgroup.Version == 2 && !in.Host.Caps.Has("CAP_SYS_RESOURCE")
}

func addDevice(in Input, s *specs.Spec, d specs.LinuxDevice, target string) {
	target = path.Clean(target)
	if in.Host.Rootless {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: target, Type: "bind", Source: d.Path,
			Options: []string{"bind", "nosuid", "noexec"}})
		return
	}
	d.Path = target
	s.Linux.Devices = append(s.Linux.Devices, d)
}

func deviceTarget(d record.Device) string {
	if d.Target != "" {
		return d.Target
	}
	return d.Source
}

func deviceAccess(d record.Device) (string, error) {
	if d.Access == "" {
		return "rwm", nil
	}
	if strings.Trim(d.Access, "rwm") != "" || len(d.Access) > 3 {
		return "", errdefs.New(errdefs.ErrInvalid, "device %s: access %q is not made of r, w and m", d.Source, d.Access)
	}
	return d.Access, nil
}

// defaultRules: nothing but what the runtime allows by itself; making any node (m) does no harm without its use.
func defaultRules(privileged bool) []specs.LinuxDeviceCgroup {
	if privileged {
		return []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
	return []specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"},
		{Allow: true, Type: "c", Access: "m"},
		{Allow: true, Type: "b", Access: "m"},
	}
}
