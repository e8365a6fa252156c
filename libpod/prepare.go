package libpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/caps"
	"github.com/wherry-containers/wherry/pkg/hostfacts"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
	"github.com/wherry-containers/wherry/pkg/passwd"
	"github.com/wherry-containers/wherry/pkg/recorddir"
	"github.com/wherry-containers/wherry/pkg/rootfs"
	"github.com/wherry-containers/wherry/pkg/safepath"
	"github.com/wherry-containers/wherry/pkg/seccomp"
	"github.com/wherry-containers/wherry/pkg/store"
)

// runtimeCopy is ociruntime's Memfd.
type runtimeCopy struct {
	file *os.File
	err  error
}

func (s *startup) copyRuntime() {
	s.copied = make(chan runtimeCopy, 1)
	go func() {
		file, err := s.runtime.Memfd()
		s.copied <- runtimeCopy{file, err}
	}()
}

// spawn starts the monitor on this thread, so that it shares the thread's namespaces.
func (s *startup) spawn(ctx context.Context, lock *recorddir.Lock) error {
	runtime := <-s.copied
	if runtime.err != nil {
		return runtime.err
	}
	if runtime.file != nil {
		defer runtime.file.Close()
	}
	opts := monitor.SpawnOptions{Path: s.e.dirs.Monitor(), Runtime: runtime.file, Client: s.server, Lock: lock.File(),
		Passthrough: s.c.Log.Driver == "passthrough", Keep: s.c.keep}
	feed, err := s.configPipe(&opts)
	if err != nil {
		return err
	}
	if s.monitor = s.ahead; s.ahead != nil {
		err = s.ahead.Hand(opts)
	} else {
		if opts.Group = s.facts.Monitors(); opts.Group != nil {
			defer opts.Group.Close()
		}
		s.monitor, err = monitor.Spawn(ctx, opts)
	}
	s.holdConfig(feed, &opts)
	if s.server != nil {
		s.server.Close()
	}
	return err
}

// configPipe makes the pipe from which crun reads its configuration, so that it need not be there when crun starts: a
// sixth of a run is the time that crun takes to load its libraries. Other runtimes read the file more than once.
func (s *startup) configPipe(opts *monitor.SpawnOptions) (feed *os.File, err error) {
	if s.runtime.Kind != ociruntime.Crun || s.init || s.c.Health != nil || s.hides() || len(s.c.keep) > 0 {
		return nil, nil
	}
	err = os.Symlink(monitor.RuntimeConfig, s.configFile())
	if errors.Is(err, fs.ErrExist) { // of a start that was killed
		os.Remove(s.configFile())
		err = os.Symlink(monitor.RuntimeConfig, s.configFile())
	}
	if err != nil {
		return nil, err
	}
	opts.Config, feed, err = os.Pipe()
	return feed, err
}

// holdConfig keeps the writing end for feedRuntime. Where systemd may have to be asked for a control group first, the
// runtime has to wait after all.
func (s *startup) holdConfig(feed *os.File, opts *monitor.SpawnOptions) {
	if feed == nil {
		return
	}
	opts.Config.Close()
	if s.monitor == nil || s.facts.Slice != "" && !s.monitor.InGroup {
		feed.Close()
		os.Remove(s.configFile())
		return
	}
	s.config = feed
}

// mountRoot mounts the container's root file system in this thread's mount namespace. What `mount` keeps mounted is shown
// there too: a read-write layer must not be mounted twice.
func (s *startup) mountRoot(ctx context.Context, in *spec.Input) error {
	img, err := s.image(ctx)
	if err != nil {
		return err
	}
	if err := s.emulate(img); err != nil {
		return err
	}
	if held := s.e.heldMount(s.c.ID); held != "" {
		return rootfs.Bind(held, in.Root)
	}
	m, err := s.rootSpec(ctx, in)
	if err != nil {
		return err
	}
	return rootfs.Mount(ctx, m)
}

// rootSpec says what the container's root file system is made of.
func (s *startup) rootSpec(ctx context.Context, in *spec.Input) (rootfs.Spec, error) {
	img, err := s.image(ctx)
	if err != nil {
		return rootfs.Spec{}, err
	}
	found, err := rootfs.Detect(ctx, s.e.dirs)
	if err != nil {
		return rootfs.Spec{}, err
	}
	if found.Fresh && found.Note != "" {
		s.e.opts.Warn(found.Note)
	}
	dir := s.e.dirs.Container(s.c.ID)
	m := rootfs.Spec{
		Lower:    img.Lower,
		Upper:    filepath.Join(dir, record.UpperDir),
		Work:     filepath.Join(dir, record.WorkDir),
		Target:   in.Root,
		Volatile: s.c.Rootfs.Volatile,
		Driver:   found.Driver,
	}
	if found.Driver != rootfs.VFS { // which would copy it
		if skeleton := rootfs.Skeleton(s.e.dirs); skeleton != "" {
			m.Lower = append(slices.Clip(m.Lower), skeleton)
		}
	}
	return m, s.mapRoot(ctx, in, img, &m)
}

// mapRoot gives a container with a user namespace of its own a root that is owned in its terms.
func (s *startup) mapRoot(ctx context.Context, in *spec.Input, img *store.Image, m *rootfs.Spec) error {
	uids, gids, err := spec.IDMappings(*in)
	if err != nil || uids == nil {
		return err
	}
	mapping := rootfs.Mapping{UIDs: uids, GIDs: gids}
	s.ids = &mapping
	if len(m.Lower) > 0 && m.Driver == rootfs.Overlay && rootfs.CanIDMap(m.Lower[0]) {
		m.IDMap = &mapping
		return nil
	}
	mapped, err := rootfs.Mapped(ctx, s.e.dirs, img.TopLayer(), img.Lower, mapping)
	m.Lower = []string{mapped}
	return err
}

// resolveInput resolves, in the mounted root, everything else that the runtime's configuration depends on.
func (s *startup) resolveInput(ctx context.Context, in *spec.Input) error {
	who := s.c.Process.User
	if uid, gid, ok := spec.KeepID(*in); ok && who == "" {
		who = fmt.Sprintf("%d:%d", uid, gid)
	}
	user, err := passwd.Resolve(in.Root, who, s.c.Process.Groups)
	if err != nil {
		return err
	}
	if err := s.addAccounts(in, user); err != nil {
		return err
	}
	in.User = spec.User{UID: user.UID, GID: user.GID, Groups: user.Groups, Home: user.Home}
	if err := s.makeWorkDir(in); err != nil {
		return err
	}
	if in.Mounts, err = s.mounts(ctx, in); err != nil {
		return err
	}
	if err := s.secrets(ctx, in); err != nil {
		return err
	}
	if err := s.awaitNetwork(); err != nil {
		return err
	}
	if in.Files, err = s.files(in); err != nil {
		return err
	}
	if err := s.listenReady(&in.Files); err != nil {
		return err
	}
	if s.c.Process.Init {
		if in.InitPath, err = findInit(s.e.dirs, s.c.Process.InitPath); err != nil {
			return err
		}
	}
	if in.CgroupNS, err = s.e.cgroupNS(&s.c.Config); err != nil {
		return err
	}
	if in.NetworkPath, err = s.networkPath(in); err != nil {
		return err
	}
	return s.filter(in)
}

// specHost collects the facts that this container's configuration depends on; those that cost something only where a
// flag asks for them.
func (s *startup) specHost() (spec.Host, error) {
	h := s.e.host()
	permitted, err := caps.Permitted()
	if err != nil {
		return spec.Host{}, err
	}
	host := spec.Host{Rootless: h.rootless, Caps: permitted, RealUID: uint32(h.uid), RealGID: uint32(h.gid), UIDs: h.uids, GIDs: h.gids,
		SELinux: hostfacts.SELinux(), AppArmor: hostfacts.AppArmor()}
	if s.c.Network.Mode == "host" || s.c.Namespaces.UTS == "host" {
		host.Hostname, _ = os.Hostname() // only decorates the environment
	}
	if limits := s.c.Resources.Ulimits; len(limits) > 0 {
		names := make([]string, len(limits))
		for i := range limits {
			names[i] = limits[i].Name
		}
		if host.Rlimits, err = hostfacts.Rlimits(names...); err != nil {
			return host, err
		}
	}
	if s.c.Resources.OOMScoreAdj != nil {
		host.OOMScoreAdj = hostfacts.OOMScoreAdj()
	}
	if s.c.Namespaces.IPC == "host" {
		host.Mqueue = hostfacts.IsMqueue("/dev/mqueue")
	}
	host.Block = blockDevices(&s.c.Resources)
	host.NoThrottle = s.c.Resources.Block.Weight > 0 && !s.facts.Throttles(s.c.ID)
	host.Devices, err = s.devices()
	return host, err
}

func (s *startup) devices() ([]specs.LinuxDevice, error) {
	if s.c.Security.Privileged {
		return hostfacts.Devices("/dev")
	}
	if len(s.c.Security.Devices) == 0 {
		return nil, nil
	}
	var paths []string
	for _, d := range s.c.Security.Devices {
		paths = append(paths, d.Source)
	}
	return hostfacts.Devices(paths...)
}

// makeWorkDir makes the working directory where the image has none, as Docker does. It cannot lead out of the root.
func (s *startup) makeWorkDir(in *spec.Input) error {
	dir, root := s.c.Process.WorkDir, in.Root
	if dir == "/" {
		return nil
	}
	if info, err := safepath.StatIn(root, dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("working directory %q is a file in the image", dir)
		}
		return nil
	}
	for _, m := range s.c.Mounts {
		if within(dir, m.Target) {
			return nil // it lies in a mount: the runtime makes it there
		}
	}
	if err := makeDir(in, dir); err != nil {
		return fmt.Errorf("make working directory %q: %w", dir, err)
	}
	return nil
}

// makeDir makes a directory in the root file system that belongs to the container's root.
func makeDir(in *spec.Input, dir string) error {
	uids, gids, err := spec.IDMappings(*in)
	if err != nil {
		return err
	}
	return safepath.MkdirAllIn(in.Root, dir, 0o755, outside(uids, 0), outside(gids, 0))
}

// within tells whether path is dir or lies below it.
func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// filter adds the seccomp filter: a compiled one from the cache if there is one, else the section, and then the
// filter that the runtime makes of it is kept after the start.
func (s *startup) filter(in *spec.Input) error {
	profile := spec.SeccompProfile(*in)
	if profile == seccomp.Unconfined {
		return nil
	}
	bounding, err := spec.Capabilities(*in)
	if err != nil {
		return err
	}
	if s.runtime.Kind == ociruntime.Crun {
		if s.key, err = s.filters().Key(profile, bounding, s.runtime.Path); err != nil {
			return err
		}
		if in.Seccomp.BPF = s.filters().Load(s.key); in.Seccomp.BPF != "" {
			s.key = ""
			return nil
		}
	}
	in.Seccomp.Section, err = seccomp.Build(profile, bounding)
	if !seccomp.Cacheable(in.Seccomp.Section) {
		s.key = ""
	}
	return err
}

// job is what the monitor is told. A runtime that starts early (configPipe) is told before specInput has run: nothing
// here may depend on what that finds, or the container must be left out there.
func (s *startup) job(sp *specs.Spec) monitor.Job {
	c := s.c
	start := ociruntime.Start{ID: c.ID, Bundle: s.bundle(), PidFile: filepath.Join(s.runDir, record.PidFile),
		LogFile: filepath.Join(s.runDir, "runtime.log"), Keep: len(s.c.keep)}
	// The default filter denies all system calls on keys: then the monitor's keyring is as good as one of its own, and does
	// not count against the user's quota.
	start.KeepKeyring = spec.SeccompProfile(spec.Input{Config: &c.Config}) == ""
	if c.Process.Terminal {
		start.ConsoleSocket = filepath.Join(s.runDir, "console.sock")
	}
	job := monitor.Job{
		ID: c.ID, Dir: s.e.dirs.Container(c.ID), RunDir: s.runDir, Trash: s.e.dirs.Trash(), Names: s.e.dirs.ContainerNames(), Name: c.name(),
		Runtime: s.runtime.Path, StartArgs: s.runtime.StartArgs(start), Env: s.runtime.Env(),
		Terminal: c.Process.Terminal, OpenStdin: c.Process.OpenStdin, StdinOnce: c.Process.StdinOnce,
		Log: c.Log, LogAttrs: c.logAttrs(), LogTag: c.logTag(), LogFields: c.logFields(), Events: s.e.eventLog(), EventAttrs: c.eventAttrs(), Mounted: c.mountedVolumes(), Lifecycle: c.Lifecycle, Health: c.Health,
		Cgroups: s.facts.Dirs(c.ID), Scope: s.facts.Scope(), Leftovers: s.runtime.Leftovers(c.ID), BootID: bootID(), PostStop: s.hookDirs != nil,
		UplinkPid: filepath.Join(s.runDir, uplinkPidFile), Network: s.networkFile(), AtEnd: s.e.afterRemoval(c),
	}
	if s.hides() {
		job.Copied = filepath.Join(s.runtime.StateDir, c.ID, "config.json")
	}
	if c.Lifecycle.AutoRemove {
		for _, m := range c.Mounts {
			if m.Type == "volume" && m.Anonymous {
				job.Volumes = append(job.Volumes, s.e.volumes.Path(m.Source))
			}
		}
	}
	if s.init {
		job.CreateArgs, job.GoArgs = s.runtime.CreateArgs(start), s.runtime.GoArgs(start)
	}
	job.ExecArgs = s.runtime.ExecArgs() // a health check may come later, by update
	if c.Health != nil {
		job.ExecSpec, _ = lazyjson.Marshal(sp.Process) // was marshalled once already: it cannot fail
	}
	return job
}
