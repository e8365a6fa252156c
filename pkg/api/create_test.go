package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
)

// optionsOf are what a body of create asks the engine for.
func optionsOf(s *Server, query, text string) (libpod.CreateOptions, error) {
	var body createBody
	if err := decodeJSON(strings.NewReader(text), &body); err != nil {
		return libpod.CreateOptions{}, err
	}
	if body.Config == nil {
		body.Config = &container.Config{}
	}
	if body.HostConfig == nil {
		body.HostConfig = &container.HostConfig{}
	}
	r := &request{Request: httptest.NewRequest(http.MethodPost, "/containers/create?"+query, nil), version: maxVersion}
	return s.createOptions(r, &body)
}

func ptr[T any](v T) *T { return &v }

func TestCreateOptions(t *testing.T) {
	t.Parallel()
	s := testServer(t)
	for name, c := range map[string]struct {
		body string
		look func(o *libpod.CreateOptions) any
		want any
	}{
		"command":    {`"Cmd":["a","b"]`, func(o *libpod.CreateOptions) any { return o.Command }, []string{"a", "b"}},
		"entrypoint": {`"Entrypoint":["/e"]`, func(o *libpod.CreateOptions) any { return o.Entrypoint }, []string{"/e"}},
		"no entry":   {`"Entrypoint":[""]`, func(o *libpod.CreateOptions) any { return o.Entrypoint }, []string{}},
		"env":        {`"Env":["A=1","B"]`, func(o *libpod.CreateOptions) any { return [][]string{o.Env, o.EnvWish.Unset} }, [][]string{{"A=1"}, {"B"}}},
		"user":       {`"User":"1:2","WorkingDir":"/w"`, func(o *libpod.CreateOptions) any { return o.User + o.WorkDir }, "1:2/w"},
		"terminal": {`"Tty":true,"OpenStdin":true,"StdinOnce":true,"HostConfig":{"ConsoleSize":[24,80]}`, func(o *libpod.CreateOptions) any { return o.Config.Process },
			record.Process{Terminal: true, OpenStdin: true, StdinOnce: true, Rows: 24, Columns: 80}},
		"init":        {`"HostConfig":{"Init":true}`, func(o *libpod.CreateOptions) any { return o.Config.Process.Init }, true},
		"umask":       {`"HostConfig":{"Umask":18}`, func(o *libpod.CreateOptions) any { return o.Config.Process.Umask }, "0022"},
		"restart":     {`"HostConfig":{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3}}`, func(o *libpod.CreateOptions) any { return o.Config.Lifecycle.Restart }, "on-failure"},
		"retries":     {`"HostConfig":{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3}}`, func(o *libpod.CreateOptions) any { return o.Config.Lifecycle.MaxRetries }, 3},
		"stop":        {`"StopSignal":"SIGINT","StopTimeout":7`, func(o *libpod.CreateOptions) any { return *o.Config.Lifecycle.StopTimeout }, 7},
		"health":      {`"Healthcheck":{"Test":["CMD","x"],"Interval":1000000000,"Retries":2}`, func(o *libpod.CreateOptions) any { return *o.Config.Health }, record.Health{Test: []string{"CMD", "x"}, Interval: time.Second, Retries: 2}},
		"health none": {`"Healthcheck":{"Test":["NONE"]}`, func(o *libpod.CreateOptions) any { return o.NoHealth }, true},
		"health {}":   {`"Healthcheck":{}`, func(o *libpod.CreateOptions) any { return o.HealthSet || o.NoHealth }, false},
		"log":         {`"HostConfig":{"LogConfig":{"Type":"json-file","Config":{"max-size":"1m"}}}`, func(o *libpod.CreateOptions) any { return o.Config.Log }, record.Log{Driver: "json-file", Opts: map[string]string{"max-size": "1m"}}},
		"log default": {``, func(o *libpod.CreateOptions) any { return o.Config.Log.Driver }, "json-file"},
		"caps": {`"HostConfig":{"CapAdd":["net_admin"],"CapDrop":["ALL"]}`, func(o *libpod.CreateOptions) any {
			return append(o.Config.Security.CapAdd, o.Config.Security.CapDrop...)
		}, []string{"CAP_NET_ADMIN", "ALL"}},
		"seccomp":    {`"HostConfig":{"SecurityOpt":["seccomp={\"a\":1}","no-new-privileges:true"]}`, func(o *libpod.CreateOptions) any { return o.Config.Security.Seccomp }, `{"a":1}`},
		"paths off":  {`"HostConfig":{"MaskedPaths":[],"ReadonlyPaths":[]}`, func(o *libpod.CreateOptions) any { return len(o.Config.Security.Unmask) > 10 }, true},
		"namespaces": {`"HostConfig":{"PidMode":"host","IpcMode":"shareable","UTSMode":""}`, func(o *libpod.CreateOptions) any { return o.Config.Namespaces }, record.Namespaces{PID: "host", IPC: "shareable"}},
		"sysctls":    {`"Domainname":"d","HostConfig":{"Sysctls":{"net/core/somaxconn":"1"}}`, func(o *libpod.CreateOptions) any { return o.Config.Namespaces.Sysctls }, map[string]string{"net.core.somaxconn": "1", "kernel.domainname": "d"}},
		"memory":     {`"HostConfig":{"Memory":67108864,"MemorySwap":-1,"PidsLimit":0,"MemorySwappiness":-1}`, func(o *libpod.CreateOptions) any { return o.Config.Resources }, record.Resources{Memory: 64 << 20, MemorySwap: -1}},
		"pids":       {`"HostConfig":{"PidsLimit":-5}`, func(o *libpod.CreateOptions) any { return o.Config.Resources.Pids }, ptr(int64(-1))},
		"ulimit":     {`"HostConfig":{"Ulimits":[{"Name":"nofile","Soft":1,"Hard":2}]}`, func(o *libpod.CreateOptions) any { return o.Config.Resources.Ulimits }, []record.Ulimit{{Name: "nofile", Soft: 1, Hard: 2}}},
		"device":     {`"HostConfig":{"Devices":[{"PathOnHost":"/dev/null","PathInContainer":"/dev/x","CgroupPermissions":"r"}]}`, func(o *libpod.CreateOptions) any { return o.Config.Security.Devices }, []record.Device{{Source: "/dev/null", Target: "/dev/x", Access: "r"}}},
		"gpus":       {`"HostConfig":{"DeviceRequests":[{"Count":-1,"Capabilities":[["gpu"]]}]}`, func(o *libpod.CreateOptions) any { return o.Config.Security.CDI }, []string{"nvidia.com/gpu=all"}},
		"bind":       {`"HostConfig":{"Binds":["/h:/c:ro"]}`, func(o *libpod.CreateOptions) any { return o.Config.Mounts }, []record.Mount{{Type: "bind", Source: "/h", Target: "/c", ReadOnly: true, MakeSource: true}}},
		"volumes":    {`"Volumes":{"/v":{}},"HostConfig":{"Binds":["n:/n"]}`, func(o *libpod.CreateOptions) any { return o.Config.Mounts }, []record.Mount{{Type: "volume", Source: "n", Target: "/n"}, {Type: "volume", Target: "/v", Anonymous: true}}},
		"mount": {`"HostConfig":{"Mounts":[{"Type":"volume","Source":"v","Target":"/v","VolumeOptions":{"NoCopy":true,"Subpath":"s"}}]}`, func(o *libpod.CreateOptions) any { return o.Config.Mounts },
			[]record.Mount{{Type: "volume", Source: "v", Target: "/v", NoCopy: true, SubPath: "s"}}},
		"tmpfs":           {`"HostConfig":{"Tmpfs":{"/t":"size=1m"}}`, func(o *libpod.CreateOptions) any { return o.Config.Mounts }, []record.Mount{{Type: "tmpfs", Target: "/t", Options: []string{"size=1m"}}}},
		"tmpfs 2":         {`"HostConfig":{"Mounts":[{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":4096,"Mode":448}}]}`, func(o *libpod.CreateOptions) any { return o.Config.Mounts }, []record.Mount{{Type: "tmpfs", Target: "/t", Options: []string{"size=4096", "mode=700"}}}},
		"default network": {``, func(o *libpod.CreateOptions) any { return o.Config.Network.Ends }, []record.NetworkEnd{{Network: "bridge"}}},
		"host network":    {`"HostConfig":{"NetworkMode":"host"},"NetworkingConfig":{"EndpointsConfig":{"host":{}}}`, func(o *libpod.CreateOptions) any { return o.Config.Network.Mode }, "host"},
		"ports": {`"ExposedPorts":{"80/tcp":{}},"HostConfig":{"PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}],"53/udp":[{"HostPort":""}]}}`,
			func(o *libpod.CreateOptions) any { return o.Config.Network.Ports }, []record.Port{{ContainerPort: 53, Protocol: "udp"}, {HostIP: "127.0.0.1", HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}}},
		"networks": {`"HostConfig":{"NetworkMode":"b"},"NetworkingConfig":{"EndpointsConfig":{"a":{"GwPriority":1},"b":{"Aliases":["x","x"],"IPAMConfig":{"IPv4Address":"10.1.1.1"}},"c":{}}}`,
			func(o *libpod.CreateOptions) any { return o.Config.Network.Ends }, []record.NetworkEnd{{Network: "a"}, {Network: "b", IPs: []string{"10.1.1.1"}, Aliases: []string{"x"}}, {Network: "c"}}},
		"old mac":    {`"MacAddress":"02:00:00:00:00:01"`, func(o *libpod.CreateOptions) any { return o.Config.Network.Ends }, []record.NetworkEnd{{Network: "bridge", MAC: "02:00:00:00:00:01"}}},
		"hosts":      {`"HostConfig":{"ExtraHosts":["a:1.2.3.4"],"Dns":["9.9.9.9"]}`, func(o *libpod.CreateOptions) any { return append(o.Config.Network.Hosts, o.Config.Network.DNS...) }, []string{"a:1.2.3.4", "9.9.9.9"}},
		"cidfile":    {`"HostConfig":{"ContainerIDFile":"/tmp/x"}`, func(o *libpod.CreateOptions) any { return o.Config.Lifecycle.CIDFile }, ""},
		"containerd": {`"HostConfig":{"Runtime":"io.containerd.runc.v2"}`, func(o *libpod.CreateOptions) any { return o.Config.Runtime }, ""},
	} {
		body := `{"Image":"i"`
		if c.body != "" {
			body += "," + c.body
		}
		opts, err := optionsOf(s, "name=n", body+"}")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := c.look(&opts); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestCreateRefuses: what wherry does not have, or what makes no sense, is an error that names it.
func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	s := testServer(t)
	for body, want := range map[string]string{
		`"WorkingDir":"rel"`:    "the working directory 'rel' is invalid, it needs to be an absolute path",
		`"Env":["=x"]`:          "invalid environment variable: =x",
		`"Hostname":"a b"`:      "invalid Hostname",
		`"StopSignal":"NOSUCH"`: "invalid signal: NOSUCH",
		`"Healthcheck":{"Test":["CMD","x"],"Interval":5}`:                                                           "Interval in Healthcheck cannot be less than 1ms",
		`"Healthcheck":{"Test":["RUN","x"]}`:                                                                        "invalid Healthcheck",
		`"HostConfig":{"AutoRemove":true,"RestartPolicy":{"Name":"always"}}`:                                        "can't create 'AutoRemove' container with restart policy",
		`"HostConfig":{"RestartPolicy":{"Name":"sometimes"}}`:                                                       "invalid restart policy",
		`"HostConfig":{"LogConfig":{"Type":"nosuch"}}`:                                                              "log driver \"nosuch\"",
		`"HostConfig":{"LogConfig":{"Type":"passthrough"}}`:                                                         "LogConfig.Type passthrough is not supported",
		`"HostConfig":{"CapAdd":["NOSUCH"]}`:                                                                        "invalid capability",
		`"HostConfig":{"SecurityOpt":["nosuch=1"]}`:                                                                 "invalid SecurityOpt nosuch=1",
		`"HostConfig":{"SecurityOpt":["seccomp=/etc/passwd"]}`:                                                      "invalid SecurityOpt seccomp=/etc/passwd: seccomp needs the profile itself",
		`"HostConfig":{"ReadonlyPaths":["/x"]}`:                                                                     "ReadonlyPaths /x is not supported",
		`"HostConfig":{"PidMode":"nosuch"}`:                                                                         "invalid PidMode",
		`"HostConfig":{"UsernsMode":"nosuch"}`:                                                                      "invalid UsernsMode",
		`"Hostname":"a","HostConfig":{"UTSMode":"host"}`:                                                            "conflicting options: hostname and the UTS mode",
		`"HostConfig":{"CgroupnsMode":"nosuch"}`:                                                                    "invalid cgroup namespace mode",
		`"HostConfig":{"Cgroup":"container:x"}`:                                                                     "HostConfig.Cgroup is not supported",
		`"HostConfig":{"Memory":-1}`:                                                                                "Memory cannot be negative",
		`"HostConfig":{"Memory":1000}`:                                                                              "Minimum memory limit allowed is 6MB",
		`"HostConfig":{"CpusetCpus":"x"}`:                                                                           "invalid cpuset",
		`"HostConfig":{"Ulimits":[{"Name":"nosuch","Soft":1,"Hard":1}]}`:                                            "invalid Ulimits: nosuch",
		`"HostConfig":{"BlkioWeight":5}`:                                                                            "range of blkio weight",
		`"HostConfig":{"MemorySwappiness":101}`:                                                                     "Invalid value: 101",
		`"HostConfig":{"ShmSize":-1}`:                                                                               "SHM size can not be less than 0",
		`"HostConfig":{"DeviceCgroupRules":["x"]}`:                                                                  "invalid device cgroup rule format",
		`"HostConfig":{"DeviceRequests":[{"Driver":"tpu"}]}`:                                                        "could not select device driver \"tpu\"",
		`"HostConfig":{"DeviceRequests":[{"Driver":"cdi","DeviceIDs":["x"]}]}`:                                      "invalid DeviceRequests",
		`"HostConfig":{"Binds":["../x:/y"]}`:                                                                        "invalid volume specification: '../x:/y'",
		`"HostConfig":{"Binds":["/x:y"]}`:                                                                           "invalid volume specification",
		`"HostConfig":{"Binds":["/a:/c","/b:/c"]}`:                                                                  "Duplicate mount point: /c",
		`"HostConfig":{"Mounts":[{"Type":"bind","Source":"x","Target":"/y"}]}`:                                      "invalid mount config for type \"bind\": invalid mount path: 'x'",
		`"HostConfig":{"Mounts":[{"Type":"npipe","Source":"x","Target":"/y"}]}`:                                     "invalid mount config for type \"npipe\"",
		`"HostConfig":{"Mounts":[{"Type":"tmpfs","Target":"/y","BindOptions":{}}]}`:                                 "invalid mount config for type \"tmpfs\": field BindOptions must not be specified",
		`"HostConfig":{"Mounts":[{"Type":"volume","Source":"v","Target":"/y","VolumeOptions":{"Subpath":"../x"}}]}`: "invalid mount config",
		`"HostConfig":{"VolumeDriver":"nfs"}`:                                                                       "HostConfig.VolumeDriver nfs is not supported",
		`"HostConfig":{"StorageOpt":{"size":"1g"}}`:                                                                 "HostConfig.StorageOpt is not supported",
		`"HostConfig":{"Isolation":"hyperv"}`:                                                                       "invalid isolation 'hyperv' on linux",
		`"HostConfig":{"CpuCount":1}`:                                                                               "CpuCount is not supported",
		`"HostConfig":{"PortBindings":{"80/sctp":[{"HostPort":"1"}]}}`:                                              "invalid port specification",
		`"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"99999"}]}}`:                                           "invalid port specification",
		`"HostConfig":{"ExtraHosts":["x"]}`:                                                                         "invalid ExtraHosts",
		`"HostConfig":{"NetworkMode":"none"},"NetworkingConfig":{"EndpointsConfig":{"a":{"IPAMConfig":{"IPv4Address":"1.2.3.4"}}}}`: "conflicting options",
		`"NetworkingConfig":{"EndpointsConfig":{"bridge":{"Aliases":["x"]}}}`:                                                       "network-scoped alias is supported only",
		`"NetworkingConfig":{"EndpointsConfig":{"bridge":{"DriverOpts":{"x":"y"}}}}`:                                                "DriverOpts x is not supported",
		`"NetworkingConfig":{"EndpointsConfig":{"bridge":{"MacAddress":"01:00:00:00:00:01"}}}`:                                      "invalid MacAddress",
	} {
		_, err := optionsOf(s, "name=n", `{"Image":"i",`+body+`}`)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", body, err, want)
		} else if status := statusOf(err); status != 400 && status != 500 {
			t.Errorf("%s: status %d", body, status)
		}
	}
	if _, err := optionsOf(s, "name=-x", `{"Image":"i"}`); err == nil || !strings.HasPrefix(err.Error(), "Invalid container name (-x)") {
		t.Error(err)
	}
}

// FuzzCreate: whatever a body says, the answer is options or an error of one line.
func FuzzCreate(f *testing.F) {
	for _, seed := range []string{
		`{"Image":"i","Cmd":["a"],"HostConfig":{"Binds":["/a:/b:ro"],"PortBindings":{"80/tcp":[{"HostPort":"8080-8090"}]}}}`,
		`{"Image":"i","HostConfig":{"Mounts":[{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"Options":[["uid","1"],["x"]]}}],"NetworkMode":"container:x"}}`,
		`{"Image":"i","NetworkingConfig":{"EndpointsConfig":{"a":null,"b":{"Links":["x:y"]}}},"HostConfig":{"NetworkMode":"b","DeviceRequests":[{"Count":-1}]}}`,
		`{"Image":"i","HostConfig":{"BlkioWeightDevice":[null],"Ulimits":[null],"BlkioDeviceReadBps":[null]}}`,
	} {
		f.Add(seed)
	}
	s := testServer(f)
	f.Fuzz(func(t *testing.T, text string) {
		opts, err := optionsOf(s, "name=n", text)
		if err != nil && strings.Contains(strings.TrimSpace(err.Error()), "\n") && !strings.Contains(text, `\n`) {
			t.Errorf("more than one line: %q", err)
		}
		if err == nil {
			if _, err := json.Marshal(opts.Config); err != nil {
				t.Error(err)
			}
		}
	})
}
