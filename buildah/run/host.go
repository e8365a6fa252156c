package run

import (
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/caps"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/hostfacts"
	"github.com/wherry-containers/wherry/pkg/realuser"
	"github.com/wherry-containers/wherry/pkg/rootless"
)

// host is what all steps need to know of the machine and the caller.
type host struct {
	rootless bool
	spec     spec.Host
	cgroup   cgroup.Facts
	runtime  ociruntime.Runtime // with what does not depend on the step
}

func (r *Runner) findHost() (*host, error) {
	h := &host{rootless: realuser.Inside()}
	permitted, err := caps.Permitted()
	if err != nil {
		return nil, err
	}
	h.spec = spec.Host{Rootless: h.rootless, Caps: permitted, RealUID: uint32(realuser.UID()), RealGID: uint32(realuser.GID()),
		SELinux: hostfacts.SELinux(), AppArmor: hostfacts.AppArmor()}
	if h.rootless {
		h.spec.UIDs, h.spec.GIDs = rootless.Mappings()
	}
	h.cgroup = cgroup.Detect(r.opts.Getenv, h.rootless, realuser.UID())
	if err := h.place(); err != nil {
		h.cgroup.Manager, h.cgroup.Slice, h.cgroup.Controllers, h.cgroup.Why = cgroup.Disabled, "", nil, err.Error()
		r.opts.Warn("steps run without a control group: " + err.Error())
	}
	found, err := r.findRuntime(h.cgroup.Hybrid)
	if err != nil {
		return nil, err
	}
	h.runtime = *found
	h.runtime.Rootless = h.rootless
	return h, nil
}

// place moves this process, and the one that holds the user's namespaces, to where systemd lets us make control groups. It
// takes that place away when nobody is there any more: so between one step and the next, with all that the kernel has counted.
func (h *host) place() error {
	if h.cgroup.Slice == "" {
		return nil
	}
	for _, pid := range []int{os.Getpid(), rootless.PausePID()} {
		if pid <= 0 || h.cgroup.Placed(pid) {
			continue
		}
		if err := h.cgroup.Place(pid); err != nil {
			return err
		}
	}
	return nil
}

// findRuntime: crun refuses hosts that mix both versions of control groups, runc does not.
func (r *Runner) findRuntime(hybrid bool) (*ociruntime.Runtime, error) {
	if r.opts.Runtime == "" && hybrid {
		if runc, err := ociruntime.Find("runc"); err == nil {
			return runc, nil
		}
	}
	return ociruntime.Find(r.opts.Runtime)
}

// insecureDevices are what a step with --security=insecure has besides the usual nodes, where the host has them.
var insecureDevices = []string{"/dev/kmsg", "/dev/cuse", "/dev/fuse", "/dev/kvm", "/dev/net/tun", "/dev/loop-control",
	"/dev/loop0", "/dev/loop1", "/dev/loop2", "/dev/loop3", "/dev/loop4", "/dev/loop5", "/dev/loop6", "/dev/loop7"}

// devices are those of an insecure step; without root none can be made.
func (h *host) devices() ([]specs.LinuxDevice, error) {
	if h.rootless {
		return nil, nil
	}
	var there []string
	for _, path := range insecureDevices {
		if _, err := os.Stat(path); err == nil {
			there = append(there, path)
		}
	}
	return hostfacts.Devices(there...)
}
