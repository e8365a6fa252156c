package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/solver/pb"

	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/hostfacts"
	"github.com/wherry-containers/wherry/pkg/passwd"
	"github.com/wherry-containers/wherry/pkg/safepath"
	"github.com/wherry-containers/wherry/pkg/seccomp"
)

// defaultHostname is BuildKit's: what a command makes of it is in the layer.
const defaultHostname = "buildkitsandbox"

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// input resolves all that the runtime's configuration depends on, and makes in the root what it needs there.
func (st *step) input(ctx context.Context) (*spec.Input, error) {
	in := &spec.Input{Config: st.config(), Root: st.root, Cgroup: st.facts, Host: st.h.spec}
	if err := st.limits(in); err != nil {
		return nil, err
	}
	var err error
	if in.Config.Security.Privileged {
		if in.Host.Devices, err = st.h.devices(); err != nil {
			return nil, err
		}
	}
	if st.user, err = passwd.Resolve(st.root, st.Meta.User, nil); err != nil {
		return nil, err
	}
	in.User = spec.User{UID: st.user.UID, GID: st.user.GID, Groups: st.user.Groups, Home: st.user.Home}
	mounts, err := st.mounts()
	if err != nil {
		return nil, err
	}
	if in.NetworkPath, err = st.awaitNetwork(in.Config); err != nil {
		return nil, err
	}
	files, err := st.files(mounts)
	if err != nil {
		return nil, err
	}
	in.Mounts = append(files, mounts...)
	if err := st.makeStubs(in.Mounts); err != nil {
		return nil, err
	}
	if err := st.makeWorkDir(); err != nil {
		return nil, err
	}
	return in, st.filter(in)
}

// config is the step as a container's record would have it.
func (st *step) config() *record.Config {
	c := &record.Config{
		ID: st.place.ID, Hostname: st.Meta.Hostname,
		Process:   record.Process{Command: st.Meta.Args, WorkDir: st.cwd()},
		Rootfs:    record.Rootfs{ReadOnly: st.ReadOnlyRoot, ShmSize: st.ShmSize},
		Resources: st.Limits,
		Network:   record.Network{Mode: "none"},
	}
	if c.Hostname == "" {
		c.Hostname = defaultHostname
	}
	if c.Resources.Pids == nil { // compilers have many threads, and nobody expects a limit
		unlimited := int64(-1)
		c.Resources.Pids = &unlimited
	}
	for _, u := range st.Meta.Ulimit {
		c.Resources.Ulimits = append(c.Resources.Ulimits, record.Ulimit{Name: strings.ToLower(u.Name), Soft: u.Soft, Hard: u.Hard})
	}
	if st.Security == pb.SecurityMode_INSECURE {
		c.Security.Privileged = true
	}
	if st.Network == pb.NetMode_HOST {
		c.Network.Mode = "host"
	}
	return c
}

// cwd is the working directory.
func (st *step) cwd() string { return path.Join("/", st.Meta.Cwd) }

// limits reads what limits depend on.
func (st *step) limits(in *spec.Input) (err error) {
	r := &in.Config.Resources
	if len(r.Ulimits) > 0 {
		names := make([]string, len(r.Ulimits))
		for i := range r.Ulimits {
			names[i] = r.Ulimits[i].Name
		}
		if in.Host.Rlimits, err = hostfacts.Rlimits(names...); err != nil {
			return err
		}
	}
	if r.OOMScoreAdj != nil {
		in.Host.OOMScoreAdj = hostfacts.OOMScoreAdj()
	}
	return spec.CheckLimits(*r, st.facts)
}

// environment is BuildKit's: nothing but what the step names, a search path and the user's home.
func (st *step) environment() []string {
	env := append([]string{}, st.Meta.Env...)
	env = append(env, proxies(st.Meta.ProxyEnv)...)
	if !has(env, "PATH") {
		env = append(env, defaultPath)
	}
	env = append(env, st.SecretEnv...)
	if !has(env, "HOME") {
		env = append(env, "HOME="+st.user.Home)
	}
	return spec.MergeEnv(nil, env)
}

func has(env []string, name string) bool {
	for _, kv := range env {
		if strings.HasPrefix(kv, name+"=") {
			return true
		}
	}
	return false
}

// proxies gives each variable in both spellings.
func proxies(p *pb.ProxyEnv) []string {
	if p == nil {
		return nil
	}
	var env []string
	for _, v := range []struct{ name, value string }{
		{"http_proxy", p.HttpProxy}, {"https_proxy", p.HttpsProxy}, {"ftp_proxy", p.FtpProxy}, {"no_proxy", p.NoProxy}, {"all_proxy", p.AllProxy},
	} {
		if v.value != "" {
			env = append(env, strings.ToUpper(v.name)+"="+v.value, v.name+"="+v.value)
		}
	}
	return env
}

// makeWorkDir makes the working directory where it is missing. As in BuildKit it belongs to the step's user.
func (st *step) makeWorkDir() error {
	dir := st.cwd()
	info, err := safepath.StatIn(st.root, dir)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("working directory %q is a file", dir)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("working directory %q: %w", dir, err)
	}
	return safepath.MkdirAllIn(st.root, dir, 0o755, int(st.user.UID), int(st.user.GID))
}

// filter adds the seccomp filter: a compiled one from the cache if there is one, else the section, and then the filter that
// the runtime makes of it is kept.
func (st *step) filter(in *spec.Input) error {
	profile := spec.SeccompProfile(*in)
	if profile == seccomp.Unconfined {
		return nil
	}
	bounding, err := spec.Capabilities(*in)
	if err != nil {
		return err
	}
	if st.runtime.Kind == ociruntime.Crun {
		if st.key, err = st.filters().Key(profile, bounding, st.runtime.Path); err != nil {
			return err
		}
		if in.Seccomp.BPF = st.filters().Load(st.key); in.Seccomp.BPF != "" {
			st.key = ""
			return nil
		}
	}
	in.Seccomp.Section, err = seccomp.Build(profile, bounding)
	if !seccomp.Cacheable(in.Seccomp.Section) {
		st.key = ""
	}
	return err
}

func (st *step) filters() seccomp.Cache {
	return seccomp.Cache{Dir: filepath.Join(st.r.opts.Dirs.Cache(), "seccomp")}
}
