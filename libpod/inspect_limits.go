package libpod

import (
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/cgroup"
)

// Resources are the limits inside HostConfig.
type Resources struct {
	CpuShares          int64
	CpuPeriod          uint64
	CpuQuota           int64
	CpuRealtimePeriod  uint64
	CpuRealtimeRuntime int64
	CpusetCpus         string
	CpusetMems         string
	Memory             int64
	MemoryReservation  int64
	MemorySwap         int64
	MemorySwappiness   *int64
	NanoCpus           int64
	PidsLimit          *int64
	OomKillDisable     bool
	OomScoreAdj        int
	Ulimits            []InspectUlimit
	InspectBlock       `json:",inline"`
}

// InspectBlock are the limits of block devices inside HostConfig.
type InspectBlock struct {
	BlkioWeight          uint16
	BlkioWeightDevice    []InspectWeight
	BlkioDeviceReadBps   []InspectThrottle
	BlkioDeviceWriteBps  []InspectThrottle
	BlkioDeviceReadIOps  []InspectThrottle
	BlkioDeviceWriteIOps []InspectThrottle
}

// InspectWeight is a weight of one device.
type InspectWeight struct {
	Path   string
	Weight uint16
}

// InspectThrottle is a limit of one device.
type InspectThrottle struct {
	Path string
	Rate uint64
}

// InspectGroup says, inside HostConfig, which devices the container has and where its control group is.
type InspectGroup struct {
	Devices           []InspectDevice
	DeviceCgroupRules []string
	DeviceRequests    []InspectRequest
	CgroupParent      string
	CgroupnsMode      string
	CgroupManager     string            // this and what follows are Podman's
	Cgroups           string            // default, disabled, no-conmon, split
	CgroupConf        map[string]string // --cgroup-conf
}

// InspectDevice is one --device.
type InspectDevice struct{ PathOnHost, PathInContainer, CgroupPermissions string }

// InspectRequest are devices that are named as in CDI.
type InspectRequest struct {
	Driver    string
	DeviceIDs []string
}

// InspectUlimit is one of HostConfig.Ulimits.
type InspectUlimit struct {
	Name       string
	Hard, Soft int64
}

func inspectLimits(r *record.Resources) Resources {
	doc := Resources{
		CpuShares: int64(r.CPUShares), CpuPeriod: r.CPUPeriod, CpuQuota: r.CPUQuota, CpuRealtimePeriod: r.CPURealtimePeriod,
		CpuRealtimeRuntime: r.CPURealtime, CpusetCpus: r.CPUSet, CpusetMems: r.MemoryNodes, Memory: r.Memory, MemoryReservation: r.MemoryReservation,
		MemorySwap: r.MemorySwap, MemorySwappiness: r.MemorySwappiness, NanoCpus: r.NanoCPUs, PidsLimit: r.Pids, OomKillDisable: r.OOMKillDisable,
		Ulimits: []InspectUlimit{}, InspectBlock: InspectBlock{
			BlkioWeight: r.Block.Weight, BlkioWeightDevice: []InspectWeight{}, BlkioDeviceReadBps: throttles(r.Block.ReadBps),
			BlkioDeviceWriteBps: throttles(r.Block.WriteBps), BlkioDeviceReadIOps: throttles(r.Block.ReadIOps), BlkioDeviceWriteIOps: throttles(r.Block.WriteIOps),
		},
	}
	for _, w := range r.Block.DeviceWeights {
		doc.BlkioWeightDevice = append(doc.BlkioWeightDevice, InspectWeight{w.Path, uint16(w.Rate)})
	}
	if r.OOMScoreAdj != nil {
		doc.OomScoreAdj = *r.OOMScoreAdj
	}
	for _, u := range r.Ulimits {
		doc.Ulimits = append(doc.Ulimits, InspectUlimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	return doc
}

func throttles(list []record.Throttle) []InspectThrottle {
	docs := make([]InspectThrottle, len(list))
	for i, t := range list {
		docs[i] = InspectThrottle(t)
	}
	return docs
}

func inspectGroup(c *container) InspectGroup {
	g := c.Cgroup
	doc := InspectGroup{
		Devices: []InspectDevice{}, DeviceCgroupRules: orEmpty(c.Security.DeviceRules), DeviceRequests: []InspectRequest{},
		CgroupParent: g.Parent, CgroupnsMode: g.Namespace, CgroupManager: firstOf(g.Manager, cgroup.ByCgroupfs),
		Cgroups: firstOf(g.Mode, "default"), CgroupConf: c.Resources.Unified,
	}
	for _, d := range c.Security.Devices {
		doc.Devices = append(doc.Devices, InspectDevice{PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: firstOf(d.Access, "rwm")})
	}
	if len(c.Security.CDI) > 0 {
		doc.DeviceRequests = append(doc.DeviceRequests, InspectRequest{Driver: "cdi", DeviceIDs: c.Security.CDI})
	}
	return doc
}
