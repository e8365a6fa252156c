package idmap

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Auto are the options of --userns auto.
type Auto struct {
	Size       uint32 // 0: as the image's users need
	UIDs, GIDs []Entry
}

// ParseAuto reads size=N,uidmapping=C:H:S,gidmapping=C:H:S.
func ParseAuto(options string) (Auto, error) {
	var a Auto
	for _, option := range strings.Split(options, ",") {
		if option == "" {
			continue
		}
		key, value, _ := strings.Cut(option, "=")
		var err error
		switch key {
		case "size":
			var n uint64
			if n, err = strconv.ParseUint(value, 10, 32); err != nil || n == 0 || uint32(n) == all {
				return a, errdefs.New(errdefs.ErrInvalid, "size=%s is not a number of ids", value)
			}
			a.Size = uint32(n)
		case "uidmapping":
			a.UIDs, err = added(a.UIDs, value)
		case "gidmapping":
			a.GIDs, err = added(a.GIDs, value)
		default:
			return a, errdefs.New(errdefs.ErrInvalid, "auto takes size=N, uidmapping=C:H:S and gidmapping=C:H:S, not %q", option)
		}
		if err != nil {
			return a, err
		}
	}
	return a, nil
}

func added(list []Entry, text string) ([]Entry, error) {
	e, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	e.Extend = true
	return append(list, e), nil
}

// Map is the mapping of size ids from start on, with the option's own ones in it.
func (a Auto) Map(start, size uint32, own []Map, fixed []Entry) ([]Map, error) {
	base := []Entry{{Outside: start, Size: size}}
	return Resolve(append(base, fixed...), own)
}

// Reserved are the ids of a namespace that the options claim for themselves.
func Reserved(fixed []Entry, own []Map) []Range {
	var ranges []Range
	for _, e := range fixed {
		lines := []Map{{HostID: e.Outside, Size: e.Size}}
		if e.Host {
			lines, _ = FromHost(lines[0], own)
		}
		for _, l := range lines {
			ranges = append(ranges, Range{l.HostID, l.Size})
		}
	}
	return ranges
}

// Free is the lowest start of size ids that are all in have and in none of taken.
func Free(have, taken []Range, size uint32) (uint32, bool) {
	taken = joined(append([]Range(nil), taken...))
	for _, h := range have {
		start := uint64(h.Start)
		for _, t := range taken {
			if t.end() <= start {
				continue
			}
			if start+uint64(size) <= uint64(t.Start) {
				break
			}
			start = t.end()
		}
		if start+uint64(size) <= h.end() {
			return uint32(start), true
		}
	}
	return 0, false
}

// Common are the ids that are in both.
func Common(a, b []Range) []Range {
	var out []Range
	for _, x := range a {
		for _, y := range b {
			from, to := max(uint64(x.Start), uint64(y.Start)), min(x.end(), y.end())
			if from < to {
				out = append(out, Range{uint32(from), uint32(to - from)})
			}
		}
	}
	return joined(out)
}

// Minus is r without the single id.
func Minus(ranges []Range, id uint32) []Range {
	var out []Range
	for _, r := range ranges {
		for _, m := range without(Map{ContainerID: r.Start, HostID: r.Start, Size: r.Size}, Range{id, 1}, false) {
			out = append(out, Range{m.ContainerID, m.Size})
		}
	}
	return out
}
