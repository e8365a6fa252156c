package spec

import (
	"encoding/json"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/caps"
	"github.com/wherry-containers/wherry/pkg/cgroup"
)

func input() Input {
	return Input{Config: &record.Config{ID: "0123456789abcdef", Name: "web", Process: record.Process{Command: []string{"true"}},
		Network: record.Network{Mode: "none"}}, Root: "/r",
		Host:   Host{Rootless: true, Caps: ^caps.Set(0), RealUID: 1000, RealGID: 1000, UIDs: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65536}}},
		Cgroup: cgroup.Facts{Version: 2, Manager: cgroup.Cgroupfs, Base: "/u"}}
}

func TestBuild(t *testing.T) {
	pids := int64(9)
	for name, c := range map[string]struct {
		change    func(*Input)
		want, not string // substrings of the JSON, or of the error
	}{
		"defaults":     {func(*Input) {}, `"cgroupsPath":"/u/wherry-0123456789abcdef"`, `"terminal"`},
		"terminal":     {func(in *Input) { in.Config.Process.Terminal = true }, `"TERM=xterm"`, ""},
		"init":         {func(in *Input) { in.Config.Process.Init = true; in.InitPath = "/i" }, `"args":["/dev/init","--","true"]`, ""},
		"no init":      {func(in *Input) { in.Config.Process.Init = true }, "no init binary", ""},
		"keep-id":      {func(in *Input) { in.Config.Security.UserNS = "keep-id" }, `{"containerID":1000,"hostID":0,"size":1}`, ""},
		"host network": {func(in *Input) { in.Config.Network.Mode = "host" }, `"type":"bind","source":"/sys"`, `"type":"network"`},
		"one gid":      {func(in *Input) { in.Host.GIDs = []specs.LinuxIDMapping{{Size: 1}} }, `"/dev/pts"`, "gid=5"},
		"no memory":    {func(in *Input) { in.Config.Resources.Memory = 1 }, `--memory needs the cgroup controller "memory"`, ""},
		"pids":         {func(in *Input) { in.Config.Resources.Pids = &pids; in.Cgroup.Controllers = []string{"pids"} }, `"pids":{"limit":9}`, ""},
		"ulimit": {func(in *Input) {
			in.Config.Resources.Ulimits = []record.Ulimit{{Name: "nofile", Soft: 9, Hard: 99}}
			in.Host.Rlimits = map[string]Rlimit{"nofile": {Soft: 5, Hard: 50}}
		}, "ulimit nofile: 99 is above the hard limit 50", ""},
		"unmask":          {func(in *Input) { in.Config.Security.Unmask = []string{"/proc/*"} }, `"/sys/firmware"`, `"/proc/kcore"`},
		"placeholder":     {func(in *Input) { in.Seccomp.BPF = "x" }, `"seccomp":{"defaultAction":"SCMP_ACT_ERRNO"}`, ""},
		"user too large":  {func(in *Input) { in.User.UID = 70000 }, "user id 70000 is not in this user namespace", ""},
		"group too large": {func(in *Input) { in.User.Groups = []uint32{5, 70000}; in.Host.GIDs = in.Host.UIDs }, "group id 70000 is not in", ""},
		"user":            {func(in *Input) { in.User.UID = 5 }, `"uid":5`, `"effective"`},
		"pid host":        {func(in *Input) { in.Config.Namespaces.PID = "host" }, `{"destination":"/proc","type":"bind","source":"/proc"`, `"type":"pid"`},
		"joined pid":      {func(in *Input) { in.Config.Namespaces.PID = "ns:/x"; in.Joined.PID = "/n" }, `{"type":"pid","path":"/n"}`, ""},
		"ipc none":        {func(in *Input) { in.Config.Namespaces.IPC = "none" }, `"type":"ipc"`, "/dev/shm"},
		"ipc host":        {func(in *Input) { in.Config.Namespaces.IPC = "host"; in.Joined.Shm = "/dev/shm" }, `{"destination":"/dev/shm","type":"bind","source":"/dev/shm"`, "mqueue"},
		"uts host":        {func(in *Input) { in.Config.Namespaces.UTS = "host"; in.Host.Hostname = "box" }, `"HOSTNAME=box"`, `"hostname"`},
		"joined user":     {func(in *Input) { in.Joined = Joined{User: "/n", UIDs: in.Host.UIDs, GIDs: in.Host.UIDs} }, `{"type":"user","path":"/n"}`, `"uidMappings"`},
		"settled ids": {func(in *Input) {
			in.Config.Namespaces.UIDMap = []specs.LinuxIDMapping{{HostID: 5, Size: 9}}
			in.Config.Namespaces.GIDMap = in.Config.Namespaces.UIDMap
		}, `"uidMappings":[{"containerID":0,"hostID":5,"size":9}]`, "gid=5,"},
		"sysctl": {func(in *Input) {
			in.Config.Namespaces.Sysctls = map[string]string{"net.x": "1", "kernel.domainname": "d"}
		}, `"domainname":"d"`, `"kernel.domainname"`},
		"sysctl of host": {func(in *Input) {
			in.Config.Namespaces.Sysctls = map[string]string{"kernel.sem": "1"}
			in.Config.Namespaces.IPC = "host"
		}, "--sysctl kernel.sem does not go with --ipc host", ""},
		"systemd":   {func(in *Input) { in.Config.Process.Systemd = true }, `"container=oci"`, ""},
		"time zone": {func(in *Input) { in.Files.Localtime = "/z" }, `{"destination":"/etc/localtime","type":"bind","source":"/z"`, ""},
		"label":     {func(in *Input) { in.Config.Security.Label = []string{"type:x"} }, "does not run SELinux", ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			c.change(&in)
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
