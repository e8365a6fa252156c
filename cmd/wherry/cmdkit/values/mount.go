package values

import (
	"encoding/csv"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
)

const selinuxDir = "/sys/fs/selinux/enforce"

// Volume parses -v [SOURCE:]TARGET[:OPTIONS]. A source that begins with / or . is a host directory (relative ones
// are made absolute), anything else is a volume; without one the volume is anonymous.
func Volume(s string) (record.Mount, error) {
	parts := strings.Split(s, ":")
	m := record.Mount{}
	var options string
	switch {
	case len(parts) == 1:
		m.Target = parts[0]
	case len(parts) == 2 && parts[1] != "" && !strings.HasPrefix(parts[1], "/") && strings.HasPrefix(parts[0], "/") && isOptions(parts[1]):
		m.Target, options = parts[0], parts[1]
	case len(parts) <= 3:
		m.Source, m.Target = parts[0], parts[1]
		if m.Source == "" {
			return m, fmt.Errorf("the source is empty")
		}
		if len(parts) == 3 {
			options = parts[2]
		}
	default:
		return m, fmt.Errorf("it looks like [SOURCE:]TARGET[:OPTIONS]")
	}
	if err := setSource(&m); err != nil {
		return m, err
	}
	for _, option := range strings.Split(options, ",") {
		if err := volumeOption(&m, option); err != nil {
			return m, err
		}
	}
	return m, setTarget(&m)
}

func isOptions(s string) bool {
	for _, option := range strings.Split(s, ",") {
		if volumeOption(&record.Mount{}, option) != nil {
			return false
		}
	}
	return true
}

func setSource(m *record.Mount) error {
	switch {
	case m.Source == "":
		m.Type, m.Anonymous = "volume", true
	case m.Source[0] == '/' || m.Source[0] == '.':
		abs, err := filepath.Abs(m.Source)
		if err != nil {
			return err
		}
		m.Type, m.Source, m.MakeSource = "bind", abs, true
	default:
		m.Type = "volume"
		return Name(m.Source)
	}
	return nil
}

func setTarget(m *record.Mount) error {
	switch {
	case m.Target == "":
		return fmt.Errorf("there is no target")
	case !path.IsAbs(m.Target):
		return fmt.Errorf("the target %q is not an absolute path", m.Target)
	case strings.Contains(m.Target, "\x00"):
		return fmt.Errorf("the target holds a zero byte")
	}
	m.Target = path.Clean(m.Target)
	if m.Target == "/" {
		return fmt.Errorf("the target cannot be /")
	}
	return nil
}

// propagations are the kinds of mount propagation that a container's mount may have.
func propagations() []string {
	return []string{"private", "rprivate", "shared", "rshared", "slave", "rslave"}
}

func volumeOption(m *record.Mount, option string) error {
	switch option {
	case "", "rw", "cached", "delegated", "consistent", "copy", "rbind":
		// The defaults, and hints for Docker Desktop's file sharing that mean nothing on Linux.
	case "ro":
		m.ReadOnly = true
	case "nocopy":
		m.NoCopy = true
	case "bind":
		m.NonRecurs = true
	case "U", "exec", "noexec", "suid", "nosuid", "dev", "nodev":
		m.Options = append(m.Options, option)
	case "z", "Z":
		return checkRelabel(option)
	default:
		if slices.Contains(propagations(), option) {
			m.Propagation = option
			return nil
		}
		if option == "O" || strings.HasPrefix(option, "idmap") || strings.HasPrefix(option, "upperdir=") || strings.HasPrefix(option, "workdir=") {
			return fmt.Errorf("option %q is not there yet", option)
		}
		return fmt.Errorf("there is no option %q", option)
	}
	return nil
}

// checkRelabel takes z and Z where SELinux is off: there they mean nothing.
func checkRelabel(option string) error {
	if _, err := os.Stat(selinuxDir); err == nil {
		return fmt.Errorf("option %q (SELinux relabelling) is not there yet", option)
	}
	return nil
}

// Mount parses --mount type=...,key=value,...: Docker's keys and their aliases in Podman.
func Mount(s string) (record.Mount, error) {
	fields, err := csvFields(s)
	if err != nil {
		return record.Mount{}, err
	}
	p := mountParser{m: record.Mount{Type: "volume"}}
	for _, field := range fields {
		if key, value, _ := strings.Cut(field, "="); key == "type" {
			p.m.Type = value
		}
	}
	if !slices.Contains([]string{"bind", "volume", "tmpfs"}, p.m.Type) {
		if slices.Contains([]string{"image", "devpts", "ramfs", "glob", "npipe", "cluster", "artifact"}, p.m.Type) {
			return p.m, fmt.Errorf("type %s is not there yet", p.m.Type)
		}
		return p.m, fmt.Errorf("there is no type %q, only bind, volume and tmpfs", p.m.Type)
	}
	for _, field := range fields {
		if err := p.field(field); err != nil {
			return p.m, err
		}
	}
	return p.m, p.finish()
}

func csvFields(s string) ([]string, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, fmt.Errorf("it holds a line end")
	}
	r := csv.NewReader(strings.NewReader(s))
	fields, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("it looks like type=bind,source=/host,target=/ctr")
	}
	return fields, nil
}

type mountParser struct {
	m record.Mount
}

func (p *mountParser) field(field string) error {
	key, value, hasValue := strings.Cut(field, "=")
	key = strings.ToLower(key)
	switch key {
	case "type":
		return nil
	case "source", "src":
		p.m.Source = value
	case "target", "destination", "dst":
		p.m.Target = value
	case "readonly", "ro":
		return setBool(&p.m.ReadOnly, key, value, hasValue)
	case "rw":
		var rw bool
		err := setBool(&rw, key, value, hasValue)
		p.m.ReadOnly = !rw
		return err
	case "consistency":
		return nil
	default:
		return p.typed(key, value, hasValue)
	}
	if !hasValue || value == "" {
		return fmt.Errorf("%s needs a value", key)
	}
	return nil
}

// typed takes the keys that belong to one type.
func (p *mountParser) typed(key, value string, hasValue bool) error {
	switch p.m.Type + " " + key {
	case "bind bind-propagation", "volume bind-propagation":
		if !slices.Contains(propagations(), value) {
			return fmt.Errorf("there is no propagation %q, only %s", value, strings.Join(propagations(), ", "))
		}
		p.m.Propagation = value
	case "bind bind-nonrecursive":
		return setBool(&p.m.NonRecurs, key, value, hasValue)
	case "bind bind-recursive":
		return p.recursive(value)
	case "bind bind-create-src", "bind create-host-path":
		return setBool(&p.m.MakeSource, key, value, hasValue)
	case "volume volume-nocopy", "volume nocopy":
		return setBool(&p.m.NoCopy, key, value, hasValue)
	case "volume volume-subpath", "volume subpath":
		return p.subPath(value)
	case "tmpfs tmpfs-size", "tmpfs size":
		n, err := Bytes(value)
		if err != nil {
			return fmt.Errorf("%s %q: %w", key, value, err)
		}
		p.m.Options = append(p.m.Options, "size="+strconv.FormatInt(n, 10))
	case "tmpfs tmpfs-mode", "tmpfs mode":
		mode, err := strconv.ParseUint(value, 8, 32)
		if err != nil || mode > 0o7777 {
			return fmt.Errorf("%s %q is not an octal mode", key, value)
		}
		p.m.Options = append(p.m.Options, fmt.Sprintf("mode=%o", mode))
	case "bind u", "volume u", "bind chown", "volume chown":
		return p.owner(key, value, hasValue)
	default:
		return p.unknown(key)
	}
	return nil
}

func (p *mountParser) recursive(value string) error {
	switch value {
	case "enabled", "writable":
		return nil
	case "disabled":
		p.m.NonRecurs = true
		return nil
	case "readonly":
		return fmt.Errorf("bind-recursive=readonly is not there yet")
	}
	return fmt.Errorf("bind-recursive is enabled or disabled, not %q", value)
}

func (p *mountParser) subPath(value string) error {
	if value == "" || path.IsAbs(value) || !filepath.IsLocal(value) {
		return fmt.Errorf("volume-subpath %q is not a path inside the volume", value)
	}
	p.m.SubPath = path.Clean(value)
	return nil
}

func (p *mountParser) owner(key, value string, hasValue bool) error {
	var chown bool
	if err := setBool(&chown, key, value, hasValue); err != nil || !chown {
		return err
	}
	p.m.Options = append(p.m.Options, "U")
	return nil
}

func (p *mountParser) unknown(key string) error {
	later := []string{"volume-driver", "volume-opt", "volume-label", "relabel", "idmap", "tmpcopyup", "notmpcopyup", "exclude", "subpath", "platform"}
	if slices.Contains(later, key) {
		return fmt.Errorf("%s for type %s is not there yet", key, p.m.Type)
	}
	return fmt.Errorf("type %s has no key %q", p.m.Type, key)
}

func (p *mountParser) finish() error {
	m := &p.m
	switch m.Type {
	case "bind":
		if m.Source == "" {
			return fmt.Errorf("a bind mount needs a source")
		}
		abs, err := filepath.Abs(m.Source)
		if err != nil {
			return err
		}
		m.Source = abs
	case "tmpfs":
		if m.Source != "" {
			return fmt.Errorf("a tmpfs has no source")
		}
	case "volume":
		if m.Anonymous = m.Source == ""; !m.Anonymous {
			if err := Name(m.Source); err != nil {
				return err
			}
		}
	}
	return setTarget(m)
}

func setBool(p *bool, key, value string, hasValue bool) error {
	*p = true
	if !hasValue {
		return nil
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		return fmt.Errorf("%s is true or false, not %q", key, value)
	}
	*p = b
	return nil
}

// Tmpfs parses --tmpfs TARGET[:OPTIONS].
func Tmpfs(s string) (record.Mount, error) {
	target, options, _ := strings.Cut(s, ":")
	m := record.Mount{Type: "tmpfs", Target: target}
	for _, option := range strings.Split(options, ",") {
		key, value, hasValue := strings.Cut(option, "=")
		switch {
		case option == "" || option == "rw":
		case option == "ro":
			m.ReadOnly = true
		case slices.Contains([]string{"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"}, key) && hasValue && value != "":
			if err := tmpfsNumber(key, value); err != nil {
				return m, err
			}
			m.Options = append(m.Options, option)
		case slices.Contains([]string{"exec", "noexec", "suid", "nosuid", "dev", "nodev", "noatime", "relatime", "sync", "async", "dirsync", "nodiratime"}, option):
			m.Options = append(m.Options, option)
		case option == "tmpcopyup" || option == "notmpcopyup":
			return m, fmt.Errorf("option %q is not there yet", option)
		default:
			return m, fmt.Errorf("a tmpfs has no option %q", option)
		}
	}
	return m, setTarget(&m)
}

// tmpfsNumber checks what the kernel would only call an invalid argument.
func tmpfsNumber(key, value string) error {
	var err error
	switch key {
	case "size", "nr_blocks", "nr_inodes":
		percent, isPercent := strings.CutSuffix(value, "%")
		if isPercent && key == "size" {
			_, err = strconv.ParseUint(percent, 10, 8)
		} else {
			_, err = strconv.ParseUint(strings.TrimRight(strings.ToLower(value), "kmg"), 10, 63)
		}
	case "mode":
		_, err = strconv.ParseUint(value, 8, 12)
	case "uid", "gid":
		_, err = strconv.ParseUint(value, 10, 31)
	}
	if err != nil {
		return fmt.Errorf("%s=%s is not a number that a tmpfs takes, as in size=64m,mode=1777,uid=1000", key, value)
	}
	return nil
}
