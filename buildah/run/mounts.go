package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/safepath"
)

// mounts makes the sources of the step's mounts safe to name: what is below a directory that others may write to, or that
// an image's author made, is opened without leaving it and bound to a place of ours, which nobody can exchange any more.
func (st *step) mounts() ([]specs.Mount, error) {
	var out []specs.Mount
	at := map[string]int{}
	for i, m := range st.Mounts {
		target := m.Target
		if !path.IsAbs(target) {
			target = path.Join(st.cwd(), target)
		}
		if target = path.Clean(target); target == "/" {
			return nil, errdefs.New(errdefs.ErrInvalid, "a mount at / (the step's root is there)")
		}
		made, err := st.mount(i, m, target)
		if err != nil {
			return nil, fmt.Errorf("mount %s: %w", target, err)
		}
		made.Destination = target
		if before, ok := at[target]; ok { // the last one counts
			out[before] = made
			continue
		}
		at[target] = len(out)
		out = append(out, made)
	}
	return out, nil
}

func (st *step) mount(i int, m Mount, target string) (specs.Mount, error) {
	switch m.Type {
	case pb.MountType_TMPFS:
		return st.tmpfs(m, target), nil
	case pb.MountType_SECRET:
		source, err := st.secret(i, m)
		return bind(source, true, "nosuid", "nodev", "noexec"), err
	case pb.MountType_SSH:
		source, err := st.pin(i, filepath.Dir(m.Source), filepath.Base(m.Source))
		return bind(source, m.ReadOnly, "nosuid", "nodev", "noexec"), err
	case pb.MountType_BIND, pb.MountType_CACHE:
		source, err := st.pin(i, m.Source, m.Selector)
		return bind(source, m.ReadOnly), err
	}
	return specs.Mount{}, errdefs.New(errdefs.ErrUnsupported, "mounts of type %s are not known", m.Type)
}

func bind(source string, readOnly bool, options ...string) specs.Mount {
	if readOnly {
		options = append(options, "ro")
	}
	return specs.Mount{Type: "bind", Source: source, Options: append([]string{"bind", "rprivate"}, options...)}
}

// tmpfs has the mode of the directory that it hides, as the runtimes have it.
func (st *step) tmpfs(m Mount, target string) specs.Mount {
	mode := uint32(0o1777)
	if info, err := safepath.StatIn(st.root, target); err == nil && info.IsDir() {
		mode = unixMode(info.Mode())
	}
	options := []string{"nosuid", fmt.Sprintf("mode=%o", mode)}
	if m.ReadOnly {
		options = append(options, "ro")
	}
	if m.Size > 0 {
		options = append(options, "size="+strconv.FormatInt(m.Size, 10))
	}
	return specs.Mount{Type: "tmpfs", Source: "tmpfs", Options: options}
}

func unixMode(mode fs.FileMode) uint32 {
	bits := uint32(mode.Perm())
	if mode&fs.ModeSticky != 0 {
		bits |= unix.S_ISVTX
	}
	if mode&fs.ModeSetgid != 0 {
		bits |= unix.S_ISGID
	}
	if mode&fs.ModeSetuid != 0 {
		bits |= unix.S_ISUID
	}
	return bits
}

// secret writes a secret's file into the file system that only the step sees.
func (st *step) secret(i int, m Mount) (string, error) {
	name, err := st.newPlace(i, false)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(name, m.Data, 0o600); err != nil {
		return "", err
	}
	if err := os.Chown(name, int(m.UID), int(m.GID)); err != nil {
		return "", err
	}
	return name, os.Chmod(name, m.Mode.Perm())
}

// pin binds what is at path inside root to a place of ours. The kernel resolves the path once, and no link, however it is
// exchanged meanwhile, leads out of root.
func (st *step) pin(i int, root, inside string) (string, error) {
	if root == "" {
		return "", errdefs.New(errdefs.ErrInvalid, "it has no source")
	}
	inside = path.Join("/", inside)
	f, err := safepath.OpenIn(root, inside, unix.O_PATH, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", errdefs.New(errdefs.ErrNotFound, "%q is not in its source", inside)
	} else if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	place, err := st.newPlace(i, info.IsDir())
	if err != nil {
		return "", err
	}
	return place, unix.Mount(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), place, "", unix.MS_BIND, "")
}

// newPlace makes a mount point, or a file, in the file system that only the step sees.
func (st *step) newPlace(i int, dir bool) (string, error) {
	name := filepath.Join(st.dir, "mount"+strconv.Itoa(i))
	if dir {
		return name, os.Mkdir(name, 0o755)
	}
	return name, os.WriteFile(name, nil, 0o600)
}

// below tells whether path lies below dir.
func below(path, dir string) bool { return strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/") }
