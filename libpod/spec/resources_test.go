package spec

import (
	"encoding/json"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/cgroup"
)

func full(in *Input, version int) *record.Resources {
	in.Cgroup = cgroup.Facts{Version: version, Manager: cgroup.Cgroupfs, Base: "/u", Swap: true,
		Controllers: []string{"memory", "cpu", "cpuset", "pids", "io", "blkio", "hugetlb"}}
	in.Host.Block = map[string]BlockDevice{"/dev/sda": {Major: 8, Minor: 0}}
	return &in.Config.Resources
}

// What the runtime is told of each limit, and what cannot be asked.
// flag: run, create, update --blkio-weight-device
func TestLimits(t *testing.T) {
	ten, five := int64(10), int64(5)
	for name, c := range map[string]struct {
		version int
		change  func(*record.Resources)
		want    string // part of the JSON, or of the error
	}{
		"swap as memory":      {2, func(r *record.Resources) { r.Memory = 5 }, `"memory":{"limit":5,"swap":10}`},
		"swap unlimited":      {2, func(r *record.Resources) { r.Memory, r.MemorySwap = 5, -1 }, `"memory":{"limit":5,"swap":-1}`},
		"swap of huge memory": {2, func(r *record.Resources) { r.Memory = 1 << 62 }, `"swap":-1`},
		"reservation":         {2, func(r *record.Resources) { r.MemoryReservation = 5 }, `"reservation":5`},
		"swappiness":          {1, func(r *record.Resources) { r.MemorySwappiness = &ten }, `"swappiness":10`},
		"swappiness on v2":    {2, func(r *record.Resources) { r.MemorySwappiness = &ten }, "cgroup v2 has none"},
		"oom":                 {1, func(r *record.Resources) { r.OOMKillDisable, r.Memory = true, 7 }, `"disableOOMKiller":true`},
		"oom on v2":           {2, func(r *record.Resources) { r.OOMKillDisable = true }, "--oom-kill-disable: cgroup v2 cannot"},
		"cpus":                {2, func(r *record.Resources) { r.NanoCPUs = 15e8 }, `"cpu":{"quota":150000,"period":100000}`},
		"period and quota":    {2, func(r *record.Resources) { r.CPUPeriod, r.CPUQuota = 5000, 2500 }, `"cpu":{"quota":2500,"period":5000}`},
		"no quota":            {2, func(r *record.Resources) { r.CPUQuota = -1 }, `{"pids"`},
		"cpus and period":     {2, func(r *record.Resources) { r.NanoCPUs, r.CPUPeriod = 1e9, 5000 }, "do not go together"},
		"short period":        {2, func(r *record.Resources) { r.CPUPeriod = 5 }, "between 1000 and 1000000"},
		"small quota":         {2, func(r *record.Resources) { r.CPUQuota = 5 }, "the least is 1000"},
		"few cpus":            {2, func(r *record.Resources) { r.NanoCPUs = 1e6 }, "--cpus is below 0.01"},
		"nodes":               {2, func(r *record.Resources) { r.CPUSet, r.MemoryNodes = "0-1", "0" }, `"cpus":"0-1","mems":"0"`},
		"real time on v2":     {2, func(r *record.Resources) { r.CPURealtime = 5 }, "v2 has no such limit"},
		"real time off":       {1, func(r *record.Resources) { r.CPURealtime = 5 }, "CONFIG_RT_GROUP_SCHED"},
		"weight":              {2, func(r *record.Resources) { r.Block.Weight = 100 }, `"blockIO":{"weight":100}`},
		"device weight": {2, func(r *record.Resources) { r.Block.DeviceWeights = []record.Throttle{{Path: "/dev/sda", Rate: 50}} },
			`"weightDevice":[{"major":8,"minor":0,"weight":50}]`},
		"rates": {2, func(r *record.Resources) {
			sda := []record.Throttle{{Path: "/dev/sda", Rate: 9}}
			r.Block = record.Block{ReadBps: sda, WriteBps: sda, ReadIOps: sda, WriteIOps: sda}
		}, `"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":9}],"throttleWriteBpsDevice":[{"major":8,"minor":0,"rate":9}],` +
			`"throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":9}],"throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":9}]`},
		"rate of no device": {2, func(r *record.Resources) { r.Block.ReadBps = []record.Throttle{{Path: "/dev/x", Rate: 9}} },
			"--device-read-bps: /dev/x is no block device here"},
		"a file of the group":  {2, func(r *record.Resources) { r.Unified = map[string]string{"hugetlb.2MB.max": "0"} }, `"unified":{"hugetlb.2MB.max":"0"}`},
		"a file of none":       {2, func(r *record.Resources) { r.Unified = map[string]string{"rdma.max": "x"} }, `--cgroup-conf=rdma.max needs the cgroup controller "rdma"`},
		"a file upwards":       {2, func(r *record.Resources) { r.Unified = map[string]string{"../memory.max": "1"} }, "not the name of a file"},
		"a file of v1":         {1, func(r *record.Resources) { r.Unified = map[string]string{"memory.high": "1"} }, "needs cgroup v2"},
		"a file twice":         {2, func(r *record.Resources) { r.Memory, r.Unified = 9, map[string]string{"memory.max": "1"} }, "memory.max and --memory do not go together"},
		"default of processes": {2, func(*record.Resources) {}, `"pids":{"limit":2048}`},
		"processes":            {2, func(r *record.Resources) { r.Pids = &five }, `"pids":{"limit":5}`},
		"swap without memory":  {2, func(r *record.Resources) { r.MemorySwap = 5 }, "--memory-swap needs --memory"},
		"swap below memory":    {2, func(r *record.Resources) { r.Memory, r.MemorySwap = 9, 5 }, "cannot be less than --memory"},
		"much reservation":     {2, func(r *record.Resources) { r.Memory, r.MemoryReservation = 5, 9 }, "cannot be more than --memory"},
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			c.change(full(&in, c.version))
			s, err := Build(in)
			text := ""
			if err != nil {
				text = err.Error()
			} else {
				data, _ := json.Marshal(s.Linux.Resources)
				text = string(data)
			}
			if !strings.Contains(text, c.want) {
				t.Errorf("want %s in:\n%s", c.want, text)
			}
		})
	}
}

// Each limit that needs a controller names it when that is not there.
func TestLimitsWithoutControllers(t *testing.T) {
	one := int64(1)
	sda := []record.Throttle{{Path: "/dev/sda", Rate: 9}}
	for flag, r := range map[string]record.Resources{
		"--memory needs the cgroup controller \"memory\"":          {Memory: 9},
		"--memory-swap needs --memory":                             {MemorySwap: 9},
		"--memory-reservation needs the cgroup controller":         {MemoryReservation: 9},
		"--cpus needs the cgroup controller \"cpu\"":               {NanoCPUs: 1e9},
		"--cpu-shares needs the cgroup controller \"cpu\"":         {CPUShares: 9},
		"--cpu-period needs the cgroup controller \"cpu\"":         {CPUPeriod: 5000},
		"--cpu-quota needs the cgroup controller \"cpu\"":          {CPUQuota: 5000},
		"--cpuset-cpus needs the cgroup controller \"cpuset\"":     {CPUSet: "0"},
		"--cpuset-mems needs the cgroup controller \"cpuset\"":     {MemoryNodes: "0"},
		"--pids-limit needs the cgroup controller \"pids\"":        {Pids: &one},
		"--blkio-weight needs the cgroup controller \"io\"":        {Block: record.Block{Weight: 10}},
		"--blkio-weight-device needs the cgroup controller \"io\"": {Block: record.Block{DeviceWeights: sda}},
		"--device-read-bps needs the cgroup controller \"io\"":     {Block: record.Block{ReadBps: sda}},
		"--device-write-bps needs the cgroup controller \"io\"":    {Block: record.Block{WriteBps: sda}},
		"--device-read-iops needs the cgroup controller \"io\"":    {Block: record.Block{ReadIOps: sda}},
		"--device-write-iops needs the cgroup controller \"io\"":   {Block: record.Block{WriteIOps: sda}},
	} {
		err := CheckLimits(r, cgroup.Facts{Version: 2, Manager: cgroup.Cgroupfs, Rootless: true, Kernel: []string{"memory", "cpu", "cpuset", "pids", "io"}})
		if err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("want %s, got %v", flag, err)
		}
		if err != nil && strings.Contains(flag, "controller") && !strings.Contains(err.Error(), "Delegate=cpu cpuset io memory pids") {
			t.Errorf("no word of how to delegate it: %v", err)
		}
	}
}

func TestChanged(t *testing.T) {
	many, none := int64(5), int64(-1)
	for name, c := range map[string]struct {
		before, now record.Resources
		want, not   string
	}{
		"memory off":  {record.Resources{Memory: 9, MemoryReservation: 5}, record.Resources{}, `"memory":{"limit":-1,"reservation":0,"swap":-1}`, "cpu"},
		"cpus off":    {record.Resources{NanoCPUs: 1e9}, record.Resources{}, `"quota":-1,"period":100000`, "memory"},
		"shares off":  {record.Resources{CPUShares: 9}, record.Resources{}, `"unified":{"cpu.weight":"100"}`, "quota"},
		"pids off":    {record.Resources{Pids: &many}, record.Resources{Pids: &none}, `"pids":{"limit":-1}`, ""},
		"more memory": {record.Resources{Memory: 9}, record.Resources{Memory: 20}, `"memory":{"limit":20,"swap":40}`, "cpu"},
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			*full(&in, 2) = c.now
			res, err := Changed(in, c.before)
			data, _ := json.Marshal(res)
			if err != nil || !strings.Contains(string(data), c.want) || c.not != "" && strings.Contains(string(data), c.not) {
				t.Errorf("want %s and not %q in %s (%v)", c.want, c.not, data, err)
			}
		})
	}
}

// A run's configuration gets the new limits and variables, and keeps the rest.
func TestRenew(t *testing.T) {
	in := input()
	in.User.Home = "/home/x"
	full(&in, 2).Memory = 5
	s, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	in.User.Home = ""
	in.Config.Resources.Memory = 50
	in.Config.Process.Env = []string{"NEW=1"}
	if err := Renew(in, s); err != nil {
		t.Fatal(err)
	}
	if *s.Linux.Resources.Memory.Limit != 50 || len(s.Linux.Resources.Devices) != 1 {
		t.Errorf("%+v", s.Linux.Resources)
	}
	if env := strings.Join(s.Process.Env, " "); !strings.Contains(env, "NEW=1") || !strings.Contains(env, "HOME=/home/x") || !strings.Contains(env, "HOSTNAME=0123456789ab") {
		t.Error(env)
	}
}

func TestCgroupNamespace(t *testing.T) {
	for name, c := range map[string]struct {
		version   int
		mode      string
		want, not string
	}{
		"default on v2": {2, "", `{"type":"cgroup"}`, ""},
		"default on v1": {1, "", "", `{"type":"cgroup"`},
		"private on v1": {1, "private", `{"type":"cgroup"}`, ""},
		"host":          {2, "host", "", `{"type":"cgroup"`},
		"joined":        {2, "container:x", `{"type":"cgroup","path":"/proc/7/ns/cgroup"}`, ""},
		"nowhere":       {0, "private", "no control groups are mounted", ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			in.Cgroup.Version, in.Config.Cgroup.Namespace, in.CgroupNS = c.version, c.mode, "/proc/7/ns/cgroup"
			s, err := Build(in)
			data, _ := json.Marshal(s)
			text := string(data)
			if err != nil {
				text = err.Error()
			}
			if !strings.Contains(text, c.want) || c.not != "" && strings.Contains(text, c.not) {
				t.Errorf("want %s and not %q in:\n%s", c.want, c.not, text)
			}
		})
	}
}

func TestDeviceRules(t *testing.T) {
	for text, want := range map[string]string{
		"c 42:* rmw": `{"allow":true,"type":"c","major":42,"access":"rmw"}`,
		"b 8:1 r":    `{"allow":true,"type":"b","major":8,"minor":1,"access":"r"}`,
		"a *:* rwm":  `{"allow":true,"type":"a","access":"rwm"}`,
		"c 1:3":      "", "x 1:3 r": "", "c 1 r": "", "c 1:3 x": "", "c 1:3 rwmr": "", "c -1:3 r": "", "c  1:3 r": "", "c +1:3 r": "",
	} {
		rule, err := ParseDeviceRule(text)
		data, _ := json.Marshal(rule)
		if (err == nil) != (want != "") || err == nil && string(data) != want {
			t.Errorf("%q: %s %v", text, data, err)
		}
	}
	in := input()
	in.Config.Security.DeviceRules = []string{"c 1:3 r"}
	if _, err := Build(in); err == nil || !strings.Contains(err.Error(), "--device-cgroup-rule needs root") {
		t.Error("without root:", err)
	}
	in.Host.Rootless = false
	s, err := Build(in)
	if err != nil || len(s.Linux.Resources.Devices) != len(defaultRules(false))+1 {
		t.Error("as root:", err)
	}
}

func FuzzDeviceRule(f *testing.F) {
	f.Add("c 42:* rmw")
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := ParseDeviceRule(text)
		if err == nil && (rule.Access == "" || !strings.Contains("abc", rule.Type) || rule.Type == "") {
			t.Errorf("%q passes: %+v", text, rule)
		}
	})
}
