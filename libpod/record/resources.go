package record

// Resources are limits. Zero: none.
type Resources struct {
	Memory            int64             // bytes
	MemorySwap        int64             // bytes of memory plus swap; -1 unlimited
	MemoryReservation int64             // bytes
	MemorySwappiness  *int64            `json:",omitempty"` // 0 to 100; v1 only
	OOMKillDisable    bool              `json:",omitempty"` // v1 only
	OOMScoreAdj       *int              `json:",omitempty"`
	NanoCPUs          int64             // 1e9 = one processor
	CPUShares         uint64            // cgroup v1 shares, 2 to 262144
	CPUPeriod         uint64            `json:",omitempty"` // microseconds, with CPUQuota; not together with NanoCPUs
	CPUQuota          int64             `json:",omitempty"` // microseconds in each period; -1 unlimited
	CPURealtimePeriod uint64            `json:",omitempty"` // microseconds; v1 only
	CPURealtime       int64             `json:",omitempty"` // microseconds of real-time scheduling in each period; v1 only
	CPUSet            string            // 0-3,5
	MemoryNodes       string            `json:",omitempty"` // NUMA nodes, as 0-1
	Pids              *int64            // nil: the default (2048) where the controller is there; -1 unlimited
	Ulimits           []Ulimit          `json:",omitempty"`
	Block             Block             `json:",omitzero"`
	Unified           map[string]string `json:",omitempty"` // --cgroup-conf: files of v2's group and what is written into them
}

// Block are limits of block devices.
type Block struct {
	Weight        uint16     `json:",omitempty"` // 10 to 1000
	DeviceWeights []Throttle `json:",omitempty"`
	ReadBps       []Throttle `json:",omitempty"` // bytes a second
	WriteBps      []Throttle `json:",omitempty"`
	ReadIOps      []Throttle `json:",omitempty"` // operations a second
	WriteIOps     []Throttle `json:",omitempty"`
}

// Throttle is a limit of one device; what Rate counts is the list's matter.
type Throttle struct {
	Path string // of the device node on the host
	Rate uint64
}

// Ulimit is one --ulimit; -1 is unlimited.
type Ulimit struct {
	Name       string // nofile, nproc, core, ... in lower case without RLIMIT_
	Soft, Hard int64
}

// Cgroup says where the container's control group is and who sees it.
type Cgroup struct {
	Manager   string `json:",omitempty"` // systemd, cgroupfs; empty: what suits the host
	Mode      string `json:",omitempty"` // enabled (default), disabled, no-conmon, split
	Parent    string `json:",omitempty"` // a path below the place of all containers, an absolute one, or a slice of systemd
	Namespace string `json:",omitempty"` // private, host, ns:PATH, container:ID; empty: private on v2, host on v1
}

// Set puts the limit of a device into one of the lists: in the place of an earlier one, and a rate of 0 takes it away.
func (*Block) Set(list *[]Throttle, t Throttle) {
	kept := make([]Throttle, 0, len(*list)+1)
	for _, old := range *list {
		if old.Path != t.Path {
			kept = append(kept, old)
		}
	}
	if t.Rate > 0 {
		kept = append(kept, t)
	}
	*list = kept
}
