package values

import (
	"encoding/csv"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
)

// Mount parses --mount type=...,key=value,...: Docker's keys and their aliases in Podman. The type glob makes several.
func Mount(s string) ([]record.Mount, error) {
	fields, err := csvFields(s)
	if err != nil {
		return nil, err
	}
	p := mountParser{m: record.Mount{Type: "volume"}}
	for _, field := range fields {
		if key, value, _ := strings.Cut(field, "="); strings.ToLower(key) == "type" {
			p.m.Type = value
		}
	}
	switch p.m.Type {
	case "bind", "volume", "tmpfs", "ramfs", "devpts":
	case "image":
		p.m.ReadOnly = true
	case "glob":
		p.glob, p.m.Type = true, "bind"
	case "npipe":
		return nil, fmt.Errorf("type npipe is for Windows only")
	case "cluster":
		return nil, fmt.Errorf("type cluster needs Docker's cluster volumes, which wherry does not have (use type=volume)")
	case "artifact":
		return nil, fmt.Errorf("type artifact is not there yet")
	default:
		return nil, fmt.Errorf("there is no type %q, only bind, volume, tmpfs, image, glob, devpts and ramfs", p.m.Type)
	}
	for _, field := range fields {
		if err := p.field(field); err != nil {
			return nil, err
		}
	}
	return p.finish()
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
	m    record.Mount
	glob bool
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
	case "rw", "readwrite":
		var rw bool
		err := setBool(&rw, key, value, hasValue)
		p.m.ReadOnly = !rw
		return err
	case "consistency":
		return OneOf(value, "consistent", "cached", "delegated", "default") // all the same on Linux
	case "exec", "noexec", "suid", "nosuid", "dev", "nodev":
		return p.flag(key, value, hasValue)
	default:
		return p.typed(key, value, hasValue)
	}
	if !hasValue || value == "" {
		return fmt.Errorf("%s needs a value", key)
	}
	return nil
}

// flag takes exec and its like, which may be written as noexec or as exec=false.
func (p *mountParser) flag(key, value string, hasValue bool) error {
	on := true
	if err := setBool(&on, key, value, hasValue); err != nil {
		return err
	}
	bare, no := strings.CutPrefix(key, "no")
	if no == on {
		bare = "no" + bare
	}
	p.m.Options = append(p.m.Options, bare)
	return nil
}

// typed takes the keys that belong to some types.
func (p *mountParser) typed(key, value string, hasValue bool) error {
	var take func(key, value string, hasValue bool) (bool, error)
	switch p.m.Type {
	case "bind":
		take = p.bindKey
	case "volume":
		take = p.volumeKey
	case "tmpfs", "ramfs":
		take = p.tmpfsKey
	case "devpts":
		take = p.devptsKey
	case "image":
		take = p.imageKey
	}
	if taken, err := take(key, value, hasValue); taken || err != nil {
		return err
	}
	return fmt.Errorf("type %s has no key %q", p.m.Type, key)
}

func (p *mountParser) bindKey(key, value string, hasValue bool) (bool, error) {
	switch key {
	case "bind-nonrecursive":
		return true, setBool(&p.m.NonRecurs, key, value, hasValue)
	case "bind-recursive":
		return true, p.recursive(value)
	case "bind-create-src", "create-host-path":
		return true, setBool(&p.m.MakeSource, key, value, hasValue)
	case "no-dereference":
		return true, fmt.Errorf("no-dereference is not there yet")
	}
	return p.hostKey(key, value, hasValue)
}

// hostKey takes the keys of mounts whose source are files of the host.
func (p *mountParser) hostKey(key, value string, hasValue bool) (bool, error) {
	switch key {
	case "bind-propagation":
		if !slices.Contains(propagations(), value) {
			return true, fmt.Errorf("there is no propagation %q, only %s", value, strings.Join(propagations(), ", "))
		}
		p.m.Propagation = value
	case "relabel":
		p.m.Relabel = map[string]string{"shared": "z", "private": "Z"}[value]
		return true, OneOf(value, "shared", "private")
	case "z":
		p.m.Relabel = key
	case "u", "chown":
		return true, p.owner(key, value, hasValue)
	case "idmap":
		if p.m.Type != "bind" && p.m.Type != "volume" {
			return true, fmt.Errorf("idmap is for the types bind and volume")
		}
		return true, idMapOption(&p.m, value)
	default:
		return false, nil
	}
	return true, nil
}

func (p *mountParser) volumeKey(key, value string, hasValue bool) (bool, error) {
	switch key {
	case "volume-nocopy", "nocopy":
		return true, setBool(&p.m.NoCopy, key, value, hasValue)
	case "copy":
		copies := true
		err := setBool(&copies, key, value, hasValue)
		p.m.NoCopy = !copies
		return true, err
	case "volume-subpath", "subpath":
		return true, p.subPath(key, value)
	case "volume-driver":
		p.m.Driver = value
		return true, OneOf(value, "local")
	case "volume-opt":
		return true, addPair(&p.m.DriverOpts, key, value)
	case "volume-label":
		return true, addPair(&p.m.Labels, key, value)
	}
	return p.hostKey(key, value, hasValue)
}

func addPair(to *map[string]string, key, pair string) error {
	name, value, _ := strings.Cut(pair, "=")
	if name == "" {
		return fmt.Errorf("%s looks like %s=KEY=VALUE", key, key)
	}
	if *to == nil {
		*to = map[string]string{}
	}
	(*to)[name] = value
	return nil
}

func (p *mountParser) tmpfsKey(key, value string, hasValue bool) (bool, error) {
	typed := key
	key = strings.TrimPrefix(strings.TrimPrefix(key, "tmpfs-"), "ramfs-")
	switch key {
	case "mode":
		mode, err := strconv.ParseUint(value, 8, 32)
		if err != nil || mode > 0o7777 {
			return true, fmt.Errorf("%s %q is not an octal mode", typed, value)
		}
		p.m.Options = append(p.m.Options, fmt.Sprintf("mode=%o", mode))
	case "tmpcopyup", "notmpcopyup":
		if p.m.Type == "ramfs" {
			return true, fmt.Errorf("a ramfs has no %s (use type=tmpfs)", key)
		}
		return true, p.copyUp(key, value, hasValue)
	case "size", "uid", "gid", "nr_inodes", "nr_blocks", "u", "chown":
		if p.m.Type == "ramfs" {
			return true, fmt.Errorf("a ramfs has no %s (use type=tmpfs)", key)
		}
		return true, p.tmpfsOwn(key, value, hasValue)
	default:
		return false, nil
	}
	return true, nil
}

func (p *mountParser) tmpfsOwn(key, value string, hasValue bool) error {
	switch {
	case key == "u" || key == "chown":
		return p.owner(key, value, hasValue)
	case key == "size" && !strings.HasSuffix(value, "%"):
		n, err := Bytes(value)
		if err != nil {
			return fmt.Errorf("%s %q: %w", key, value, err)
		}
		value = strconv.FormatInt(n, 10)
	}
	if err := tmpfsNumber(key, value); err != nil {
		return err
	}
	p.m.Options = append(p.m.Options, key+"="+value)
	return nil
}

func (p *mountParser) copyUp(key, value string, hasValue bool) error {
	on := true
	if err := setBool(&on, key, value, hasValue); err != nil {
		return err
	}
	p.m.Options = slices.DeleteFunc(p.m.Options, func(o string) bool { return o == "tmpcopyup" })
	if on == (key == "tmpcopyup") {
		p.m.Options = append(p.m.Options, "tmpcopyup")
	}
	return nil
}

func (p *mountParser) devptsKey(key, value string, _ bool) (bool, error) {
	base := 10
	switch key {
	case "mode":
		base = 8
	case "uid", "gid", "max":
	default:
		return false, nil
	}
	if _, err := strconv.ParseUint(value, base, 31); err != nil {
		return true, fmt.Errorf("%s=%s is not a number that devpts takes", key, value)
	}
	p.m.Options = append(p.m.Options, key+"="+value)
	return true, nil
}

func (p *mountParser) imageKey(key, value string, _ bool) (bool, error) {
	switch key {
	case "subpath", "image-subpath":
		return true, p.subPath(key, value)
	case "platform":
		return true, fmt.Errorf("platform is not there yet for type image (pull the one you want, and name it by its id)")
	}
	return false, nil
}

// recursive is Docker's bind-recursive: whether what is mounted below the source comes along, and is read-only with it.
func (p *mountParser) recursive(value string) error {
	switch value {
	case "enabled":
	case "disabled":
		p.m.NonRecurs = true
	case "writable", "readonly":
		p.m.Below = value
	default:
		return fmt.Errorf("bind-recursive is enabled, disabled, writable or readonly, not %q", value)
	}
	return nil
}

func (p *mountParser) subPath(key, value string) error {
	if value == "" || path.IsAbs(value) || !filepath.IsLocal(value) || strings.Contains(value, "\x00") {
		return fmt.Errorf("%s %q is not a path inside the %s", key, value, p.m.Type)
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

func (p *mountParser) finish() ([]record.Mount, error) {
	m := &p.m
	switch m.Type {
	case "bind":
		if m.Source == "" {
			return nil, fmt.Errorf("a bind mount needs a source")
		}
		abs, err := filepath.Abs(m.Source)
		if err != nil {
			return nil, err
		}
		m.Source = abs
		if m.Below == "readonly" && !m.ReadOnly {
			return nil, fmt.Errorf("bind-recursive=readonly goes with readonly")
		}
	case "tmpfs", "ramfs", "devpts":
		if m.Source != "" {
			return nil, fmt.Errorf("a %s has no source", m.Type)
		}
	case "image":
		if m.Source == "" {
			return nil, fmt.Errorf("an image mount needs a source, the image's name")
		}
	case "volume":
		if m.Anonymous = m.Source == ""; !m.Anonymous {
			if err := Name(m.Source); err != nil {
				return nil, err
			}
		}
	}
	if p.glob {
		return p.globbed()
	}
	return []record.Mount{*m}, Target(m)
}

// globbed is a mount for each file that the pattern finds, under its own name below the target.
func (p *mountParser) globbed() ([]record.Mount, error) {
	found, err := filepath.Glob(p.m.Source)
	if err != nil {
		return nil, fmt.Errorf("%q is not a pattern: %w", p.m.Source, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no file matches %q", p.m.Source)
	}
	if err := Target(&p.m); err != nil && p.m.Target != "/" {
		return nil, err
	}
	mounts := make([]record.Mount, len(found))
	for i, file := range found {
		mounts[i] = p.m
		mounts[i].Source, mounts[i].Target = file, path.Join(p.m.Target, filepath.Base(file))
	}
	return mounts, nil
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
