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
		"label":           {func(in *Input) { in.Config.Security.Label = []string{"type:x"} }, "does not run SELinux", ""},
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
