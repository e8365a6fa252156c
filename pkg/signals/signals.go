// Package signals reads the names and numbers of signals as Docker's command line takes them.
package signals

import (
	"strconv"
	"strings"
	"syscall"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"golang.org/x/sys/unix"
)

// The kernel's real-time signals, as the C library numbers them.
const (
	rtMin = 34
	rtMax = 64
)

// Parse reads "TERM", "SIGTERM", "sigterm", "15", "RTMIN+3" or "RTMAX-1".
func Parse(s string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > rtMax {
			return 0, errdefs.New(errdefs.ErrInvalid, "signal %d is out of range (1 to %d)", n, rtMax)
		}
		return syscall.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	if n, ok := realTime(name); ok {
		return syscall.Signal(n), nil
	}
	return 0, errdefs.New(errdefs.ErrInvalid, "unknown signal %q (a name as TERM or SIGTERM, or a number)", s)
}

func realTime(name string) (int, bool) {
	base, rest := rtMin, strings.TrimPrefix(name, "RTMIN")
	if rest == name {
		base, rest = rtMax, strings.TrimPrefix(name, "RTMAX")
	}
	if rest == name {
		return 0, false
	}
	if rest == "" {
		return base, true
	}
	offset, err := strconv.Atoi(rest)
	n := base + offset
	return n, err == nil && (rest[0] == '+' || rest[0] == '-') && n >= rtMin && n <= rtMax
}
