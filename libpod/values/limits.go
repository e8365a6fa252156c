package values

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
)

// Weight parses a weight of block I/O; 0 is the default.
func Weight(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n != 0 && n < 10 || n > 1000 {
		return 0, fmt.Errorf("a number from 10 to 1000 is expected")
	}
	return uint16(n), nil
}

// DeviceWeight parses PATH:WEIGHT.
func DeviceWeight(s string) (record.Throttle, error) {
	return throttle(s, func(text string) (uint64, error) {
		n, err := Weight(text)
		return uint64(n), err
	})
}

// DeviceBps parses PATH:SIZE, bytes a second.
func DeviceBps(s string) (record.Throttle, error) {
	return throttle(s, func(text string) (uint64, error) {
		n, err := Bytes(text)
		return uint64(n), err
	})
}

// DeviceIOps parses PATH:NUMBER, operations a second.
func DeviceIOps(s string) (record.Throttle, error) {
	return throttle(s, func(text string) (uint64, error) {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return 0, fmt.Errorf("a whole number is expected after the path")
		}
		return n, nil
	})
}

func throttle(s string, rate func(string) (uint64, error)) (record.Throttle, error) {
	at := strings.LastIndexByte(s, ':')
	if at < 0 || !strings.HasPrefix(s, "/dev/") {
		return record.Throttle{}, fmt.Errorf("it looks like /dev/sda:1mb: a device's path and a limit")
	}
	n, err := rate(s[at+1:])
	return record.Throttle{Path: s[:at], Rate: n}, err
}

// Swappiness parses 0 to 100; -1 is the host's own.
func Swappiness(s string) (*int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < -1 || n > 100 {
		return nil, fmt.Errorf("a number from 0 to 100 is expected, or -1 for the host's")
	}
	if n < 0 {
		return nil, nil
	}
	return &n, nil
}

// Microseconds parses a time of the scheduler; 0 is the default.
func Microseconds(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > math.MaxInt64 {
		return 0, fmt.Errorf("a number of microseconds is expected")
	}
	return n, nil
}

// Quota is Microseconds that may be -1, for no limit.
func Quota(s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	n, err := Microseconds(s)
	return int64(n), err
}

// Cgroups checks the value of --cgroups.
func Cgroups(s string) error { return OneOf(s, "enabled", "disabled", "no-conmon", "split") }

// CgroupManager checks the value of --cgroup-manager.
func CgroupManager(s string) error { return OneOf(s, "systemd", "cgroupfs") }

// CgroupNS checks the value of --cgroupns.
func CgroupNS(s string) error {
	kind, of, has := strings.Cut(s, ":")
	switch {
	case !has && (kind == "host" || kind == "private"):
		return nil
	case kind == "ns" && strings.HasPrefix(of, "/"), kind == "container" && of != "":
		return nil
	}
	return fmt.Errorf("it is host, private, ns:PATH or container:NAME")
}

// DeviceRule checks the value of --device-cgroup-rule.
func DeviceRule(s string) error {
	_, err := spec.ParseDeviceRule(s)
	return err
}

// CDI tells whether a device is named as in CDI, vendor.com/class=name, and not by a path.
func CDI(s string) bool {
	kind, name, ok := strings.Cut(s, "=")
	vendor, class, slash := strings.Cut(kind, "/")
	return ok && slash && vendor != "" && class != "" && name != "" && !strings.Contains(class, "/")
}

// GPUs turns the value of --gpus (all, a number, or Docker's device=0,1) into names in CDI.
func GPUs(s string) ([]string, error) {
	const kind = "nvidia.com/gpu="
	text := strings.Trim(s, `"`)
	if text == "all" || text == "-1" {
		return []string{kind + "all"}, nil
	}
	if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		names := make([]string, n)
		for i := range names {
			names[i] = kind + strconv.Itoa(i)
		}
		return names, nil
	}
	var names []string
	key := ""
	for _, field := range strings.Split(text, ",") {
		name, value, set := strings.Cut(field, "=")
		if set {
			key = strings.Trim(name, `" `)
		} else {
			value = name
		}
		value = strings.Trim(value, `" `)
		switch {
		case key == "device" && value != "":
			names = append(names, kind+value)
		case key == "count":
			return GPUs(value)
		case key == "driver" && value == "nvidia", key == "capabilities" && (value == "gpu" || value == "compute" || value == "utility"):
		default:
			return nil, fmt.Errorf("%q is not known here: it is all, a number, or device=0,1 (other devices have names: --device vendor.com/class=name)", field)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("it names no device: it is all, a number, or device=0,1")
	}
	return names, nil
}
