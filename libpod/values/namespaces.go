package values

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/idmap"
)

// UserNS checks the value of --userns; empty is as good as none.
func UserNS(s string) (string, error) {
	mode, options, hasOptions := strings.Cut(s, ":")
	switch mode {
	case "", "host", "nomap", "private":
		if !hasOptions {
			return s, nil
		}
		return "", fmt.Errorf("%s has no options", mode)
	case "keep-id":
		for _, option := range strings.Split(options, ",") {
			key, value, _ := strings.Cut(option, "=")
			if options == "" {
				return mode, nil
			}
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil || !slices.Contains([]string{"uid", "gid", "size"}, key) || key == "size" && n == 0 {
				return "", fmt.Errorf("keep-id takes uid=N, gid=N and size=N")
			}
		}
		return s, nil
	case "auto":
		_, err := idmap.ParseAuto(options)
		return s, err
	case "container", "ns":
		return s, joined(mode, options)
	}
	return "", fmt.Errorf("it is host, private, keep-id[:uid=N,gid=N,size=N], nomap, auto[:size=N], container:NAME or ns:PATH")
}

// joined checks what follows container: and ns:.
func joined(mode, options string) error {
	switch {
	case mode == "container" && options == "":
		return fmt.Errorf("it names no container (as in container:web)")
	case mode == "ns" && !path.IsAbs(options):
		return fmt.Errorf("ns: needs an absolute path (as in ns:/proc/4711/ns/pid)")
	}
	return nil
}

// Namespace checks the value of --pid, --ipc and --uts: private, host, container:NAME, ns:PATH, and those in more. The
// result for private is empty unless more has it.
func Namespace(s string, more ...string) (string, error) {
	mode, options, hasOptions := strings.Cut(s, ":")
	switch {
	case mode == "container" || mode == "ns":
		return s, joined(mode, options)
	case !hasOptions && slices.Contains(more, s):
		return s, nil
	case s == "private" || s == "":
		return "", nil
	case s == "host":
		return s, nil
	}
	choices := append([]string{"private", "host", "container:NAME", "ns:PATH"}, more...)
	return "", fmt.Errorf("it is one of %s", strings.Join(choices, ", "))
}

// Sysctl parses NAME=VALUE; the name may be written with slashes.
func Sysctl(s string) (name, value string, err error) {
	name, value, ok := strings.Cut(s, "=")
	name = strings.ReplaceAll(strings.TrimSpace(name), "/", ".")
	if !ok || name == "" || strings.Contains(name, "..") || strings.HasPrefix(name, ".") {
		return "", "", fmt.Errorf("it looks like net.core.somaxconn=1024")
	}
	return name, strings.TrimSpace(value), nil
}

// TimeZone checks the name of a time zone, or local.
func TimeZone(s string) error {
	if path.IsAbs(s) || path.Clean(s) != s || strings.HasPrefix(s, "..") {
		return fmt.Errorf("it is a name like Europe/Berlin, or local")
	}
	return nil
}

// idMapOption takes the value of a mount's option idmap.
func idMapOption(m *record.Mount, value string) error {
	m.IDMap = "own"
	if value == "" || value == "true" {
		return nil
	}
	m.IDMap = value
	_, err := idmap.ParseMount(value)
	return err
}
