//go:build faultpoint

// Package faultpoint lets a test kill the program, or fail a write, after a named step. Without the build tag
// "faultpoint" every function here is empty and costs nothing.
package faultpoint

import (
	"os"
	"strings"
	"syscall"
)

// Hit kills the process with SIGKILL if WHERRY_FAULT is "kill:<name>", and appends name to the file that
// WHERRY_FAULT_TRACE names.
func Hit(name string) {
	if path := os.Getenv("WHERRY_FAULT_TRACE"); path != "" {
		if f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666); err == nil {
			f.WriteString(name + "\n")
			f.Close()
		}
	}
	if os.Getenv("WHERRY_FAULT") == "kill:"+name {
		syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// Err returns ENOSPC if WHERRY_FAULT is "enospc:<name>" and EIO if it is "eio:<name>".
func Err(name string) error {
	kind, step, _ := strings.Cut(os.Getenv("WHERRY_FAULT"), ":")
	switch {
	case step != name:
		return nil
	case kind == "enospc":
		return syscall.ENOSPC
	case kind == "eio":
		return syscall.EIO
	}
	return nil
}
