package spec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// blockIO translates the limits of block devices, whose numbers known has by path.
func blockIO(b record.Block, known map[string]BlockDevice) (*specs.LinuxBlockIO, error) {
	out := &specs.LinuxBlockIO{}
	if b.Weight > 0 {
		out.Weight = &b.Weight
	}
	empty := b.Weight == 0
	for _, t := range b.DeviceWeights {
		d, err := blockDevice("--blkio-weight-device", t, known)
		if err != nil {
			return nil, err
		}
		weight := uint16(t.Rate)
		w := specs.LinuxWeightDevice{Weight: &weight}
		w.Major, w.Minor = d.Major, d.Minor
		out.WeightDevice = append(out.WeightDevice, w)
		empty = false
	}
	for _, list := range []struct {
		flag string
		from []record.Throttle
		to   *[]specs.LinuxThrottleDevice
	}{
		{"--device-read-bps", b.ReadBps, &out.ThrottleReadBpsDevice},
		{"--device-write-bps", b.WriteBps, &out.ThrottleWriteBpsDevice},
		{"--device-read-iops", b.ReadIOps, &out.ThrottleReadIOPSDevice},
		{"--device-write-iops", b.WriteIOps, &out.ThrottleWriteIOPSDevice},
	} {
		for _, t := range list.from {
			d, err := blockDevice(list.flag, t, known)
			if err != nil {
				return nil, err
			}
			limit := specs.LinuxThrottleDevice{Rate: t.Rate}
			limit.Major, limit.Minor = d.Major, d.Minor
			*list.to = append(*list.to, limit)
			empty = false
		}
	}
	if empty {
		return nil, nil
	}
	return out, nil
}

func blockDevice(flag string, t record.Throttle, known map[string]BlockDevice) (BlockDevice, error) {
	d, ok := known[t.Path]
	if !ok {
		return d, errdefs.New(errdefs.ErrNotFound, "%s: %s is no block device here (lsblk -p lists them)", flag, t.Path)
	}
	return d, nil
}
