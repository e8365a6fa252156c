package libpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/hostfacts"
	"github.com/wherry-containers/wherry/pkg/safepath"
)

// mounts turns the wished mounts into the runtime's. Shorter targets come first, so that a mount inside another is
// seen.
func (s *startup) mounts(ctx context.Context, in *spec.Input) ([]specs.Mount, error) {
	root := in.Root
	wished := withTmpfs(s.c.Mounts, s.c.Rootfs)
	slices.SortStableFunc(wished, func(a, b record.Mount) int { return len(a.Target) - len(b.Target) })
	list := make([]specs.Mount, 0, len(wished))
	for _, m := range wished {
		var got specs.Mount
		var err error
		switch m.Type {
		case "bind":
			got, err = s.bindMount(ctx, m, root)
		case "volume":
			got, err = s.volumeMount(ctx, m, root)
		case "image":
			got, err = s.imageMount(ctx, m, root)
		case "tmpfs", "ramfs":
			got, err = tmpfsMount(in, m)
		case "devpts":
			got = devptsMount(m)
		default:
			err = errdefs.New(errdefs.ErrUnsupported, "mount type %q is not known to this version of wherry", m.Type)
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

func (s *startup) bindMount(ctx context.Context, m record.Mount, root string) (specs.Mount, error) {
	if isDockerSocket(m.Source) {
		var err error
		if m.Source, err = s.e.dockerSocket(m); err != nil {
			return specs.Mount{}, err
		}
	}
	info, err := os.Stat(m.Source)
	if errors.Is(err, fs.ErrNotExist) && m.MakeSource {
		if err = os.MkdirAll(m.Source, 0o755); err != nil {
			return specs.Mount{}, errdefs.New(errdefs.ErrInvalid, "cannot make %q, the source of the mount at %q: %v", m.Source, m.Target, err)
		}
	}
	if err != nil {
		return specs.Mount{}, sourceError(m, err)
	}
	if err := checkKind(m, info, root); err != nil {
		return specs.Mount{}, err
	}
	return s.hostMount(ctx, m, m.Source)
}

// sourceError says what is wrong with the source of a bind mount.
func sourceError(m record.Mount, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errdefs.New(errdefs.ErrNotFound, "bind source path %q of the mount at %q does not exist (make it first, or use -v, which does)", m.Source, m.Target)
	}
	return errdefs.New(errdefs.ErrInvalid, "source of the mount at %q: %v", m.Target, err)
}

// hostMount binds source, or an overlay of it.
func (s *startup) hostMount(ctx context.Context, m record.Mount, source string) (specs.Mount, error) {
	if err := relabel(m, source); err != nil {
		return specs.Mount{}, err
	}
	var err error
	switch {
	case m.Overlay:
		source, err = s.overlaid(ctx, m, source)
	case s.peers[m.Target] != nil:
		source, err = s.peer(m.Target)
	case m.NonRecurs && hasMountsBelow(source):
		source, err = s.alone(m, source)
	}
	if err == nil && m.IDMap != "" {
		source, err = s.idMapped(m, source)
	}
	if err != nil {
		return specs.Mount{}, err
	}
	kind := "rbind"
	if m.NonRecurs {
		kind = "bind"
	}
	options, err := bindOptions(m, kind, source)
	return specs.Mount{Type: "bind", Source: source, Destination: m.Target, Options: options}, err
}

// relabel is for SELinux; where that is off, the label means nothing, as in Podman.
func relabel(m record.Mount, source string) error {
	if m.Relabel == "" || !hostfacts.SELinux() {
		return nil
	}
	return errdefs.New(errdefs.ErrUnsupported, "option %s of the mount at %q: wherry does not relabel (leave it out, and chcon -R -t container_file_t %s yourself)", m.Relabel, m.Target, source)
}

func (s *startup) imageMount(ctx context.Context, m record.Mount, root string) (specs.Mount, error) {
	source, err := s.imageSource(ctx, m)
	if err != nil {
		return specs.Mount{}, err
	}
	info, err := os.Stat(source)
	if err != nil {
		return specs.Mount{}, err
	}
	if err := checkKind(m, info, root); err != nil {
		return specs.Mount{}, err
	}
	options, err := bindOptions(m, "rbind", source)
	return specs.Mount{Type: "bind", Source: source, Destination: m.Target, Options: options}, err
}

func devptsMount(m record.Mount) specs.Mount {
	options := []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666"}
	if !slices.ContainsFunc(m.Options, func(o string) bool { return strings.HasPrefix(o, "mode=") }) {
		options = append(options, "mode=0620")
	}
	options = append(options, m.Options...)
	if m.ReadOnly {
		options = append(options, "ro")
	}
	return specs.Mount{Type: "devpts", Source: "devpts", Destination: m.Target, Options: options}
}

// withTmpfs adds the tmpfs that go with a read-only root, where nothing else is mounted.
func withTmpfs(wished []record.Mount, r record.Rootfs) []record.Mount {
	mounts := slices.Clone(wished)
	if !r.ReadOnly || !r.Tmpfs {
		return mounts
	}
	for _, target := range []string{"/run", "/tmp", "/var/tmp"} {
		taken := slices.ContainsFunc(wished, func(m record.Mount) bool { return m.Target == target })
		options := []string{"exec", "tmpcopyup"}
		if target != "/run" {
			options = append(options, "mode=1777")
		}
		if !taken {
			mounts = append(mounts, record.Mount{Type: "tmpfs", Target: target, Options: options})
		}
	}
	return mounts
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

// bindOptions are the runtime's. What is mounted below a read-only source is read-only too where the kernel can do that,
// as in Docker.
func bindOptions(m record.Mount, kind, source string) ([]string, error) {
	options := append([]string{kind, firstOf(m.Propagation, "rprivate")}, kernelOptions(m.Options)...)
	if !m.ReadOnly {
		return options, nil
	}
	options = append(options, "ro")
	if kind == "bind" || m.Below == "writable" || !hasMountsBelow(source) {
		return options, nil
	}
	switch {
	case canReachBelow():
		options = append(options, "rro")
	case m.Below == "readonly":
		return nil, errdefs.New(errdefs.ErrUnsupported, "bind-recursive=readonly of the mount at %q needs Linux 5.12", m.Target)
	}
	return options, nil
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
		like, err := ownerOptions(in, over, m.Type)
		if err != nil {
			return specs.Mount{}, err
		}
		options = append(options, like...)
	} else if err == nil {
		return specs.Mount{}, errdefs.New(errdefs.ErrInvalid, "cannot mount a %s over %q, which is a file in the image", m.Type, m.Target)
	}
	options = append(options, kernelOptions(m.Options)...)
	options = slices.DeleteFunc(options, func(o string) bool {
		allowed, isDefault := strings.CutPrefix(o, "no")
		return isDefault && slices.Contains(m.Options, allowed)
	})
	if m.ReadOnly {
		options = append(options, "ro")
	}
	if givesAway(m) {
		options = append(options, fmt.Sprintf("uid=%d", in.User.UID), fmt.Sprintf("gid=%d", in.User.GID))
	}
	return specs.Mount{Type: m.Type, Source: m.Type, Destination: m.Target, Options: options}, nil
}

// ownerOptions are the options that give a tmpfs the mode and the owner of a directory; a ramfs knows only modes.
func ownerOptions(in *spec.Input, dir os.FileInfo, fstype string) ([]string, error) {
	uids, gids, err := spec.IDMappings(*in)
	st, ok := dir.Sys().(*syscall.Stat_t)
	if err != nil || !ok {
		return nil, err
	}
	mode := fmt.Sprintf("mode=%o", st.Mode&0o7777)
	if fstype == "ramfs" {
		return []string{mode}, nil
	}
	return []string{mode, fmt.Sprintf("uid=%d", inner(uids, st.Uid)), fmt.Sprintf("gid=%d", inner(gids, st.Gid))}, nil
}
