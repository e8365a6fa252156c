package values

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
)

// Tmpfs parses --tmpfs TARGET[:OPTIONS].
func Tmpfs(s string) (record.Mount, error) {
	target, options, _ := strings.Cut(s, ":")
	m := record.Mount{Type: "tmpfs", Target: target}
	for _, option := range strings.Split(options, ",") {
		key, value, hasValue := strings.Cut(option, "=")
		switch {
		case option == "" || option == "rw" || option == "notmpcopyup" || option == "defaults":
		case option == "ro":
			m.ReadOnly = true
		case slices.Contains([]string{"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"}, key) && hasValue && value != "":
			if err := tmpfsNumber(key, value); err != nil {
				return m, err
			}
			m.Options = append(m.Options, option)
		case slices.Contains([]string{"exec", "noexec", "suid", "nosuid", "dev", "nodev", "noatime", "relatime", "strictatime", "sync", "async", "dirsync",
			"nodiratime", "tmpcopyup", "U"}, option):
			m.Options = append(m.Options, option)
		case option == "chown":
			m.Options = append(m.Options, "U")
		default:
			return m, fmt.Errorf("a tmpfs has no option %q", option)
		}
	}
	return m, Target(&m)
}

// tmpfsNumber checks what the kernel would only call an invalid argument.
func tmpfsNumber(key, value string) error {
	var err error
	switch key {
	case "size", "nr_blocks", "nr_inodes":
		percent, isPercent := strings.CutSuffix(value, "%")
		if isPercent && key == "size" {
			_, err = strconv.ParseUint(percent, 10, 8)
		} else {
			_, err = strconv.ParseUint(strings.TrimRight(strings.ToLower(value), "kmg"), 10, 63)
		}
	case "mode":
		_, err = strconv.ParseUint(value, 8, 12)
	case "uid", "gid":
		_, err = strconv.ParseUint(value, 10, 31)
	}
	if err != nil {
		return fmt.Errorf("%s=%s is not a number that a tmpfs takes, as in size=64m,mode=1777,uid=1000", key, value)
	}
	return nil
}
