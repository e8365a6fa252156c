package libpod

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
)

// Inspect returns everything that is known of a container, in Docker's form. It takes no lock.
func (e *Engine) Inspect(ctx context.Context, ref string) (*Inspect, error) {
	id, err := e.resolve(ref)
	if err != nil {
		return nil, err
	}
	c, err := e.look(id)
	if err != nil {
		return nil, err
	}
	doc := &Inspect{
		ID: c.ID, Created: c.Created, State: e.inspectState(c), Image: "sha256:" + c.Image.ID, ImageName: c.Image.Name,
		Name: "/" + c.name(), RestartCount: c.state.RestartCount, Driver: "overlay", Platform: "linux", ExecIDs: []string{},
		HostConfig: inspectHost(c), Mounts: e.inspectMounts(c), Config: inspectConfig(c), NetworkSettings: e.inspectNetwork(c),
	}
	if args := c.Process.Args(); len(args) > 0 {
		doc.Path, doc.Args = args[0], args[1:]
	}
	if c.live != nil {
		run := e.dirs.ContainerRun(id)
		doc.ResolvConfPath, doc.HostnamePath, doc.HostsPath = filepath.Join(run, resolvFile), filepath.Join(run, hostnameFile), filepath.Join(run, hostsFile)
	}
	doc.LogPath = e.logPath(c)
	doc.GraphDriver = e.inspectLayers(ctx, c)
	return doc, nil
}

// InspectSize adds the sizes that `inspect --size` shows.
func (e *Engine) InspectSize(ctx context.Context, doc *Inspect) {
	row := []Summary{{ID: doc.ID, ImageID: strings.TrimPrefix(doc.Image, "sha256:")}}
	e.addSizes(ctx, row)
	doc.SizeRw, doc.SizeRootFs = &row[0].SizeRw, &row[0].SizeRootFs
}

func (e *Engine) inspectState(c *container) InspectState {
	status := c.status()
	s := InspectState{
		Running: status == record.Running, Restarting: status == record.Restarting, OOMKilled: c.state.OOMKilled, ExitCode: c.exitCode(),
		Error: c.state.Error, StartedAt: c.state.StartedAt, FinishedAt: c.state.FinishedAt, StoppedByUser: c.state.UserStopped,
	}
	if status == record.Initialized {
		s.Pid, s.ConmonPid = c.live.Pid, c.live.Monitor
	}
	if s.Running && c.live != nil {
		s.Pid, s.ConmonPid, s.StartedAt = c.live.Pid, c.live.Monitor, c.live.StartedAt
		if len(c.live.Cgroups) > 0 {
			s.CgroupPath = strings.TrimPrefix(c.live.Cgroups[0], "/sys/fs/cgroup")
		}
		if s.Paused = c.frozen(); s.Paused {
			status = record.Paused
		}
	}
	s.Status = string(status)
	if c.Health != nil {
		s.Health = e.inspectHealth(c)
	}
	return s
}

func (e *Engine) inspectHealth(c *container) *InspectHealth {
	h, there := e.readHealth(c.ID)
	if !there && !c.alive() && c.state.Status != record.Created {
		h.Status = "unhealthy"
	}
	doc := &InspectHealth{Status: h.Status, FailingStreak: h.FailingStreak, Log: []InspectHealthLog{}}
	for _, r := range h.Log {
		doc.Log = append(doc.Log, InspectHealthLog(r))
	}
	return doc
}

func inspectHost(c *container) InspectHostConfig {
	h := InspectHostConfig{
		Binds: binds(c), ContainerIDFile: c.Lifecycle.CIDFile, LogConfig: InspectLogConfig{Type: firstOf(c.Log.Driver, "json-file"), Config: c.Log.Opts},
		NetworkMode: c.networkMode(), PortBindings: c.portBindings(),
		RestartPolicy: InspectRestartPolicy{Name: firstOf(c.Lifecycle.Restart, "no"), MaximumRetryCount: c.Lifecycle.MaxRetries},
		AutoRemove:    c.Lifecycle.AutoRemove, CapAdd: c.Security.CapAdd, CapDrop: c.Security.CapDrop,
		Dns: orEmpty(c.Network.DNS), DnsOptions: orEmpty(c.Network.DNSOpts), DnsSearch: orEmpty(c.Network.Search), ExtraHosts: c.Network.Hosts,
		GroupAdd: c.Process.Groups, Privileged: c.Security.Privileged, ReadonlyRootfs: c.Rootfs.ReadOnly,
		SecurityOpt: securityOpts(c), InspectNamespaces: inspectNamespaces(c), ShmSize: c.Rootfs.ShmSize, Runtime: c.Runtime, Init: c.Process.Init, InspectRest: inspectRest(c),
		Resources: inspectLimits(&c.Resources), InspectGroup: inspectGroup(c),
	}
	if h.ShmSize == 0 {
		h.ShmSize = 64 << 20
	}
	if h.LogConfig.Config == nil {
		h.LogConfig.Config = map[string]string{}
	}
	return h
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func binds(c *container) []string {
	list := []string{}
	for _, m := range c.Mounts {
		if m.Type != "bind" && m.Type != "volume" || m.Anonymous || !sayable(&m) {
			continue
		}
		options := optionWords(&m)
		bind := m.Source + ":" + m.Target
		if len(options) > 0 {
			bind += ":" + strings.Join(options, ",")
		}
		list = append(list, bind)
	}
	return list
}

func securityOpts(c *container) []string {
	var opts []string
	s := c.Security
	if s.NoNewPrivileges {
		opts = append(opts, "no-new-privileges")
	}
	if s.Seccomp != "" {
		opts = append(opts, "seccomp="+s.Seccomp)
	}
	if s.AppArmor != "" {
		opts = append(opts, "apparmor="+s.AppArmor)
	}
	for _, path := range s.Mask {
		opts = append(opts, "mask="+path)
	}
	for _, path := range s.Unmask {
		opts = append(opts, "unmask="+path)
	}
	return opts
}

func (e *Engine) inspectMounts(c *container) []InspectMount {
	list := []InspectMount{}
	for _, m := range c.Mounts {
		doc := InspectMount{Type: m.Type, Source: m.Source, Destination: m.Target, RW: !m.ReadOnly, Options: orEmpty(m.Options), Propagation: m.Propagation}
		switch m.Type {
		case "volume":
			doc.Propagation = firstOf(m.Propagation, "rprivate")
			doc.Name, doc.Driver, doc.Source = m.Source, "local", filepath.Join(e.volumes.Path(m.Source), volumeData)
		case "bind":
			doc.Propagation = firstOf(m.Propagation, "rprivate")
		}
		doc.Mode = strings.Join(optionWords(&m), ",")
		list = append(list, doc)
	}
	return list
}

func inspectConfig(c *container) InspectConfig {
	p := c.Process
	doc := InspectConfig{
		Hostname: c.Hostname, User: p.User, AttachStdin: p.OpenStdin && !c.Lifecycle.Detached, AttachStdout: !c.Lifecycle.Detached,
		AttachStderr: !c.Lifecycle.Detached, Tty: p.Terminal, OpenStdin: p.OpenStdin, StdinOnce: p.StdinOnce, Env: p.Env, Cmd: p.Command,
		ExposedPorts: exposedPorts(c), Domainname: c.Namespaces.Sysctls["kernel.domainname"],
		Image: c.Image.Name, WorkingDir: p.WorkDir, Entrypoint: p.Entrypoint, Labels: c.Labels, Annotations: c.Notes,
		StopSignal: firstOf(c.Lifecycle.StopSignal, "SIGTERM"), StopTimeout: c.Lifecycle.StopTimeout, Volumes: map[string]struct{}{},
	}
	if doc.Labels == nil {
		doc.Labels = map[string]string{}
	}
	for _, m := range c.Mounts {
		if m.Type == "volume" && m.Anonymous {
			doc.Volumes[m.Target] = struct{}{}
		}
	}
	if h := c.Health; h != nil {
		doc.Healthcheck = &InspectHealthcheck{Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod,
			StartInterval: h.StartInterval, Retries: h.Retries}
	}
	return doc
}

func (e *Engine) inspectLayers(ctx context.Context, c *container) InspectGraphDriver {
	dir := e.dirs.Container(c.ID)
	doc := InspectGraphDriver{Name: "overlay", Data: map[string]string{
		"UpperDir": filepath.Join(dir, record.UpperDir), "WorkDir": filepath.Join(dir, record.WorkDir)}}
	if img, err := e.images.Lookup(ctx, c.Image.ID); err == nil {
		doc.Data["LowerDir"] = strings.Join(img.Lower, ":")
	}
	if c.alive() {
		doc.Data["MergedDir"] = "/proc/" + strconv.Itoa(c.live.Pid) + "/root"
	}
	return doc
}
