package libpod

import (
	"encoding/json"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
)

// Settings is what the user's files say of how containers are started.
type Settings struct {
	Runtime   string              // name or path, where neither the container nor the command names one
	Runtimes  map[string][]string // name to the paths where that runtime may be
	HooksDirs []string            // of OCI hooks; nil: none, as root the usual ones
}

func (e *Engine) settings() (Settings, error) {
	if e.opts.Settings == nil {
		return Settings{}, nil
	}
	return e.opts.Settings()
}

// namedRuntime is the runtime of that name or path; a name of the table goes before one of the search path.
func (e *Engine) namedRuntime(name string, set Settings) (*ociruntime.Runtime, error) {
	paths := set.Runtimes[name]
	if name == "" || strings.Contains(name, "/") {
		paths = nil
	}
	found := name
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			found = path
			break
		}
	}
	if len(paths) > 0 && found == name {
		return nil, errdefs.New(errdefs.ErrNotFound, "OCI runtime %q: containers.conf has it at %s, where no program is (install it, or mend [engine.runtimes])", name, strings.Join(paths, ", "))
	}
	r, err := ociruntime.Find(found)
	if err == nil {
		r.Flags = e.opts.RuntimeFlags
	}
	return r, err
}

// findHooks looks for directories with descriptions of OCI hooks.
func (s *startup) findHooks(set Settings) {
	dirs := set.HooksDirs
	if dirs == nil && !s.e.host().rootless {
		dirs = []string{"/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d"}
	}
	if s.e.opts.Hooks != nil && anyHook(dirs) {
		s.hookDirs = dirs
	}
}

// withHooks adds the OCI hooks that apply to this container. Only where there is a description of one is anything
// started that can read it.
func (s *startup) withHooks(sp *specs.Spec) (*specs.Spec, error) {
	if s.hookDirs == nil {
		return sp, nil
	}
	config, err := lazyjson.Marshal(sp)
	if err != nil {
		return nil, err
	}
	if config, err = s.e.opts.Hooks(s.hookDirs, config, len(s.c.Mounts) > 0); err != nil {
		return nil, err
	}
	hooked := &specs.Spec{}
	if err := json.Unmarshal(config, hooked); err != nil {
		return nil, errdefs.New(errdefs.ErrBroken, "OCI hooks: the changed configuration cannot be read: %v", err)
	}
	return hooked, nil
}

func anyHook(dirs []string) bool {
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".json") {
				return true
			}
		}
	}
	return false
}
