// Package logdriver keeps a container's output and reads it back: in files in Docker's json-file or Kubernetes' form,
// across rotated and compressed ones and while they grow, or in the journal; or it hands it to syslog.
package logdriver

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Names of the log drivers.
const (
	JSONFile    = "json-file"   // lines in a file, as Docker writes them
	K8sFile     = "k8s-file"    // lines in a file, as Kubernetes and Podman write them
	Local       = "local"       // json-file, bounded: five compressed files of 20 MB
	Journald    = "journald"    // systemd's journal
	Syslog      = "syslog"      // the syslog daemon of this machine
	Passthrough = "passthrough" // the container writes to the caller's own files; nothing is kept
	None        = "none"        // nothing is kept; clients can still attach
)

// Drivers are all names, for messages.
const Drivers = JSONFile + "|" + K8sFile + "|" + Local + "|" + Journald + "|" + Syslog + "|" + Passthrough + "|" + None

// DefaultBuffer is the max-buffer-size of mode=non-blocking, in bytes.
const DefaultBuffer = 1 << 20

// Options are a driver's parsed options.
type Options struct {
	MaxSize     int64  // bytes at which a file is rotated; 0: never
	MaxFile     int    // files kept, the current one included; at least 1
	Compress    bool   // rotated files are compressed
	NonBlocking bool   // lines are dropped rather than that the container waits
	BufferSize  int64  // bytes that wait at most in NonBlocking
	Path        string // of the file; empty: in the container's directory
	Socket      string // of the syslog daemon
	Facility    int    // of syslog
	Format      string // of syslog: empty (local), rfc3164, rfc5424, rfc5424micro
}

// Kinds of options: what a file takes, which attributes a line carries (the caller resolves those), what all take.
const (
	ofFiles  = "max-size max-file compress path"
	ofLocal  = "max-size max-file compress"
	selects  = "labels label labels-regex env env-regex tag"
	ofAll    = "mode max-buffer-size"
	ofSyslog = "syslog-address syslog-facility syslog-format"
)

// takes lists the options of a driver; ok is false for an unknown one.
func takes(driver string) (names string, ok bool) {
	switch driver {
	case JSONFile, "":
		return ofFiles + " " + selects + " " + ofAll, true
	case K8sFile:
		return ofFiles + " " + ofAll, true
	case Local:
		return ofLocal + " " + ofAll, true
	case Journald:
		return selects + " " + ofAll, true
	case Syslog:
		return ofSyslog + " " + selects + " " + ofAll, true
	case Passthrough, None:
		return "", true
	}
	return "", false
}

// Takes says whether a driver has the option.
func Takes(driver, option string) bool {
	names, _ := takes(driver)
	return hasWord(names, option)
}

// defaults are a driver's options where none are given.
func defaults(driver string) Options {
	o := Options{MaxFile: 1, BufferSize: DefaultBuffer}
	switch driver {
	case Local: // as Docker has it
		o.MaxSize, o.MaxFile, o.Compress = 20<<20, 5, true
	case Syslog:
		o.Socket, o.Facility = devLog, defaultFacility
	}
	return o
}

// Parse reads the options of a driver. The error is one line that names the first option that the driver does not take.
func Parse(driver string, opts map[string]string) (Options, error) {
	allowed, known := takes(driver)
	if !known {
		return Options{}, errdefs.New(errdefs.ErrInvalid, "log driver %q is not known (use %s)", driver, strings.ReplaceAll(Drivers, "|", ", "))
	}
	o := defaults(driver)
	for _, name := range sortedKeys(opts) {
		switch {
		case allowed == "":
			return Options{}, errdefs.New(errdefs.ErrInvalid, "log option %q: driver %s takes no options", name, driver)
		case !hasWord(allowed, name):
			return Options{}, errdefs.New(errdefs.ErrInvalid, "log option %s=%s: driver %s has no such option (it has %s)", name, opts[name], firstWord(driver), strings.ReplaceAll(allowed, " ", ", "))
		}
		if err := o.set(name, opts[name]); err != nil {
			return Options{}, errdefs.New(errdefs.ErrInvalid, "log option %s=%s: %v", name, opts[name], err)
		}
	}
	if driver == K8sFile && o.MaxSize > 0 && opts["max-file"] == "" {
		o.MaxFile = 2 // its users know max-size alone, and a rotation is not to take all that was logged
	}
	return o, o.check(opts)
}

func firstWord(driver string) string {
	if driver == "" {
		return JSONFile
	}
	return driver
}

func hasWord(words, word string) bool {
	for _, w := range strings.Fields(words) {
		if w == word {
			return true
		}
	}
	return false
}

// check looks at what options say about each other.
func (o *Options) check(opts map[string]string) error {
	switch {
	case o.MaxFile > 1 && o.MaxSize == 0:
		return errdefs.New(errdefs.ErrInvalid, "log option max-file=%d: needs max-size", o.MaxFile)
	case o.Compress && (o.MaxSize == 0 || o.MaxFile < 2):
		return errdefs.New(errdefs.ErrInvalid, "log option compress=true: needs max-size and max-file of at least 2")
	case opts["max-buffer-size"] != "" && !o.NonBlocking:
		return errdefs.New(errdefs.ErrInvalid, "log option max-buffer-size=%s: needs mode=non-blocking", opts["max-buffer-size"])
	}
	return nil
}

func (o *Options) set(name, value string) (err error) {
	switch name {
	case "max-size":
		if value == "-1" { // Docker's word for "no limit"
			o.MaxSize = 0
			return nil
		}
		o.MaxSize, err = parseSize(value)
	case "max-file":
		o.MaxFile, err = strconv.Atoi(value)
		if err != nil || o.MaxFile < 1 {
			return fmt.Errorf("want a number of at least 1")
		}
	case "compress":
		o.Compress, err = strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("want true or false")
		}
	case "mode":
		if value != "blocking" && value != "non-blocking" {
			return fmt.Errorf("want blocking or non-blocking")
		}
		o.NonBlocking = value == "non-blocking"
	case "max-buffer-size":
		o.BufferSize, err = parseSize(value)
	case "path":
		o.Path = value
		if !strings.HasPrefix(value, "/") {
			return fmt.Errorf("want an absolute path")
		}
	case "syslog-address":
		o.Socket, err = localSocket(value)
	case "syslog-facility":
		o.Facility, err = facility(value)
	case "syslog-format":
		if o.Format = value; value != "" && value != "rfc3164" && value != "rfc5424" && value != "rfc5424micro" {
			return fmt.Errorf("want rfc3164, rfc5424 or rfc5424micro")
		}
	}
	return err
}

// parseSize reads "10", "10b", "10k", "10m", "10g" (also "10kb", "10KiB"): powers of 1024, as Docker has it.
func parseSize(s string) (int64, error) {
	bad := fmt.Errorf("want a size such as 512k, 10m or 1g")
	unit := strings.TrimLeft(s, "0123456789.")
	number := s[:len(s)-len(unit)]
	unit = strings.ToLower(unit) // which may be longer or shorter
	unit = strings.TrimSuffix(strings.TrimSuffix(unit, "b"), "i")
	shift, ok := map[string]uint{"": 0, "k": 10, "m": 20, "g": 30, "t": 40}[unit]
	if !ok {
		return 0, bad
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, bad
	}
	f *= float64(int64(1) << shift)
	if f < 1 || f >= math.MaxInt64 {
		return 0, bad
	}
	return int64(f), nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
