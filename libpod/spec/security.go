package spec

import (
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/seccomp"
)

// UsualPaths are those that a container without a wish of its own cannot read, and those that it cannot write.
func UsualPaths() (masked, readonly []string) { return maskedPaths(), readonlyPaths() }

// maskedPaths and readonlyPaths are Docker's.
func maskedPaths() []string {
	return []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
		"/sys/devices/virtual/powercap",
	}
}

func readonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

func setSecurity(in Input, s *specs.Spec) error {
	sec := in.Config.Security
	if err := checkLabels(sec.Label, in.Host.SELinux); err != nil {
		return err
	}
	switch {
	case sec.AppArmor == "" || sec.AppArmor == "unconfined" && !in.Host.AppArmor:
	case !in.Host.AppArmor:
		return errdefs.New(errdefs.ErrUnsupported, "apparmor=%s: this host does not run AppArmor (leave it out)", sec.AppArmor)
	default:
		s.Process.ApparmorProfile = sec.AppArmor
	}
	s.Linux.Seccomp = in.Seccomp.Section
	if in.Seccomp.BPF != "" && s.Linux.Seccomp == nil {
		s.Linux.Seccomp = seccomp.Placeholder()
	}
	if err := checkPaths("unmask", sec.Unmask); err != nil {
		return err
	}
	if err := checkPaths("mask", sec.Mask); err != nil {
		return err
	}
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = PathsOf(&sec)
	return nil
}

// PathsOf are the paths that a container cannot read, and those that it cannot write.
func PathsOf(sec *record.Security) (masked, readonly []string) {
	if !sec.Privileged {
		masked, readonly = unmask(maskedPaths(), sec.Unmask), unmask(readonlyPaths(), sec.Unmask)
	}
	for _, p := range sec.Mask {
		if p = path.Clean(p); !slices.Contains(masked, p) {
			masked = append(masked, p)
		}
	}
	return masked, readonly
}

func checkPaths(opt string, paths []string) error {
	for _, p := range paths {
		if _, err := path.Match(p, ""); err != nil || !path.IsAbs(p) && (opt == "mask" || !strings.EqualFold(p, "all")) {
			return errdefs.New(errdefs.ErrInvalid, "security option %s=%s: not an absolute path", opt, p)
		}
	}
	return nil
}

// unmask takes away the paths that the user names: a path, a pattern (/proc/*), or ALL.
func unmask(paths, patterns []string) []string {
	return slices.DeleteFunc(paths, func(p string) bool {
		for _, pat := range patterns {
			if strings.EqualFold(pat, "all") {
				return true
			}
			if ok, _ := path.Match(path.Clean(pat), p); ok {
				return true
			}
		}
		return false
	})
}

func checkLabels(labels []string, selinux bool) error {
	for _, l := range labels {
		switch {
		case l == "disable":
		case selinux:
			return errdefs.New(errdefs.ErrUnsupported, "security option label=%s: SELinux labels are not supported yet (use label=disable)", l)
		default:
			return errdefs.New(errdefs.ErrUnsupported, "security option label=%s: this host does not run SELinux (leave it out)", l)
		}
	}
	return nil
}
