package values

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
)

// Name checks the name of a container or volume.
func Name(s string) error {
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '_' && c != '.' && c != '-') {
			return fmt.Errorf("the name %q may hold only letters, digits, _ . and -, and begins with a letter or digit", s)
		}
	}
	if s == "" || len(s) > 255 {
		return fmt.Errorf("a name has 1 to 255 characters")
	}
	return nil
}

// Hostname checks a host name: labels of letters, digits and -, 64 characters at most.
func Hostname(s string) error {
	if s == "" || len(s) > 64 {
		return fmt.Errorf("a host name has 1 to 64 characters")
	}
	for _, label := range strings.Split(s, ".") {
		for i := range len(label) {
			c := label[i]
			alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
			if !alnum && (c != '-' || i == 0 || i == len(label)-1) {
				return fmt.Errorf("a host name holds only letters, digits, - and dots")
			}
		}
		if label == "" {
			return fmt.Errorf("a host name has no empty part")
		}
	}
	return nil
}

// Restart parses no, always, unless-stopped and on-failure[:MAX].
func Restart(s string) (policy string, retries int, err error) {
	policy, count, counted := strings.Cut(s, ":")
	if !slices.Contains([]string{"no", "always", "unless-stopped", "on-failure"}, policy) {
		return "", 0, fmt.Errorf("it is no, always, unless-stopped or on-failure[:MAX]")
	}
	if !counted {
		return policy, 0, nil
	}
	retries, err = strconv.Atoi(count)
	if err != nil || retries < 0 || policy != "on-failure" {
		return "", 0, fmt.Errorf("only on-failure has a number of retries, as in on-failure:3")
	}
	return policy, retries, nil
}

// Device parses HOST[:CONTAINER][:ACCESS].
func Device(s string) (record.Device, error) {
	parts := strings.Split(s, ":")
	d := record.Device{Source: parts[0], Target: parts[0], Access: "rwm"}
	switch {
	case len(parts) > 3:
		return d, fmt.Errorf("it looks like /dev/x[:/dev/y][:rwm]")
	case len(parts) == 3:
		d.Target, d.Access = parts[1], parts[2]
	case len(parts) == 2 && strings.HasPrefix(parts[1], "/"):
		d.Target = parts[1]
	case len(parts) == 2:
		d.Access = parts[1]
	}
	if !strings.HasPrefix(d.Source, "/") || !strings.HasPrefix(d.Target, "/") {
		if strings.Contains(s, "=") {
			return d, fmt.Errorf("CDI devices are not there yet")
		}
		return d, fmt.Errorf("a device is an absolute path")
	}
	if d.Access == "" || strings.Trim(d.Access, "rwm") != "" {
		return d, fmt.Errorf("the access %q holds other letters than r, w and m", d.Access)
	}
	return d, nil
}

// AddHost parses NAME:IP or NAME=IP; the address may be host-gateway.
func AddHost(s string) (string, error) {
	name, ip, ok := strings.Cut(s, "=")
	if !ok {
		name, ip, ok = strings.Cut(s, ":")
	}
	if !ok || name == "" {
		return "", fmt.Errorf("it looks like name:192.0.2.7")
	}
	ip = strings.TrimSuffix(strings.TrimPrefix(ip, "["), "]")
	if _, err := netip.ParseAddr(ip); err != nil && ip != "host-gateway" {
		return "", fmt.Errorf("%q is not an IP address", ip)
	}
	return name + ":" + ip, nil
}

// Addr checks the address of a name server.
func Addr(s string) error {
	if _, err := netip.ParseAddr(s); err != nil {
		return fmt.Errorf("it is not an IP address")
	}
	return nil
}

// Duration parses 30s or 1m30s; zero is allowed, less is not.
func Duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("a duration looks like 30s or 1m30s")
	}
	if d < 0 || d > 0 && d < time.Millisecond {
		return 0, fmt.Errorf("the least is 1ms")
	}
	return d, nil
}

// OneOf checks a value against the possible ones.
func OneOf(s string, choices ...string) error {
	if !slices.Contains(choices, s) {
		return fmt.Errorf("it is one of %s", strings.Join(choices, ", "))
	}
	return nil
}

// Umask checks an octal umask.
func Umask(s string) error {
	if n, err := strconv.ParseUint(s, 8, 32); err != nil || n > 0o777 {
		return fmt.Errorf("an octal number like 0022 is expected")
	}
	return nil
}

// Platform checks OS[/ARCH[/VARIANT]].
func Platform(s string) error {
	parts := strings.Split(s, "/")
	if len(parts) > 3 || slices.Contains(parts, "") {
		return fmt.Errorf("a platform looks like linux/arm64 or linux/arm/v7")
	}
	if parts[0] != "linux" {
		return fmt.Errorf("only linux images run here")
	}
	return nil
}

// When parses a moment: a duration before now, RFC 3339 with any part after the date left out, or seconds since
// 1970 with a fraction.
func When(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	layouts := []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15Z07:00", "2006-01-02Z07:00"}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err == nil && len(fraction) <= 9 {
		nsec, err := strconv.ParseUint((fraction + "000000000")[:9], 10, 32)
		if err == nil {
			return time.Unix(sec, int64(nsec)).In(now.Location()), nil
		}
	}
	return time.Time{}, fmt.Errorf("a moment looks like 10m, 2026-01-02T15:04:05Z or 1767366245")
}

// AbsolutePath checks a path inside a container.
func AbsolutePath(s string) error {
	if !strings.HasPrefix(s, "/") {
		return fmt.Errorf("it is not an absolute path")
	}
	return nil
}
