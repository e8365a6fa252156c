package libpod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
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
	// Importing says that an import is unpacked and to be moved to the data.
	Importing bool `json:",omitempty"`
}

// VolumeCreate makes a volume of the local driver. One of the name that is there is returned as it is, if it has the same
// options.
func (e *Engine) VolumeCreate(_ context.Context, opts VolumeCreateOptions) (*Volume, error) {
	anonymous := opts.Name == ""
	opts.Name = firstOf(opts.Name, newVolumeName())
	rec, err := e.makeVolume(opts, anonymous)
	if errors.Is(err, fs.ErrExist) {
		if rec, err = e.loadVolume(opts.Name); err != nil {
			return nil, err
		}
		if !opts.Ignore && len(opts.Opts) > 0 && !maps.Equal(opts.Opts, rec.Volume.Options) {
			return nil, errdefs.New(errdefs.ErrNameInUse, "volume %q is there already with other options (remove it first, or use --ignore)", opts.Name)
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
func (e *Engine) makeVolume(opts VolumeCreateOptions, anonymous bool) (*volumeRecord, error) {
	if opts.Driver != "" && opts.Driver != "local" {
		return nil, errdefs.New(errdefs.ErrUnsupported, "volume driver %q is not there (only local is)", opts.Driver)
	}
	v, err := parseVolumeOpts(opts.Opts)
	if err == nil {
		err = v.checkRights(e.host().rootless)
	}
	if err == nil {
		err = checkVolumeName(opts.Name)
	}
	if err != nil {
		return nil, err
	}
	lock, err := e.volumes.New(opts.Name)
	if errors.Is(err, fs.ErrExist) {
		lock, err = e.volumes.Acquire(opts.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("create volume %q: %w", opts.Name, err)
	}
	defer lock.Unlock()
	if e.volumes.Complete(opts.Name) {
		return nil, fmt.Errorf("volume %q: %w", opts.Name, fs.ErrExist)
	}
	faultpoint.Hit("volume.dir")
	data := e.volumeData(opts.Name)
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, fmt.Errorf("create volume %q: %w", opts.Name, err)
	}
	if err := giveVolume(data, v, opts); err != nil {
		return nil, fmt.Errorf("create volume %q: %w", opts.Name, err)
	}
	rec := &volumeRecord{Version: record.Version, Fresh: true, Anonymous: anonymous, Volume: Volume{Name: opts.Name, Driver: "local", Mountpoint: data,
		CreatedAt: time.Now().UTC(), Labels: orEmptyMap(opts.Labels), Options: orEmptyMap(opts.Opts), Scope: "local"}}
	if err := e.writeVolume(rec); err != nil {
		return nil, err
	}
	e.noteVolume(opts.Name, "create")
	rec.Volume.Anonymous = anonymous
	return rec, nil
}

// giveVolume makes the wished user the owner of a volume's directory.
func giveVolume(data string, v volumeMount, opts VolumeCreateOptions) error {
	uid, gid := v.uid, v.gid
	if opts.UID != nil {
		uid = *opts.UID
	}
	if opts.GID != nil {
		gid = *opts.GID
	}
	if uid < 0 && gid < 0 {
		return nil
	}
	err := os.Chown(data, uid, gid)
	if errors.Is(err, syscall.EINVAL) {
		return errdefs.New(errdefs.ErrInvalid, "owner %d:%d is not in this user namespace (use smaller ids, or add a larger range to /etc/subuid and /etc/subgid)", uid, gid)
	}
	return err
}

func orEmptyMap(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
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

// VolumeRemoveOptions is what `volume rm` needs.
type VolumeRemoveOptions struct {
	Force   bool // remove the containers that use it too; an unknown volume is no error
	Timeout *int // seconds until a container that runs is killed; nil: it must not run
}

// VolumeRemove removes a volume that no container uses; with Force also the containers that use it.
func (e *Engine) VolumeRemove(ctx context.Context, name string, opts VolumeRemoveOptions) error {
	if err := checkVolumeName(name); err != nil {
		return err
	}
	if opts.Force {
		users, err := e.volumeUsers(ctx)
		if err != nil {
			return err
		}
		for _, id := range users[name] {
			err := e.Remove(ctx, id, RemoveOptions{Force: opts.Timeout != nil, Timeout: opts.Timeout})
			if err != nil && !errors.Is(err, errdefs.ErrNotFound) {
				return err
			}
		}
	}
	err := e.removeVolume(name, opts.Force)
	if opts.Force && errors.Is(err, errdefs.ErrNotFound) {
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
	if err := e.unmountVolume(name); err != nil {
		return err
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
