package values

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
)

// ulimitNames are the limits of setrlimit(2).
func ulimitNames() []string {
	return []string{"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
		"rtprio", "rttime", "sigpending", "stack"}
}

// Ulimit parses NAME=SOFT[:HARD]; -1 and "unlimited" are unlimited.
func Ulimit(s string) (record.Ulimit, error) {
	name, limits, ok := strings.Cut(s, "=")
	if !ok {
		return record.Ulimit{}, fmt.Errorf("a limit looks like nofile=1024:2048")
	}
	name = strings.TrimPrefix(strings.ToLower(name), "rlimit_")
	if !slices.Contains(ulimitNames(), name) {
		return record.Ulimit{}, fmt.Errorf("there is no limit %q, only %s", name, strings.Join(ulimitNames(), ", "))
	}
	softText, hardText, both := strings.Cut(limits, ":")
	soft, err := limit(softText)
	hard := soft
	if err == nil && both {
		hard, err = limit(hardText)
	}
	if err != nil {
		return record.Ulimit{}, err
	}
	if hard != -1 && (soft > hard || soft == -1) {
		return record.Ulimit{}, fmt.Errorf("the soft limit %s is above the hard limit %s", softText, hardText)
	}
	return record.Ulimit{Name: name, Soft: soft, Hard: hard}, nil
}

func limit(s string) (int64, error) {
	if s == "unlimited" {
		return -1, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < -1 {
		return 0, fmt.Errorf("%q is not a number, -1 or unlimited", s)
	}
	return n, nil
}
