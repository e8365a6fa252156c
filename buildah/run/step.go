package run

import (
	"fmt"
	"io"
	"os"

	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/entitlements"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/record"
)

// Step is one RUN: a command and what it sees besides the root file system.
type Step struct {
	Meta     *pb.Meta
	Network  pb.NetMode
	Networks []string // instead of the default network (network.Default), with pb.NetMode_UNSET
	Security pb.SecurityMode
	Platform *pb.Platform // of the programs in the root; nil: this machine's

	Mounts       []Mount // all but the root
	ReadOnlyRoot bool
	Devices      []*pb.CDIDevice
	SecretEnv    []string // NAME=value; in no file that outlives the step, in no message

	// Allowed are the entitlements that the user has granted: Network host, Security insecure and Devices need theirs here,
	// whoever asks for them.
	Allowed entitlements.Set

	Limits  record.Resources // see Limits; an asked-for limit that this host cannot keep is an error. Ulimits are added to those of Meta
	ShmSize int64            // bytes of /dev/shm; 0: 64 MiB
	DNS     DNS              // what the user set in place of the host's

	Stdin          io.Reader          // nil: empty
	Stdout, Stderr io.Writer          // nil: discarded. Both may be the same writer, which then gets one write at a time
	Signals        <-chan unix.Signal `json:"-"` // optional: to hand on to the command
	Container      *Container         `json:"-"` // optional: lets further commands run in it
	Started        func()             `json:"-"` // optional: called once when the command is about to run
}

// DNS is what replaces the host's own settings in /etc/resolv.conf; empty fields do not.
type DNS struct{ Servers, Search, Options []string }

// Mount is one mount of a step. What does not belong to its type is empty.
type Mount struct {
	Target   string // in the step; a relative one counts from Meta.Cwd
	Type     pb.MountType
	Source   string // BIND, CACHE: a directory of ours on the host. SSH: the agent's socket. SECRET, TMPFS: none
	Selector string // BIND, CACHE: only this file or directory below Source; no link in it leads out of Source
	ReadOnly bool
	Size     int64       // TMPFS: bytes; 0: the kernel's default
	Data     []byte      // SECRET: the file's content
	Mode     os.FileMode // SECRET, SSH: of the file
	UID, GID uint32      // SECRET, SSH: its owner
}

// LimitsOf are a vertex' own limits.
func LimitsOf(r *pb.LinuxResources) record.Resources {
	if r == nil {
		return record.Resources{}
	}
	return record.Resources{Memory: r.Memory, MemorySwap: r.MemorySwap, CPUShares: r.CpuShares, CPUPeriod: r.CpuPeriod, CPUQuota: r.CpuQuota,
		CPUSet: r.CpusetCpus, MemoryNodes: r.CpusetMems}
}

// ExitError tells that the command ran, or could not be executed (126, 127), and ended with a status that is no success.
type ExitError struct {
	Code uint32
	Err  error // why, where more is known: unix.ENOMEM, or what the runtime said
}

func (e *ExitError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("exit code: %d: %v", e.Code, e.Err)
	}
	return fmt.Sprintf("exit code: %d", e.Code)
}

// Unwrap is the cause.
func (e *ExitError) Unwrap() error { return e.Err }
