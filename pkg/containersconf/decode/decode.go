// Package decode reads containers.conf files with the library that defines them. It is for a companion: see package
// containersconf.
package decode

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/containers/common/pkg/config"

	"github.com/wherry-containers/wherry/pkg/containersconf"
)

// Files reads the files one after the other; what a later one sets wins.
func Files(paths []string) (*containersconf.Conf, error) {
	var c config.Config
	var keys []string
	for _, path := range paths {
		meta, err := toml.DecodeFile(path, &c)
		if err != nil {
			return nil, fmt.Errorf("read %s: %s", path, strings.ReplaceAll(err.Error(), "\n", " "))
		}
		for _, key := range meta.Keys() {
			if name := key.String(); len(key) == 2 && !slices.Contains(keys, name) {
				keys = append(keys, name)
			}
		}
	}
	return convert(&c, keys)
}

// reader collects what of the library's form means something to wherry.
type reader struct {
	conf containersconf.Conf
	keys []string // that are set
	used []string
}

// set tells whether key is set, and that it is not ignored.
func (r *reader) set(key string) bool {
	r.used = append(r.used, key)
	return slices.Contains(r.keys, key)
}

// flag makes value, unless it is empty, the default of the flag.
func (r *reader) flag(key, flag, value string) {
	if r.set(key) && value != "" {
		r.conf.Flags = append(r.conf.Flags, containersconf.Flag{Name: flag, Value: value, Key: key})
	}
}

func (r *reader) flags(key, flag string, values []string) {
	for _, value := range values {
		r.flag(key, flag, value)
	}
}

func (r *reader) toggle(key, flag string, value bool) {
	r.flag(key, flag, strconv.FormatBool(value))
}

func convert(c *config.Config, keys []string) (*containersconf.Conf, error) {
	r := &reader{keys: keys}
	r.lists(&c.Containers)
	r.modes(&c.Containers)
	r.process(&c.Containers)
	r.engine(&c.Engine)
	for _, key := range keys {
		if !slices.Contains(r.used, key) {
			r.conf.Ignored = append(r.conf.Ignored, key)
		}
	}
	return &r.conf, nil
}

func (r *reader) lists(c *config.ContainersConfig) {
	r.flags("containers.annotations", "annotation", c.Annotations.Get())
	r.flags("containers.cgroup_conf", "cgroup-conf", c.CgroupConf.Get())
	r.flags("containers.default_sysctls", "sysctl", c.DefaultSysctls.Get())
	r.flags("containers.default_ulimits", "ulimit", c.DefaultUlimits.Get())
	r.flags("containers.devices", "device", c.Devices.Get())
	r.flags("containers.dns_servers", "dns", c.DNSServers.Get())
	r.flags("containers.dns_options", "dns-option", c.DNSOptions.Get())
	r.flags("containers.dns_searches", "dns-search", c.DNSSearches.Get())
	r.flags("containers.mounts", "mount", c.Mounts.Get())
	r.flags("containers.volumes", "volume", c.Volumes.Get())
	if r.set("containers.env") {
		r.conf.Env = c.Env.Get()
	}
	if r.set("containers.default_capabilities") {
		r.conf.Capabilities = c.DefaultCapabilities.Get()
	}
}

func (r *reader) modes(c *config.ContainersConfig) {
	r.flag("containers.cgroupns", "cgroupns", c.CgroupNS)
	r.flag("containers.cgroups", "cgroups", c.Cgroups)
	r.flag("containers.ipcns", "ipc", c.IPCNS)
	r.flag("containers.netns", "network", c.NetNS)
	r.flag("containers.pidns", "pid", c.PidNS)
	r.flag("containers.utsns", "uts", c.UTSNS)
	userns := c.UserNS
	if r.set("containers.userns_size") && userns == "auto" && c.UserNSSize > 0 {
		userns += ":size=" + strconv.Itoa(c.UserNSSize)
	}
	r.flag("containers.userns", "userns", userns)
	if r.set("containers.seccomp_profile") {
		r.conf.Seccomp = c.SeccompProfile
	}
	if r.set("containers.apparmor_profile") {
		r.conf.AppArmor = c.ApparmorProfile
	}
	if r.set("containers.label") && !c.EnableLabeling {
		r.conf.Flags = append(r.conf.Flags, containersconf.Flag{Name: "security-opt", Value: "label=disable", Key: "containers.label"})
	}
}

func (r *reader) process(c *config.ContainersConfig) {
	r.toggle("containers.env_host", "env-host", c.EnvHost)
	r.toggle("containers.http_proxy", "http-proxy", c.HTTPProxy)
	r.toggle("containers.init", "init", c.Init)
	r.flag("containers.log_driver", "log-driver", c.LogDriver)
	if r.set("containers.log_size_max") && c.LogSizeMax > 0 {
		r.flag("containers.log_size_max", "log-opt", "max-size="+strconv.FormatInt(c.LogSizeMax, 10))
	}
	if c.LogTag != "" {
		r.flag("containers.log_tag", "log-opt", "tag="+c.LogTag)
	}
	r.toggle("containers.no_hosts", "no-hosts", c.NoHosts)
	if c.OOMScoreAdj != nil {
		r.flag("containers.oom_score_adj", "oom-score-adj", strconv.Itoa(*c.OOMScoreAdj))
	}
	pids := c.PidsLimit
	if pids == 0 { // as the manual has it: no limit
		pids = -1
	}
	r.flag("containers.pids_limit", "pids-limit", strconv.FormatInt(pids, 10))
	r.toggle("containers.privileged", "privileged", c.Privileged)
	r.toggle("containers.read_only", "read-only", c.ReadOnly)
	r.flag("containers.shm_size", "shm-size", c.ShmSize)
	r.flag("containers.tz", "tz", c.TZ)
	r.flag("containers.umask", "umask", c.Umask)
	r.conf.NameAsHost = r.set("containers.container_name_as_hostname") && c.ContainerNameAsHostName
	if r.set("containers.init_path") {
		r.conf.InitPath = c.InitPath //lint:ignore SA1019 what is in the file is asked for, not what is found
	}
}

func (r *reader) engine(c *config.EngineConfig) {
	if r.set("engine.init_path") && r.conf.InitPath == "" {
		r.conf.InitPath = c.InitPath //lint:ignore SA1019 what is in the file is asked for, not what is found
	}
	r.flag("engine.detach_keys", "detach-keys", c.DetachKeys)
	r.flag("engine.image_volume_mode", "image-volume", c.ImageVolumeMode)
	r.flag("engine.pull_policy", "pull", c.PullPolicy)
	r.flag("engine.retry", "retry", strconv.FormatUint(uint64(c.Retry), 10))
	r.flag("engine.retry_delay", "retry-delay", c.RetryDelay)
	r.flag("engine.stop_timeout", "stop-timeout", strconv.FormatUint(uint64(c.StopTimeout), 10))
	if r.set("engine.runtime") {
		r.conf.Runtime = c.OCIRuntime
	}
	if r.set("engine.runtimes") {
		r.conf.Runtimes = c.OCIRuntimes
	}
	if r.set("engine.hooks_dir") {
		r.conf.HooksDirs = c.HooksDir.Get()
	}
	if r.set("engine.cgroup_manager") {
		r.conf.CgroupMgr = c.CgroupManager
	}
	if r.set("engine.events_logger") {
		r.conf.EventsLogger = c.EventsLogger
	}
	r.set("engine.image_default_transport")
	if t := c.ImageDefaultTransport; t != "" && t != "docker://" {
		r.conf.Ignored = append(r.conf.Ignored, "engine.image_default_transport (only docker:// is there)")
	}
	for _, key := range []string{"engine.runtime_supports_json", "engine.runtime_supports_kvm", "engine.runtime_supports_nocgroup", "engine.runtime_supports_nocgroups"} {
		r.set(key) // wherry finds out by itself
	}
}
