package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxFsString is what fsconfig takes as one string, less its end.
	maxFsString = 255
	// maxData is what mount(2) takes as data: one page, less its end.
	maxData = 4095
)

// mountOverlay mounts, and once more where the kernel refuses what an earlier mount left or what it does not know yet.
func mountOverlay(s Spec) error {
	mount := mountPlain
	if s.IDMap != nil {
		mount = mountIDMapped
	}
	err := mount(s)
	if !errors.Is(err, unix.EINVAL) || s.ReadOnly {
		return err
	}
	// A volatile layer is marked for ever, and a marked one is refused, because a crash of the machine may have torn it.
	// Who asks for it again wants what is there.
	if mark := filepath.Join(s.Work, "work", "incompat"); os.RemoveAll(mark) == nil {
		err = mount(s)
	}
	if s.Volatile && errors.Is(err, unix.EINVAL) { // a kernel before 5.10
		s.Volatile = false
		return mount(s)
	}
	return err
}

// mountPlain uses mount(2): with one system call it is faster than a file system context with one call per layer (120
// layers: 1.7 against 2.6 ms). Where the layers' names do not fit into its page of options, open files give short ones.
func mountPlain(s Spec) error {
	names := &pathNames{}
	defer names.close()
	opts, err := overlayOptions(s, names)
	if err != nil {
		return err
	}
	if len(opts.data()) <= maxData {
		return opts.mountClassic(s)
	}
	if _, err := os.Stat(fdDir); err != nil { // no /proc
		return opts.mountContext(s, func() {})
	}
	return mountShortNames(s)
}

// options are overlay's options with every path in a form that needs no escaping.
type options struct {
	lower       []string
	upper, work string
	flags       []string
	readOnly    bool
}

func overlayOptions(s Spec, names *pathNames) (options, error) {
	o := options{readOnly: s.ReadOnly, flags: overlayFlags(s)}
	lower := s.Lower
	if s.ReadOnly {
		lower = s.readOnlyLower()
	}
	for _, dir := range lower {
		name, err := names.of(dir)
		if err != nil {
			return o, fmt.Errorf("layer %s: %w", dir, err)
		}
		o.lower = append(o.lower, name)
	}
	if s.ReadOnly {
		return o, nil
	}
	var err error
	if o.upper, err = names.of(s.Upper); err != nil {
		return o, fmt.Errorf("read-write layer %s: %w", s.Upper, err)
	}
	if o.work, err = names.of(s.Work); err != nil {
		return o, fmt.Errorf("work directory %s: %w", s.Work, err)
	}
	return o, nil
}

// overlayFlags: index=off lets containers share layers and a layer move between stores; redirect_dir=off keeps the
// read-write layer plain, so that a commit needs no knowledge of overlay (user namespaces have it off anyway).
func overlayFlags(s Spec) []string {
	flags := []string{"index=off"}
	if inUserNamespace() {
		flags = append(flags, "userxattr")
	} else {
		flags = append(flags, "redirect_dir=off")
	}
	if s.Volatile && !s.ReadOnly {
		flags = append(flags, "volatile")
	}
	return flags
}

func (o options) data() string {
	d := "lowerdir=" + strings.Join(o.lower, ":")
	if !o.readOnly {
		d += ",upperdir=" + o.upper + ",workdir=" + o.work
	}
	return d + "," + strings.Join(o.flags, ",")
}

func (o options) mountClassic(s Spec) error {
	var flags uintptr
	if s.ReadOnly {
		flags = unix.MS_RDONLY
	}
	return explain(s, unix.Mount("overlay", s.Target, "overlay", flags, o.data()))
}

func explain(s Spec, err error) error {
	if err == nil {
		return nil
	}
	for _, dir := range s.Lower {
		if _, statErr := os.Stat(dir); statErr != nil {
			return fmt.Errorf("mount the container's root: layer %w", statErr)
		}
	}
	return fmt.Errorf("mount the container's root on %s (overlay of %d layers): %w", s.Target, len(s.Lower), err)
}

// errNoContext says that the kernel cannot mount overlay layer by layer (it can since 6.5).
var errNoContext = errors.New("no file system context for overlay")

// mountContext mounts layer by layer; ready is called when the layers' names are no longer needed.
func (o options) mountContext(s Spec, ready func()) error {
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoContext, err)
	}
	defer unix.Close(fd)
	for _, dir := range o.lower {
		if err := unix.FsconfigSetString(fd, "lowerdir+", dir); err != nil {
			if errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("%w: %w", errNoContext, contextError(fd, s, err))
			}
			return contextError(fd, s, err)
		}
	}
	if err := o.configure(fd); err != nil {
		return contextError(fd, s, err)
	}
	mnt, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, o.attributes())
	if err != nil {
		return contextError(fd, s, err)
	}
	defer unix.Close(mnt)
	ready()
	if err := unix.MoveMount(mnt, "", unix.AT_FDCWD, s.Target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount the container's root on %s: %w", s.Target, err)
	}
	return nil
}

func (o options) attributes() int {
	if o.readOnly {
		return unix.MOUNT_ATTR_RDONLY
	}
	return 0
}

func (o options) configure(fd int) error {
	if o.readOnly {
		if err := unix.FsconfigSetFlag(fd, "ro"); err != nil {
			return err
		}
	} else {
		if err := unix.FsconfigSetString(fd, "upperdir", o.upper); err != nil {
			return err
		}
		if err := unix.FsconfigSetString(fd, "workdir", o.work); err != nil {
			return err
		}
	}
	for _, flag := range o.flags {
		key, value, ok := strings.Cut(flag, "=")
		var err error
		if ok {
			err = unix.FsconfigSetString(fd, key, value)
		} else {
			err = unix.FsconfigSetFlag(fd, key)
		}
		if err != nil {
			return err
		}
	}
	return unix.FsconfigCreate(fd)
}

// contextError adds what the kernel says about the context: one line a message, "e overlay: ...".
func contextError(fd int, s Spec, err error) error {
	buf := make([]byte, 512)
	n, readErr := unix.Read(fd, buf)
	if readErr == nil && n > 2 {
		err = fmt.Errorf("%s: %w", strings.TrimSpace(string(buf[2:n])), err)
	}
	return explain(s, err)
}

// mountShortNames names each directory by an open file and mounts from /proc/self/fd, so that a layer costs at most
// five characters. The working directory is the thread's own after unshare(CLONE_FS), which a thread in a mount
// namespace of its own has had already.
func mountShortNames(s Spec) error {
	names := &pathNames{always: true}
	defer names.close()
	opts, err := overlayOptions(s, names)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // for good: the thread no longer shares its working directory
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare the working directory: %w", err)
	}
	back, err := unix.Open(".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(back)
	if err := unix.Chdir(fdDir); err != nil {
		return err
	}
	defer unix.Fchdir(back)
	for i, name := range opts.lower {
		opts.lower[i] = strings.TrimPrefix(name, fdDir+"/")
	}
	if len(opts.data()) > maxData {
		return fmt.Errorf("mount the container's root: %d layers are more than this kernel can mount", len(s.Lower))
	}
	return opts.mountClassic(s)
}

const fdDir = "/proc/thread-self/fd"

// pathNames gives directories names that survive mount options: a path with ',', ':' or '\' in it, or a very long
// one, is opened and named by its file descriptor.
type pathNames struct {
	always bool
	fds    []int
}

func (p *pathNames) of(path string) (string, error) {
	if !p.always && len(path) <= maxFsString && !strings.ContainsAny(path, `,:\"'`+"\n\t ") {
		return path, nil
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	p.fds = append(p.fds, fd)
	return fdDir + "/" + strconv.Itoa(fd), nil
}

func (p *pathNames) close() {
	for _, fd := range p.fds {
		unix.Close(fd)
	}
}
