// Package binfmt lets programs of other processors run: by qemu's emulators, which it registers with the kernel for the
// user's own namespace (binfmt_misc, Linux 6.7 and later), else by what the machine's administrator has registered.
package binfmt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Native tells whether programs for arch are this machine's own. It costs nothing.
func Native(arch string) bool { return arch == "" || arch == runtime.GOARCH }

// related are processors whose programs many of ours run without help.
func related(arch string) bool {
	return runtime.GOARCH == "amd64" && arch == "386" || runtime.GOARCH == "arm64" && arch == "arm"
}

// Check tells whether Enable is likely to work, without doing anything.
func Check(arch string) error {
	m, err := known(arch)
	if m == nil {
		return err
	}
	if related(arch) || m.emulator() != "" || m.runs() {
		return nil
	}
	return missing(arch)
}

// Enable sees to it that programs for arch can be executed in this user namespace, for as long as dir stays mounted: with
// rootless that is a mount point for the namespace's own registrations, which take the place of the machine's. So all that
// can be registered is. dir need not exist, and nothing may be mounted there where it is not needed.
func Enable(arch, dir string, rootless bool) error {
	m, err := known(arch)
	if m == nil {
		return err
	}
	if related(arch) && m.runs() {
		return nil
	}
	path := m.emulator()
	if path != "" && rootless {
		ok, err := own(m, dir)
		if ok || err != nil {
			return err
		}
	}
	switch {
	case m.runs():
		return nil
	case path != "" && !rootless:
		return errdefs.New(errdefs.ErrUnsupported, "programs for %s: %s is there, but this machine's kernel is not told to use it (sudo systemctl restart systemd-binfmt, or install qemu-user-static anew)", arch, path)
	case path != "":
		return errdefs.New(errdefs.ErrUnsupported, "programs for %s: this kernel lets nobody but root register %s (sudo systemctl restart systemd-binfmt, or Linux 6.7)", arch, path)
	}
	return missing(arch)
}

// known is nil without an error for our own processor.
func known(arch string) (*machine, error) {
	if Native(arch) {
		return nil, nil
	}
	m := find(arch)
	if m == nil {
		return nil, errdefs.New(errdefs.ErrUnsupported, "programs for %s: there is no emulator of that processor", arch)
	}
	return m, nil
}

func missing(arch string) error {
	return errdefs.New(errdefs.ErrUnsupported, "programs for %s do not run on this machine (linux/%s): no emulator for it (sudo apt install qemu-user-static)", arch, runtime.GOARCH)
}

// own registers the emulators with the user namespace's instance. It is false where the kernel has none for us.
func own(m *machine, dir string) (bool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	err := unix.Mount("binfmt_misc", dir, "binfmt_misc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EBUSY) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("mount binfmt_misc: %w", err)
	}
	all := machines()
	for i := range all {
		if Native(all[i].arch) || related(all[i].arch) && all[i].arch != m.arch {
			continue
		}
		if err := all[i].register(dir); err != nil && all[i].arch == m.arch {
			return false, err
		}
	}
	return true, nil
}

// register tells the kernel of the processor's emulator, if there is one. P: it learns its first argument as it was given.
// O and C: the program keeps its own rights. F: the emulator is opened now, from our file system, not the container's.
func (m *machine) register(dir string) error {
	path := m.emulator()
	if path == "" {
		return nil
	}
	magic, mask := m.magic()
	line := ":qemu-" + m.qemu + ":M:0:" + escaped(magic) + ":" + escaped(mask) + ":" + path + ":POCF"
	f, err := os.OpenFile(filepath.Join(dir, "register"), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("register %s: %w", path, err)
	}
	defer f.Close()
	if _, err := f.WriteString(line); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("register %s: %w", path, err)
	}
	return nil
}

func escaped(bytes []byte) string {
	var b strings.Builder
	for _, c := range bytes {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

// emulator is the path of qemu's program for this processor; empty: there is none that could be used in containers.
func (m *machine) emulator() string {
	for _, name := range []string{"qemu-" + m.qemu + "-static", "qemu-" + m.qemu} {
		path, err := exec.LookPath(name)
		for _, dir := range []string{"/usr/bin", "/usr/local/bin"} {
			if err == nil {
				break
			}
			path = filepath.Join(dir, name)
			err = unix.Access(path, unix.X_OK)
		}
		if err == nil && filepath.IsAbs(path) && static(path) && !strings.ContainsAny(path, ":\n") {
			return path
		}
	}
	return ""
}

// maxSegments bounds what is looked at of a file that claims more.
const maxSegments = 64

// static tells whether a program of ours needs nothing else: the container's root has other libraries.
func static(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 64)
	if _, err := io.ReadFull(f, head); err != nil || string(head[:atClass]) != "\x7fELF" {
		return false
	}
	o := binary.NativeEndian
	at, size, count := int64(o.Uint32(head[28:])), int64(o.Uint16(head[42:])), o.Uint16(head[44:])
	if head[atClass] == class64 {
		at, size, count = int64(o.Uint64(head[32:])), int64(o.Uint16(head[54:])), o.Uint16(head[56:])
	}
	if count == 0 || count > maxSegments {
		return false
	}
	kind := make([]byte, 4)
	for i := range int64(count) {
		if _, err := f.ReadAt(kind, at+i*size); err != nil || o.Uint32(kind) == interpreter {
			return false
		}
	}
	return true
}

// runs tries it, with a program that does nothing. Without F in a registration the emulator is looked for in the root of
// whoever executes; so the root is an empty directory, as it might be in a container.
func (m *machine) runs() bool {
	dir, err := os.MkdirTemp("", "wherry-probe-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "probe"), m.probe(), 0o755); err != nil {
		return false
	}
	attr := &syscall.ProcAttr{Dir: "/", Sys: &syscall.SysProcAttr{Chroot: dir}}
	pid, err := syscall.ForkExec("/probe", []string{"probe"}, attr)
	for try := 0; errors.Is(err, unix.ETXTBSY) && try < 100; try++ { // a child that another thread is just making still has it open
		time.Sleep(time.Millisecond)
		pid, err = syscall.ForkExec("/probe", []string{"probe"}, attr)
	}
	if err != nil {
		return false
	}
	var status unix.WaitStatus
	for {
		if _, err = unix.Wait4(pid, &status, 0, nil); err != unix.EINTR {
			return err == nil && status.Exited() && status.ExitStatus() == 0
		}
	}
}
