// Package cdi adds devices to a container by their descriptions (Container Device Interface, CDI): nodes, mounts,
// variables and hooks that the vendor's tool has written down. Its library costs start-up time, so only a companion
// links it (cmd/wherry-cdi).
package cdi

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	oci "github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"
	specs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Add puts the devices into the configuration. dirs are where descriptions lie, none: the usual places. Without root
// nodes are bound from the host, for they cannot be made, and the rules of a control group are left out.
func Add(s *oci.Spec, devices, dirs []string, rootless bool) error {
	if len(dirs) == 0 {
		dirs = cdi.DefaultSpecDirs
	}
	cache, err := cdi.NewCache(cdi.WithSpecDirs(dirs...), cdi.WithAutoRefresh(false))
	if err != nil {
		return fmt.Errorf("read device descriptions: %w", err)
	}
	edits, err := collect(cache, devices, dirs)
	if err != nil {
		return err
	}
	if rootless {
		bindNodes(edits.ContainerEdits)
	}
	if err := edits.Apply(s); err != nil {
		return fmt.Errorf("device %s: %w", strings.Join(devices, ", "), err)
	}
	return nil
}

// collect puts together what the devices need: what is for all of a description once, then each device's own.
func collect(cache *cdi.Cache, devices, dirs []string) (*cdi.ContainerEdits, error) {
	all := &cdi.ContainerEdits{ContainerEdits: &specs.ContainerEdits{}}
	seen := map[*cdi.Spec]bool{}
	for _, name := range devices {
		d := cache.GetDevice(name)
		if d == nil {
			return nil, unknown(cache, name, dirs)
		}
		if from := d.GetSpec(); !seen[from] {
			seen[from] = true
			all.Append(&cdi.ContainerEdits{ContainerEdits: &from.ContainerEdits})
		}
		all.Append(&cdi.ContainerEdits{ContainerEdits: &d.ContainerEdits})
	}
	return all, nil
}

// unknown names a broken description, which may be why, else what is there.
func unknown(cache *cdi.Cache, name string, dirs []string) error {
	broken := cache.GetErrors()
	for _, path := range slices.Sorted(maps.Keys(broken)) {
		return errdefs.New(errdefs.ErrNotFound, "device %q: the description %s cannot be read: %v (mend or remove it)", name, path, broken[path][0])
	}
	where := strings.Join(dirs, " or ")
	if known := cache.ListDevices(); len(known) > 0 {
		return errdefs.New(errdefs.ErrNotFound, "device %q is not described in %s (these are: %s)", name, where, strings.Join(known, ", "))
	}
	hint := "the vendor's tool writes one"
	if strings.HasPrefix(name, "nvidia.com/") {
		hint = "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml writes one"
	}
	return errdefs.New(errdefs.ErrNotFound, "device %q: there is no device description (CDI) in %s (%s)", name, where, hint)
}

// bindNodes turns device nodes into mounts of the host's. The list is a copy: the descriptions stay as they are.
func bindNodes(edits *specs.ContainerEdits) {
	for _, node := range edits.DeviceNodes {
		from := node.HostPath
		if from == "" {
			from = node.Path
		}
		edits.Mounts = append(edits.Mounts, &specs.Mount{HostPath: from, ContainerPath: node.Path, Type: "bind",
			Options: []string{"bind", "nosuid", "noexec"}})
	}
	edits.DeviceNodes = nil
}
