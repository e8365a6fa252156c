// Package logdriver keeps a container's output in Docker's json-file format and reads it back, across rotated
// and compressed files and while it grows.
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
	Passthrough = "passthrough" // the container writes to the caller's own files; nothing is kept
	None        = "none"        // nothing is kept; clients can still attach
)

// DefaultBuffer is the max-buffer-size of mode=non-blocking, in bytes.
const DefaultBuffer = 1 << 20

// Options are the parsed options of the json-file driver.
type Options struct {
	MaxSize     int64 // bytes at which a file is rotated; 0: never
	MaxFile     int   // files kept, the current one included; at least 1
	Compress    bool  // rotated files are compressed
	NonBlocking bool  // lines are dropped rather than that the container waits
	BufferSize  int64 // bytes that wait at most in NonBlocking
}

// selectors are the options that say which attributes a line carries. The caller resolves them.
var selectors = map[string]bool{"labels": true, "labels-regex": false, "env": true, "env-regex": false, "tag": true}

// ValidateOpts returns a one-line error that names the first option that the driver does not take.
func ValidateOpts(driver string, opts map[string]string) error {
	switch driver {
	case JSONFile:
		_, err := ParseOpts(opts)
		return err
	case Passthrough, None:
		for _, name := range sortedKeys(opts) {
			return errdefs.New(errdefs.ErrInvalid, "log option %q: driver %s takes no options", name, driver)
		}
		return nil
	}
	return errdefs.New(errdefs.ErrInvalid, "log driver %q is not known (use %s, %s or %s)", driver, JSONFile, Passthrough, None)
}

// ParseOpts reads the options of the json-file driver.
func ParseOpts(opts map[string]string) (Options, error) {
	o := Options{MaxFile: 1, BufferSize: DefaultBuffer}
	for _, name := range sortedKeys(opts) {
		if err := o.set(name, opts[name]); err != nil {
			return Options{}, errdefs.New(errdefs.ErrInvalid, "log option %s=%s: %v", name, opts[name], err)
		}
	}
	switch {
	case o.MaxFile > 1 && o.MaxSize == 0:
		return Options{}, errdefs.New(errdefs.ErrInvalid, "log option max-file=%d: needs max-size", o.MaxFile)
	case o.Compress && (o.MaxSize == 0 || o.MaxFile < 2):
		return Options{}, errdefs.New(errdefs.ErrInvalid, "log option compress=true: needs max-size and max-file of at least 2")
	case opts["max-buffer-size"] != "" && !o.NonBlocking:
		return Options{}, errdefs.New(errdefs.ErrInvalid, "log option max-buffer-size=%s: needs mode=non-blocking", opts["max-buffer-size"])
	}
	return o, nil
}

func (o *Options) set(name, value string) (err error) {
	switch name {
	case "max-size":
		if value == "-1" { // Docker's word for "no limit"
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
	default:
		if !selectors[name] {
			return fmt.Errorf("driver %s has no such option", JSONFile)
		}
	}
	return err
}

// parseSize reads "10", "10b", "10k", "10m", "10g" (also "10kb", "10KiB"): powers of 1024, as Docker has it.
func parseSize(s string) (int64, error) {
	bad := fmt.Errorf("want a size such as 512k, 10m or 1g")
	unit := strings.ToLower(strings.TrimLeft(s, "0123456789."))
	number := s[:len(s)-len(unit)]
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
