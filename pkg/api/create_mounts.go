package api

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/mount"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/values"
)

func (c *creation) mounts() error {
	var list []record.Mount
	for _, bind := range c.host.Binds {
		if strings.HasPrefix(bind, ".") || strings.HasPrefix(bind, "~") {
			return invalid("invalid volume specification: '%s': the source is not an absolute path", bind)
		}
		m, err := values.Volume(bind)
		if err != nil {
			return invalid("invalid volume specification: '%s': %v", bind, err)
		}
		list = append(list, m)
	}
	for _, asked := range c.host.Mounts {
		m, err := mountOf(&asked)
		if err != nil {
			return invalid("invalid mount config for type %q: %v", asked.Type, err)
		}
		list = append(list, m)
	}
	for _, target := range slices.Sorted(maps.Keys(c.host.Tmpfs)) {
		m, err := values.Tmpfs(target + ":" + c.host.Tmpfs[target])
		if err != nil {
			return invalid("invalid Tmpfs %s: %v", target, err)
		}
		list = append(list, m)
	}
	for _, target := range slices.Sorted(maps.Keys(c.body.Volumes)) {
		if slices.ContainsFunc(list, func(m record.Mount) bool { return m.Target == path.Clean(target) }) {
			continue
		}
		m, err := values.Volume(target)
		if err != nil || !m.Anonymous {
			return invalid("invalid volume specification: '%s'", target)
		}
		list = append(list, m)
	}
	seen := map[string]bool{}
	for _, m := range list {
		if seen[m.Target] {
			return invalid("Duplicate mount point: %s", m.Target)
		}
		seen[m.Target] = true
	}
	for _, from := range c.host.VolumesFrom {
		if err := values.VolumesFrom(from); err != nil {
			return invalid("invalid VolumesFrom %q: %v", from, err)
		}
	}
	c.cfg.Mounts, c.opts.VolumesFrom = list, c.host.VolumesFrom
	return c.secrets()
}

// secrets turns bind mounts of a secret's name in the store into the secret: so Compose says which external ones it wants.
func (c *creation) secrets() error {
	names := c.server.opts.Dirs.SecretNames()
	kept := c.cfg.Mounts[:0]
	for _, m := range c.cfg.Mounts {
		if m.Type != "bind" || filepath.Dir(m.Source) != names {
			kept = append(kept, m)
			continue
		}
		secret, err := values.Secret(filepath.Base(m.Source) + ",target=" + m.Target)
		if err != nil {
			return invalid("invalid secret %q: %v", filepath.Base(m.Source), err)
		}
		secret.Type = "file" // Compose puts those of the environment beside it
		c.cfg.Secrets = append(c.cfg.Secrets, secret)
	}
	c.cfg.Mounts = kept
	return nil
}

// mountOf is one of HostConfig.Mounts, which are --mount as a document.
func mountOf(asked *mount.Mount) (record.Mount, error) {
	m := record.Mount{Type: string(asked.Type), Source: asked.Source, Target: asked.Target, ReadOnly: asked.ReadOnly}
	if err := rightOptions(asked); err != nil {
		return m, err
	}
	var err error
	switch asked.Type {
	case mount.TypeBind:
		err = bindMount(&m, asked.BindOptions)
	case mount.TypeVolume:
		err = volumeMount(&m, asked.VolumeOptions)
	case mount.TypeTmpfs:
		err = tmpfsMount(&m, asked.TmpfsOptions)
	case mount.TypeImage:
		if m.ReadOnly = true; m.Source == "" {
			err = fmt.Errorf("field Source must not be empty")
		} else if o := asked.ImageOptions; o != nil {
			err = setSubPath(&m, o.Subpath)
		}
	case "":
		err = fmt.Errorf("mount type unknown: it is bind, volume, tmpfs or image")
	default:
		err = fmt.Errorf("wherry has the types bind, volume, tmpfs and image")
	}
	if err != nil {
		return m, err
	}
	return m, values.Target(&m)
}

// rightOptions refuses options of another type.
func rightOptions(asked *mount.Mount) error {
	for _, o := range []struct {
		field string
		of    mount.Type
		given bool
	}{
		{"BindOptions", mount.TypeBind, asked.BindOptions != nil},
		{"VolumeOptions", mount.TypeVolume, asked.VolumeOptions != nil},
		{"TmpfsOptions", mount.TypeTmpfs, asked.TmpfsOptions != nil},
		{"ImageOptions", mount.TypeImage, asked.ImageOptions != nil},
		{"ClusterOptions", mount.TypeCluster, asked.ClusterOptions != nil},
	} {
		if o.given && o.of != asked.Type {
			return fmt.Errorf("field %s must not be specified", o.field)
		}
	}
	return nil
}

func bindMount(m *record.Mount, o *mount.BindOptions) error {
	if !filepath.IsAbs(m.Source) {
		return fmt.Errorf("invalid mount path: '%s' mount path must be absolute", m.Source)
	}
	m.Source = path.Clean(m.Source)
	if o == nil {
		return nil
	}
	if o.Propagation != "" && !slices.Contains(mount.Propagations, o.Propagation) {
		return fmt.Errorf("invalid propagation mode: %s", o.Propagation)
	}
	m.Propagation, m.NonRecurs, m.MakeSource = string(o.Propagation), o.NonRecursive, o.CreateMountpoint
	switch {
	case o.ReadOnlyNonRecursive && o.ReadOnlyForceRecursive:
		return fmt.Errorf("ReadOnlyNonRecursive and ReadOnlyForceRecursive exclude each other")
	case (o.ReadOnlyNonRecursive || o.ReadOnlyForceRecursive) && !m.ReadOnly:
		return fmt.Errorf("mount must be set ReadOnly to be made so recursively or not")
	case o.ReadOnlyNonRecursive:
		m.Below = "writable"
	case o.ReadOnlyForceRecursive:
		m.Below = "readonly"
	}
	return nil
}

func volumeMount(m *record.Mount, o *mount.VolumeOptions) error {
	if m.Anonymous = m.Source == ""; !m.Anonymous {
		if err := values.Name(m.Source); err != nil {
			return err
		}
	}
	if o == nil {
		return nil
	}
	m.NoCopy, m.Labels = o.NoCopy, o.Labels
	if d := o.DriverConfig; d != nil {
		if d.Name != "" && d.Name != "local" {
			return fmt.Errorf("there is no volume driver %q, only local", d.Name)
		}
		m.Driver, m.DriverOpts = d.Name, d.Options
	}
	return setSubPath(m, o.Subpath)
}

func setSubPath(m *record.Mount, sub string) error {
	if sub == "" {
		return nil
	}
	if path.IsAbs(sub) || !filepath.IsLocal(sub) || strings.Contains(sub, "\x00") {
		return fmt.Errorf("subpath must be a relative path within the %s", m.Type)
	}
	m.SubPath = path.Clean(sub)
	return nil
}

func tmpfsMount(m *record.Mount, o *mount.TmpfsOptions) error {
	if m.Source != "" {
		return fmt.Errorf("field Source must not be specified")
	}
	if o == nil {
		return nil
	}
	var options []string
	if o.SizeBytes > 0 {
		options = append(options, fmt.Sprintf("size=%d", o.SizeBytes))
	}
	if o.Mode > 0 {
		options = append(options, fmt.Sprintf("mode=%o", o.Mode))
	}
	for _, option := range o.Options {
		options = append(options, strings.Join(option, "="))
	}
	if m.ReadOnly {
		options = append(options, "ro")
	}
	parsed, err := values.Tmpfs(m.Target + ":" + strings.Join(options, ","))
	*m = parsed
	return err
}
