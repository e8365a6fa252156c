// Package rootless takes a process of an unprivileged user into the user and mount namespace that all of the user's
// wherry processes share. A tiny pause process keeps the namespace; pkg/rootless/join takes later processes into it
// before their Go runtime starts; this package makes it, heals it, and is the way in where join cannot work.
package rootless

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/realuser"
	"github.com/wherry-containers/wherry/pkg/rootless/join"
)

// EnterOptions say how to make the namespace if it is not there.
type EnterOptions struct {
	// SingleID maps only the user's own id, which needs neither subordinate ids nor newuidmap. It is the same as
	// WHERRY_SINGLE_ID=1, which also lets the stub join. A process that has joined the full namespace stays there.
	SingleID bool
}

// Environment between the stages of one entry; it does not outlive the entry.
const (
	envStage = "_WHERRY_ENTER"
	envCwd   = "_WHERRY_CWD"
)

// The ways in, in the order of trying; envStage says which one has been tried.
const (
	byStub    = "stub"
	byNsenter = "nsenter"
)

// Inside reports whether this process is in wherry's user namespace. It is false as real root.
func Inside() bool { return realuser.Inside() }

// RealUID is the user id outside the namespace.
func RealUID() int { return realuser.UID() }

// RealGID is the primary group id outside the namespace.
func RealGID() int { return realuser.GID() }

// Enter returns when the process is where it works: as real root at once, in the namespace when it has joined.
// Otherwise it finds or makes the namespace and executes this program again with the same arguments, in it; so it
// comes before anything that must not happen twice. The pause file lies in the run directory that the environment
// names (layout.RunDir): flags that move the store do not move it, for there is one namespace for each user.
func Enter(opts EnterOptions) error {
	if realuser.Inside() {
		return arrive()
	}
	if os.Geteuid() == 0 {
		return nil
	}
	if opts.SingleID {
		if err := os.Setenv(join.EnvSingle, "1"); err != nil {
			return err
		}
	}
	p, err := ensurePause(os.Getenv(join.EnvSingle) == "1")
	if err != nil {
		return err
	}
	return executeInside(p)
}

// arrive finishes an entry: the environment for what is executed from here, and the working directory.
func arrive() error {
	if err := realuser.Mark(); err != nil {
		return err
	}
	if dir := os.Getenv(envCwd); dir != "" {
		// A directory that is not there in the namespace leaves the process where nsenter put it, as the stub does.
		_ = os.Chdir(dir)
	}
	return errors.Join(os.Unsetenv(envStage), os.Unsetenv(envCwd))
}

// executeInside replaces the process. It returns only errors.
func executeInside(p pause) error {
	tried := os.Getenv(envStage)
	argv, err := ownArgv()
	if err != nil {
		return err
	}
	switch {
	case tried == "" && realuser.Early.Ran != 0:
		return execute(ownPath(), argv, byStub)
	case tried != byNsenter && !refused(syscall.Errno(realuser.Early.Errno)):
		return executeByNsenter(p, argv)
	}
	return errdefs.New(errdefs.ErrUnsupported, "cannot join wherry's user namespace (process %d): %s%s", p.PID, stubResult(), hint(collect()))
}

// refused tells the answers to the stub's setns that nsenter would get too.
func refused(errno syscall.Errno) bool {
	return errno == syscall.EPERM || errno == syscall.EACCES || errno == syscall.ENOSYS
}

func stubResult() string {
	errno := syscall.Errno(realuser.Early.Errno)
	switch {
	case refused(errno):
		return "setns: " + errno.Error()
	case realuser.Early.Ran == 0 || errno == 0:
		return "nsenter did not bring the process into it"
	}
	return fmt.Sprintf("setns: %v, and nsenter did not bring the process into it", errno)
}

// executeByNsenter is the way in for binaries without the stub and under emulators, whose threads forbid setns.
func executeByNsenter(p pause, argv []string) error {
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return errdefs.New(errdefs.ErrUnsupported, "cannot join wherry's user namespace: this build has no entry stub and nsenter is not installed (sudo apt install util-linux)")
	}
	if cwd, err := os.Getwd(); err == nil {
		if err := os.Setenv(envCwd, cwd); err != nil {
			return err
		}
	}
	identity := map[string]string{
		realuser.EnvNamespace: p.namespace(),
		realuser.EnvUID:       strconv.Itoa(os.Getuid()),
		realuser.EnvGID:       strconv.Itoa(os.Getgid()),
	}
	for name, value := range identity {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	args := []string{nsenter, "--target", strconv.Itoa(p.PID), "--user", "--mount", "--preserve-credentials", "--", ownPath()}
	return execute(nsenter, append(args, argv[1:]...), byNsenter)
}

func execute(path string, argv []string, stage string) error {
	if err := os.Setenv(envStage, stage); err != nil {
		return err
	}
	if err := syscall.Exec(path, argv, os.Environ()); err != nil {
		return fmt.Errorf("execute %s in the user namespace: %w", path, err)
	}
	return nil
}

// ownPath is the binary of this process by name if the name still leads to it, so that process lists show the name.
func ownPath() string {
	const self = "/proc/self/exe"
	path, err := os.Executable()
	if err != nil {
		return self
	}
	byName, err1 := os.Stat(path)
	running, err2 := os.Stat(self)
	if err1 != nil || err2 != nil || !os.SameFile(byName, running) {
		return self
	}
	return path
}

func ownArgv() ([]string, error) {
	data, err := os.ReadFile("/proc/self/cmdline")
	if err != nil {
		return nil, fmt.Errorf("read own arguments: %w", err)
	}
	var argv []string
	for _, arg := range bytes.Split(bytes.TrimSuffix(data, []byte{0}), []byte{0}) {
		argv = append(argv, string(arg))
	}
	return argv, nil
}

func pauseFile(single bool) (string, error) {
	run, err := layout.RunDir(os.Getenv)
	if err != nil {
		return "", err
	}
	if single {
		return run + "/" + join.SingleFileName, nil
	}
	return run + "/" + join.FileName, nil
}
