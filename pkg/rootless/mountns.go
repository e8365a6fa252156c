package rootless

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// envMounts says that the process has a mount namespace of its own already. Its value is the namespace: for a child that
// inherits the variable in another one it is not true.
const envMounts = "_WHERRY_MOUNTNS"

// ExecuteAlone replaces this process by a program in a new mount namespace, with which all that the program mounts is gone. It returns
// only errors.
func ExecuteAlone(path string, args, environment []string) error {
	runtime.LockOSThread() // execve keeps the namespaces of the thread that calls it
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	// What is mounted outside later on is seen here too; what is mounted here nowhere else.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	name, err := ownMounts()
	if err != nil {
		return err
	}
	return unix.Exec(path, args, append(environment, envMounts+"="+name))
}

// Alone returns when this process has a mount namespace of its own; if it has none it executes itself, with the given
// command line, again in one.
func Alone(args []string) error {
	name, err := ownMounts()
	if err != nil {
		return err
	}
	if os.Getenv(envMounts) == name {
		return os.Unsetenv(envMounts)
	}
	return ExecuteAlone("/proc/self/exe", args, os.Environ())
}

func ownMounts() (string, error) {
	name, err := os.Readlink("/proc/thread-self/ns/mnt")
	if err != nil {
		return "", fmt.Errorf("which mount namespace this is: %w", err)
	}
	return name, nil
}
