package container

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/libpod/values"
	"github.com/wherry-containers/wherry/pkg/caps"
	"github.com/wherry-containers/wherry/pkg/containersconf"
	"github.com/wherry-containers/wherry/pkg/hostfacts"
)

// settings is what containers.conf and the global flags say of starts.
func settings(env *cmdkit.Env) func() (libpod.Settings, error) {
	return sync.OnceValues(func() (libpod.Settings, error) {
		conf, err := env.Conf()
		if err != nil {
			return libpod.Settings{}, err
		}
		set := libpod.Settings{Runtime: conf.Runtime, Runtimes: conf.Runtimes, HooksDirs: conf.HooksDirs}
		if env.HooksDirs != nil {
			set.HooksDirs = env.HooksDirs
		}
		return set, nil
	})
}

// hooks adds OCI hooks to a runtime's configuration, by the companion.
func hooks(env *cmdkit.Env) func([]string, []byte, bool) ([]byte, error) {
	return func(dirs []string, config []byte, binds bool) ([]byte, error) {
		return env.AskCompanion(config, append([]string{cmdkit.AddHooks, strconv.FormatBool(binds)}, dirs...)...)
	}
}

// Flags whose values of containers.conf and of the command line go together: by key, name or target.
func mergedFlags() []string { return []string{"annotation", "sysctl", "ulimit", "mount", "volume"} }

// applyConf gives flags that were not given the values of containers.conf.
func (w *wish) applyConf(env *cmdkit.Env) error {
	conf, err := env.Conf()
	if err != nil {
		return err
	}
	if len(conf.Flags) > 0 {
		if err := w.applyFlags(env, conf.Flags); err != nil {
			return err
		}
	}
	if env.CgroupManager == "" && conf.CgroupMgr != "" {
		if err := values.CgroupManager(conf.CgroupMgr); err != nil {
			return fmt.Errorf("containers.conf: engine.cgroup_manager: %q: %w", conf.CgroupMgr, err)
		}
		w.CgroupManager = conf.CgroupMgr
	}
	w.EnvWish.Base = append(w.EnvWish.Base, conf.Env...)
	return w.applySecurity(conf)
}

// applyFlags sets the flags. What goes together with the command line's is collected in a wish of its own first.
func (w *wish) applyFlags(env *cmdkit.Env, defaults []containersconf.Flag) error {
	below := newWish(env)
	own, belows := flagsByName(w.given), flagsByName(below.flags())
	given := map[string]bool{}
	for name, f := range own {
		given[name] = f.IsSet()
	}
	for _, d := range defaults {
		f := own[d.Name]
		switch {
		case slices.Contains(mergedFlags(), d.Name):
			f = belows[d.Name]
		case given[d.Name] && d.Name != "device":
			continue
		}
		if f == nil || f.Refusal("") != "" || d.Name == "log-opt" && !w.takesLogOpt(d.Value) {
			continue
		}
		if err := f.Set(d.Value); err != nil {
			return fmt.Errorf("containers.conf: %s: %q: %w", d.Key, d.Value, err)
		}
	}
	if w.Config.Network.Mode == "" && len(w.network.given) > 0 { // it is settled later
		w.Config.Network.Mode = w.network.given[0].Mode
	}
	mergeBelow(&w.Config, &below.Config)
	return nil
}

func flagsByName(flags []cli.Flag) map[string]*cmdkit.Flag {
	m := make(map[string]*cmdkit.Flag, len(flags))
	for _, f := range flags {
		if ours, ok := f.(*cmdkit.Flag); ok {
			m[ours.Name] = ours
		}
	}
	return m
}

// mergeBelow adds what cfg does not have yet.
func mergeBelow(cfg, below *record.Config) {
	cfg.Notes = mergeMaps(below.Notes, cfg.Notes)
	n, network := &cfg.Namespaces, cfg.Network.Mode
	if strings.Contains(network, ":") { // another's, by container: or ns:
		network = "host"
	}
	for name, value := range below.Namespaces.Sysctls { // of a namespace that is shared, nobody asked for it
		if spec.CheckSysctls(map[string]string{name: value}, n.IPC, n.UTS, network) != nil {
			delete(below.Namespaces.Sysctls, name)
		}
	}
	n.Sysctls = mergeMaps(below.Namespaces.Sysctls, n.Sysctls)
	for _, u := range below.Resources.Ulimits {
		if !slices.ContainsFunc(cfg.Resources.Ulimits, func(o record.Ulimit) bool { return o.Name == u.Name }) {
			cfg.Resources.Ulimits = append(cfg.Resources.Ulimits, u)
		}
	}
	for _, m := range below.Mounts {
		if !slices.ContainsFunc(cfg.Mounts, func(o record.Mount) bool { return o.Target == m.Target }) {
			cfg.Mounts = append(cfg.Mounts, m)
		}
	}
}

func mergeMaps(below, over map[string]string) map[string]string {
	if len(below) == 0 {
		return over
	}
	for k, v := range over {
		below[k] = v
	}
	return below
}

// applySecurity sets what is no flag by itself.
func (w *wish) applySecurity(conf *containersconf.Conf) error {
	cfg, sec := &w.Config, &w.Config.Security
	if conf.NameAsHost && cfg.Hostname == "" && cfg.Namespaces.UTS == "" && values.Hostname(cfg.Name) == nil {
		cfg.Hostname = cfg.Name
	}
	if cfg.Process.Init && cfg.Process.InitPath == "" {
		cfg.Process.InitPath = conf.InitPath
	}
	if conf.AppArmor != "" && sec.AppArmor == "" && hostfacts.AppArmor() {
		sec.AppArmor = conf.AppArmor
	}
	if conf.Seccomp != "" && sec.Seccomp == "" {
		if err := seccompProfile(sec, conf.Seccomp); err != nil {
			return fmt.Errorf("containers.conf: containers.seccomp_profile: %w", err)
		}
	}
	return defaultCaps(sec, conf.Capabilities)
}

// defaultCaps makes base the capabilities that flags add to and drop from.
func defaultCaps(s *record.Security, base []string) error {
	if len(base) == 0 || s.Privileged || slices.Contains(s.CapAdd, "ALL") || slices.Contains(s.CapDrop, "ALL") {
		return nil
	}
	var kept []string
	for _, name := range base {
		full, err := caps.Normalize(name)
		if err != nil {
			return fmt.Errorf("containers.conf: containers.default_capabilities: %w", err)
		}
		if !slices.Contains(s.CapDrop, full) {
			kept = append(kept, full)
		}
	}
	s.CapDrop, s.CapAdd = []string{"ALL"}, append(kept, s.CapAdd...)
	return nil
}
