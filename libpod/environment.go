package libpod

import (
	"os"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/libpod/spec"
)

// EnvWish is what else than CreateOptions.Env goes into the environment, or is kept out of it.
type EnvWish struct {
	Base     []string // lowest: what containers.conf sets
	Host     []string // then the caller's own (--env-host) or its proxies (--http-proxy); the image's follow
	Merge    []string // NAME=value with $OTHER in it, above the image's (--env-merge)
	Unset    []string // names that neither the image nor wherry sets (--unsetenv)
	UnsetAll bool     // nothing is set but what the user names
}

// merge lays the user's environment over the image's. A bare NAME at its end keeps what wherry would set itself away.
func (w EnvWish) merge(image, user []string) []string {
	if w.UnsetAll {
		w.Base, w.Host, image = nil, nil, nil
		w.Unset = append([]string{"PATH", "HOSTNAME", "TERM", "HOME", "container", "container_uuid"}, w.Unset...)
	}
	below := mergeEnv(spec.MergeEnv(w.Base, w.Host), image)
	unset := slices.DeleteFunc(slices.Clone(w.Unset), func(name string) bool { return name == "" || hasName(user, name) || hasName(w.Merge, name) })
	for _, name := range unset {
		below = slices.DeleteFunc(below, func(kv string) bool { return named(kv, name) })
	}
	merged := make([]string, 0, len(w.Merge))
	for _, kv := range w.Merge {
		merged = append(merged, os.Expand(kv, func(name string) string { return valueOf(below, name) }))
	}
	env := mergeEnv(mergeEnv(below, merged), user)
	for _, name := range unset {
		env = append(slices.DeleteFunc(env, func(kv string) bool { return named(kv, name) }), name)
	}
	return env
}

func named(kv, name string) bool {
	key, _, _ := strings.Cut(kv, "=")
	return key == name
}

func hasName(env []string, name string) bool {
	return slices.ContainsFunc(env, func(kv string) bool { return named(kv, name) })
}

func valueOf(env []string, name string) string {
	for _, kv := range env {
		if key, value, _ := strings.Cut(kv, "="); key == name {
			return value
		}
	}
	return ""
}
