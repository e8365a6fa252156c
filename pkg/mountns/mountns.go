// Package mountns gives a program a mount namespace of its own, which is gone with it, and with it whatever it mounted.
package mountns

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// marker says that the process has such a namespace already. Its value is the namespace: what a child inherits it for is
// no namespace of its own.
const marker = "_WHERRY_MOUNTNS"

// Execute replaces this process by another program in a new mount namespace. It returns only errors.
func Execute(path string, args, environment []string) error {
	runtime.LockOSThread() // execve keeps the namespaces of the thread that calls it
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	// What is mounted outside later on is seen here too; what is mounted here nowhere else.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	name, err := current()
	if err != nil {
		return err
	}
	return unix.Exec(path, args, append(environment, marker+"="+name))
}

// Own returns when this process has a mount namespace of its own; if it has none it executes itself again in one.
func Own() error {
	name, err := current()
	if err != nil {
		return err
	}
	if os.Getenv(marker) == name {
		return os.Unsetenv(marker)
	}
	return Execute("/proc/self/exe", os.Args, os.Environ())
}

func current() (string, error) {
	name, err := os.Readlink("/proc/thread-self/ns/mnt")
	if err != nil {
		return "", fmt.Errorf("which mount namespace this is: %w", err)
	}
	return name, nil
}
