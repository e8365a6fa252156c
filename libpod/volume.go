package libpod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/events"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/nearest"
)

const (
	volumeFile = "volume.json"
	volumeData = "_data"
)

// volumeRecord is volume.json.
type volumeRecord struct {
	Version   int
	Volume    Volume
	Anonymous bool
	// Fresh volumes take the content of the image's directory at their first mount.
	Fresh bool
}

// VolumeCreate makes a volume of the local driver.
func (e *Engine) VolumeCreate(_ context.Context, opts VolumeCreateOptions) (*Volume, error) {
	if opts.Driver != "" && opts.Driver != "local" {
		return nil, errdefs.New(errdefs.ErrUnsupported, "volume driver %q is not there (only local is)", opts.Driver)
	}
	for key := range opts.Opts {
		return nil, errdefs.New(errdefs.ErrUnsupported, "volume option %q is not there yet", key)
	}
	name := firstOf(opts.Name, newVolumeName())
	if err := checkVolumeName(name); err != nil {
		return nil, err
	}
	rec, err := e.makeVolume(name, opts.Labels, opts.Name == "")
	if errors.Is(err, fs.ErrExist) {
		if rec, err = e.loadVolume(name); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	return &rec.Volume, nil
}

func checkVolumeName(name string) error {
	valid := func(r rune) bool {
		return r == '_' || r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	if name == "" || strings.ContainsRune("_.-", rune(name[0])) || strings.IndexFunc(name, func(r rune) bool { return !valid(r) }) >= 0 || len(name) > 255 {
		return errdefs.New(errdefs.ErrInvalid, "invalid volume name %q (letters, digits, and after the first also _ . -; a host path starts with / or .)", name)
	}
	return nil
}

// makeVolume makes a volume; fs.ErrExist when there is one of the name already. volume.json is the last step: a
// directory without it is a killed creator's and is made anew.
func (e *Engine) makeVolume(name string, labels map[string]string, anonymous bool) (*volumeRecord, error) {
	lock, err := e.volumes.New(name)
	if errors.Is(err, fs.ErrExist) {
		lock, err = e.volumes.Acquire(name)
	}
	if err != nil {
		return nil, fmt.Errorf("create volume %q: %w", name, err)
	}
	defer lock.Unlock()
	if e.volumes.Complete(name) {
		return nil, fmt.Errorf("volume %q: %w", name, fs.ErrExist)
	}
	faultpoint.Hit("volume.dir")
	data := filepath.Join(e.volumes.Path(name), volumeData)
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, fmt.Errorf("create volume %q: %w", name, err)
	}
	if labels == nil {
		labels = map[string]string{}
	}
	rec := &volumeRecord{Version: record.Version, Fresh: true, Anonymous: anonymous, Volume: Volume{Name: name, Driver: "local", Mountpoint: data,
		CreatedAt: time.Now().UTC(), Labels: labels, Options: map[string]string{}, Scope: "local"}}
	if err := e.writeVolume(rec); err != nil {
		return nil, err
	}
	e.noteVolume(name, "create")
	return rec, nil
}

func (e *Engine) writeVolume(rec *volumeRecord) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return e.volumes.WriteFile(rec.Volume.Name, volumeFile, data, atomicfile.Durable)
}

func (e *Engine) loadVolume(name string) (*volumeRecord, error) {
	data, err := e.volumes.ReadFile(name, volumeFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, e.unknownVolume(name)
	} else if err != nil {
		return nil, err
	}
	rec := &volumeRecord{}
	if err := json.Unmarshal(data, rec); err != nil {
		return nil, errdefs.New(errdefs.ErrBroken, "volume %q has a broken %s: %v (wherry volume rm -f %s removes it)", name, volumeFile, err, name)
	}
	if rec.Version > record.Version {
		return nil, errdefs.New(errdefs.ErrNewerVersion, "volume %q was written by a newer version of wherry (upgrade wherry; wherry volume rm -f %s removes it)", name, name)
	}
	rec.Volume.Anonymous = rec.Anonymous
	rec.Volume.Mountpoint = filepath.Join(e.volumes.Path(name), volumeData)
	return rec, nil
}

func (e *Engine) unknownVolume(name string) error {
	names, _ := e.volumes.IDs()
	if near := nearest.Of(name, names); near != "" {
		return errdefs.New(errdefs.ErrNotFound, "no volume %q (did you mean %q?)", name, near)
	}
	return errdefs.New(errdefs.ErrNotFound, "no volume %q (wherry volume ls lists them)", name)
}

// VolumeInspect returns the volume of the name.
func (e *Engine) VolumeInspect(_ context.Context, name string) (*Volume, error) {
	if err := checkVolumeName(name); err != nil {
		return nil, err
	}
	rec, err := e.loadVolume(name)
	if err != nil {
		return nil, err
	}
	return &rec.Volume, nil
}

// VolumeExists tells whether there is a volume of the name.
func (e *Engine) VolumeExists(_ context.Context, name string) (bool, error) {
	if err := checkVolumeName(name); err != nil {
		return false, err
	}
	return e.volumes.Complete(name), nil
}

// VolumeList returns the volumes that match filters (name, label, dangling, driver), by name.
func (e *Engine) VolumeList(ctx context.Context, filters map[string][]string) ([]Volume, error) {
	names, err := e.volumes.IDs()
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	match, err := e.volumeFilter(ctx, filters)
	if err != nil {
		return nil, err
	}
	var list []Volume
	for _, name := range names {
		rec, err := e.loadVolume(name)
		if errors.Is(err, errdefs.ErrNotFound) {
			continue
		}
		if err != nil {
			e.opts.Warn(err.Error())
			continue
		}
		if match(&rec.Volume) {
			list = append(list, rec.Volume)
		}
	}
	return list, nil
}

func (e *Engine) volumeFilter(ctx context.Context, filters map[string][]string) (func(*Volume) bool, error) {
	var used map[string][]string
	var tests []func(*Volume) bool
	for key, values := range filters {
		for _, value := range values {
			switch key {
			case "name":
				tests = append(tests, func(v *Volume) bool { return strings.Contains(v.Name, value) })
			case "label":
				tests = append(tests, func(v *Volume) bool { return matchLabel(v.Labels, value) })
			case "label!":
				tests = append(tests, func(v *Volume) bool { return !matchLabel(v.Labels, value) })
			case "driver":
				tests = append(tests, func(v *Volume) bool { return v.Driver == value })
			case "dangling":
				want, err := parseBool(key, value)
				if err != nil {
					return nil, err
				}
				if used, err = e.volumeUsers(ctx); err != nil {
					return nil, err
				}
				tests = append(tests, func(v *Volume) bool { return (len(used[v.Name]) == 0) == want })
			default:
				return nil, errdefs.New(errdefs.ErrInvalid, "unknown volume filter %q (name, label, driver, dangling)", key)
			}
		}
	}
	return func(v *Volume) bool {
		return !slices.ContainsFunc(tests, func(ok func(*Volume) bool) bool { return !ok(v) })
	}, nil
}

// volumeUsers maps each volume that a container names to those containers' ids.
func (e *Engine) volumeUsers(_ context.Context) (map[string][]string, error) {
	ids, err := e.containers.IDs()
	users := map[string][]string{}
	for _, id := range ids {
		c, err := e.load(id)
		if err != nil {
			continue
		}
		for _, m := range c.Mounts {
			if m.Type == "volume" {
				users[m.Source] = append(users[m.Source], id)
			}
		}
	}
	return users, err
}

// VolumeRemove removes a volume that no container uses; with force also the containers that use it and do not run.
func (e *Engine) VolumeRemove(ctx context.Context, name string, force bool) error {
	if err := checkVolumeName(name); err != nil {
		return err
	}
	if force {
		users, err := e.volumeUsers(ctx)
		if err != nil {
			return err
		}
		for _, id := range users[name] {
			if err := e.Remove(ctx, id, RemoveOptions{}); err != nil && !errors.Is(err, errdefs.ErrNotFound) {
				return err
			}
		}
	}
	err := e.removeVolume(name, force)
	if force && errors.Is(err, errdefs.ErrNotFound) {
		return nil
	}
	return err
}

// removeVolume removes the volume unless a container uses it. Creators write their record before they take the
// volume's lock, so a user that comes while we hold it is seen, or finds the volume gone and makes it again.
func (e *Engine) removeVolume(name string, broken bool) error {
	lock, err := e.volumes.Acquire(name)
	if errors.Is(err, errdefs.ErrNotFound) {
		return e.unknownVolume(name)
	} else if err != nil {
		return err
	}
	defer lock.Unlock()
	if _, err := e.loadVolume(name); err != nil && !broken && (errors.Is(err, errdefs.ErrBroken) || errors.Is(err, errdefs.ErrNewerVersion)) {
		return err
	}
	users, err := e.volumeUsers(context.Background()) // the check must not be cut short by a cancel
	if err != nil {
		return err
	}
	if len(users[name]) > 0 {
		return errdefs.New(errdefs.ErrInUse, "volume %q is in use by %s (remove that container first)", name, e.displayNames(users[name]))
	}
	if err := e.volumes.Remove(name); err != nil {
		return err
	}
	e.noteVolume(name, "destroy")
	return nil
}

func (e *Engine) displayNames(ids []string) string {
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		if c, err := e.load(id); err == nil {
			id = c.name()
		}
		names = append(names, id)
	}
	return strings.Join(names, ", ")
}

// VolumePrune removes unused volumes: the anonymous ones, with all also the named ones. It returns their names and the
// bytes they took.
func (e *Engine) VolumePrune(ctx context.Context, filters map[string][]string, all bool) ([]string, int64, error) {
	list, err := e.VolumeList(ctx, filters)
	if err != nil {
		return nil, 0, err
	}
	var removed []string
	var reclaimed int64
	for _, v := range list {
		if !all && !v.Anonymous {
			continue
		}
		size := treeSize(v.Mountpoint)
		switch rmErr := e.removeVolume(v.Name, false); {
		case rmErr == nil:
			removed = append(removed, v.Name)
			reclaimed += size
		case !errors.Is(rmErr, errdefs.ErrInUse) && !errors.Is(rmErr, errdefs.ErrNotFound):
			err = errors.Join(err, rmErr)
		}
	}
	e.notePrune(events.Volume, reclaimed)
	return removed, reclaimed, err
}
