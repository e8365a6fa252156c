package libpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/safepath"
)

// makeVolumes makes the volumes that cfg names and that are not there.
func (e *Engine) makeVolumes(_ context.Context, cfg *record.Config) error {
	for _, m := range cfg.Mounts {
		if m.Type != "volume" {
			continue
		}
		if err := checkVolumeName(m.Source); err != nil {
			return err
		}
		if _, err := e.makeVolume(m.Source, nil, m.Anonymous); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// mounts turns the wished mounts into the runtime's. Shorter targets come first, so that a mount inside another is
// seen.
func (s *startup) mounts(ctx context.Context, in *spec.Input) ([]specs.Mount, error) {
	root := in.Root
	wished := slices.Clone(s.c.Mounts)
	slices.SortStableFunc(wished, func(a, b record.Mount) int { return len(a.Target) - len(b.Target) })
	list := make([]specs.Mount, 0, len(wished))
	for _, m := range wished {
		var got specs.Mount
		var err error
		switch m.Type {
		case "bind":
			got, err = bindMount(m, root)
		case "volume":
			got, err = s.volumeMount(ctx, m, root)
		case "tmpfs":
			got, err = tmpfsMount(in, m)
		default:
			err = errdefs.New(errdefs.ErrUnsupported, "mount type %q is not there yet (bind, volume and tmpfs are)", m.Type)
		}
		if err != nil {
			return nil, err
		}
		if err := makeTarget(in, wished, m, got); err != nil {
			return nil, err
		}
		list = append(list, got)
	}
	return list, giveAway(in, wished, list)
}

func bindMount(m record.Mount, root string) (specs.Mount, error) {
	source, err := os.Stat(m.Source)
	if errors.Is(err, fs.ErrNotExist) && m.MakeSource {
		if err = os.MkdirAll(m.Source, 0o755); err != nil {
			return specs.Mount{}, errdefs.New(errdefs.ErrInvalid, "cannot make %q, the source of the mount at %q: %v", m.Source, m.Target, err)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return specs.Mount{}, errdefs.New(errdefs.ErrNotFound, "source %q of the mount at %q does not exist (make it first, or use -v, which does)", m.Source, m.Target)
	} else if err != nil {
		return specs.Mount{}, errdefs.New(errdefs.ErrInvalid, "source of the mount at %q: %v", m.Target, err)
	}
	if err := checkKind(m, source, root); err != nil {
		return specs.Mount{}, err
	}
	kind := "rbind"
	if m.NonRecurs {
		kind = "bind"
	}
	return specs.Mount{Type: "bind", Source: m.Source, Destination: m.Target, Options: bindOptions(m, kind)}, nil
}

// makeTarget makes the directory that a link of the image at m's target points to. The runtime makes missing targets,
// but not behind links.
func makeTarget(in *spec.Input, wished []record.Mount, m record.Mount, got specs.Mount) error {
	inOther := func(o record.Mount) bool { return o.Target != m.Target && within(m.Target, o.Target) }
	if _, err := safepath.StatIn(in.Root, m.Target); !errors.Is(err, fs.ErrNotExist) || slices.ContainsFunc(wished, inOther) {
		return nil
	}
	if source, err := os.Stat(got.Source); got.Type == "bind" && err == nil && !source.IsDir() {
		return nil
	}
	if err := makeDir(in, m.Target); err != nil {
		return fmt.Errorf("make the target of a mount: %w", err)
	}
	return nil
}

// checkKind refuses a file over a directory of the image and the reverse. Source is nil for a directory just made.
func checkKind(m record.Mount, source os.FileInfo, root string) error {
	target, err := safepath.StatIn(root, m.Target)
	if err != nil {
		return nil // it is made as the source is
	}
	isDir := source == nil || source.IsDir()
	switch {
	case isDir && !target.IsDir():
		return errdefs.New(errdefs.ErrInvalid, "cannot mount directory %q over %q, which is a file in the image", m.Source, m.Target)
	case !isDir && target.IsDir():
		return errdefs.New(errdefs.ErrInvalid, "cannot mount file %q over %q, which is a directory in the image (name a file)", m.Source, m.Target)
	}
	return nil
}

func bindOptions(m record.Mount, kind string) []string {
	options := append([]string{kind, firstOf(m.Propagation, "rprivate")}, kernelOptions(m.Options)...)
	if m.ReadOnly {
		options = append(options, "ro")
	}
	return options
}

// kernelOptions leaves out what is ours to do.
func kernelOptions(options []string) []string {
	return slices.DeleteFunc(slices.Clone(options), func(o string) bool { return o == "U" || o == "rw" || o == "ro" })
}

// tmpfsMount has Docker's defaults, which the options may override. Over a directory of the image it has that one's
// mode and owner, which runc would see to and crun would not.
func tmpfsMount(in *spec.Input, m record.Mount) (specs.Mount, error) {
	options := []string{"nosuid", "nodev", "noexec"}
	if over, err := safepath.StatIn(in.Root, m.Target); err == nil && over.IsDir() {
		like, err := ownerOptions(in, over)
		if err != nil {
			return specs.Mount{}, err
		}
		options = append(options, like...)
	} else if err == nil {
		return specs.Mount{}, errdefs.New(errdefs.ErrInvalid, "cannot mount a tmpfs over %q, which is a file in the image", m.Target)
	}
	options = append(options, kernelOptions(m.Options)...)
	options = slices.DeleteFunc(options, func(o string) bool {
		allowed, isDefault := strings.CutPrefix(o, "no")
		return isDefault && slices.Contains(m.Options, allowed)
	})
	if m.ReadOnly {
		options = append(options, "ro")
	}
	return specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: m.Target, Options: options}, nil
}

// ownerOptions are the options that give a tmpfs the mode and the owner of a directory.
func ownerOptions(in *spec.Input, dir os.FileInfo) ([]string, error) {
	uids, gids, err := spec.IDMappings(*in)
	st, ok := dir.Sys().(*syscall.Stat_t)
	if err != nil || !ok {
		return nil, err
	}
	return []string{fmt.Sprintf("mode=%o", st.Mode&0o7777), fmt.Sprintf("uid=%d", inner(uids, st.Uid)), fmt.Sprintf("gid=%d", inner(gids, st.Gid))}, nil
}

// volumeMount mounts a volume, which is made again if it was removed meanwhile. A fresh one takes over the content of
// the image's directory.
func (s *startup) volumeMount(ctx context.Context, m record.Mount, root string) (specs.Mount, error) {
	e := s.e
	if _, err := e.makeVolume(m.Source, nil, m.Anonymous); err != nil && !errors.Is(err, fs.ErrExist) {
		return specs.Mount{}, err
	}
	source := filepath.Join(e.volumes.Path(m.Source), volumeData)
	err := e.volumes.WithLock(ctx, m.Source, func() error {
		rec, err := e.loadVolume(m.Source)
		if err != nil || !rec.Fresh {
			return err
		}
		if !m.NoCopy {
			if err := copyUp(ctx, root, m.Target, source); err != nil {
				return fmt.Errorf("copy the image's %q into volume %q: %w", m.Target, m.Source, err)
			}
		}
		faultpoint.Hit("volume.copied")
		rec.Fresh = false
		return e.writeVolume(rec)
	})
	if err != nil {
		return specs.Mount{}, err
	}
	if m.SubPath != "" {
		if source, err = subPath(source, m); err != nil {
			return specs.Mount{}, err
		}
	}
	return specs.Mount{Type: "bind", Source: source, Destination: m.Target, Options: bindOptions(m, "rbind")}, nil
}

// subPath resolves a directory inside a volume, whose content is not to be trusted: links do not lead out of it.
func subPath(volume string, m record.Mount) (string, error) {
	f, err := safepath.OpenIn(volume, m.SubPath, os.O_RDONLY, 0)
	if err != nil {
		return "", errdefs.New(errdefs.ErrNotFound, "volume %q has no %q to mount at %q (%v)", m.Source, m.SubPath, m.Target, errors.Unwrap(err))
	}
	defer f.Close()
	real, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil || !strings.HasPrefix(real+"/", volume+"/") {
		return "", errdefs.New(errdefs.ErrInvalid, "volume-subpath %q leads out of volume %q", m.SubPath, m.Source)
	}
	return real, nil
}
