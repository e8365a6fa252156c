package idmap

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Entry is one --uidmap or --gidmap: [+ug]CONTAINER:[@]HOST[:SIZE].
type Entry struct {
	Inside, Outside, Size uint32
	Host                  bool // @: Outside is an id of the machine, not of the namespace wherry works in
	Extend                bool // +: takes the ids away from what was mapped before
	UIDs, GIDs            bool // u, g: for these only
}

// Parse reads one entry.
func Parse(text string) (Entry, error) {
	var e Entry
	rest := strings.TrimLeft(text, "+ug")
	for _, c := range text[:len(text)-len(rest)] {
		switch c {
		case '+':
			e.Extend = true
		case 'u':
			e.UIDs = true
		case 'g':
			e.GIDs = true
		}
	}
	fields := strings.Split(rest, ":")
	if len(fields) == 2 {
		fields = append(fields, "1")
	}
	if len(fields) != 3 {
		return e, errdefs.New(errdefs.ErrInvalid, "it looks like CONTAINER:HOST:SIZE, as 0:1:1000")
	}
	outside, isHost := strings.CutPrefix(fields[1], "@")
	e.Host = isHost
	for _, f := range []struct {
		text string
		into *uint32
	}{{fields[0], &e.Inside}, {outside, &e.Outside}, {fields[2], &e.Size}} {
		n, err := strconv.ParseUint(f.text, 10, 32)
		if err != nil {
			return e, errdefs.New(errdefs.ErrInvalid, "%q is not an id or a number of them", f.text)
		}
		*f.into = uint32(n)
	}
	if e.Size == 0 || uint64(e.Inside)+uint64(e.Size) > uint64(all) || uint64(e.Outside)+uint64(e.Size) > uint64(all) {
		return e, errdefs.New(errdefs.ErrInvalid, "there are no such ids")
	}
	return e, nil
}

// ParseAll reads the values of one flag.
func ParseAll(texts []string) ([]Entry, error) {
	var entries []Entry
	for _, text := range texts {
		e, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Both gives each kind of ids its entries. Where only one flag is there it stands for both, but for entries that say
// themselves for which.
func Both(uids, gids []Entry) (u, g []Entry) {
	pick := func(flag, other []Entry, mine func(Entry) bool) []Entry {
		var out []Entry
		if len(flag) == 0 {
			flag = other
		}
		for _, e := range flag {
			if !e.UIDs && !e.GIDs || mine(e) {
				out = append(out, e)
			}
		}
		return out
	}
	return pick(uids, gids, func(e Entry) bool { return e.UIDs }), pick(gids, uids, func(e Entry) bool { return e.GIDs })
}

// Resolve makes the mapping that entries ask for in a namespace whose own mapping is own. Where they only extend, or
// there is none, they extend the identity.
func Resolve(entries []Entry, own []Map) ([]Map, error) {
	var m []Map
	if len(entries) == 0 || entries[0].Extend {
		m = Identity(own)
	}
	for _, e := range entries {
		lines := []Map{{ContainerID: e.Inside, HostID: e.Outside, Size: e.Size}}
		if e.Host {
			var err error
			if lines, err = FromHost(lines[0], own); err != nil {
				return nil, err
			}
		}
		for _, line := range lines {
			if e.Extend {
				m = extend(m, line)
			} else {
				m = append(m, line)
			}
		}
	}
	m = tidy(m)
	return m, check(m, own)
}

// FromHost turns the HostID of a line, which is an id of the machine, into those of the namespace with the mapping own.
func FromHost(line Map, own []Map) ([]Map, error) {
	if len(own) == 0 {
		return []Map{line}, nil
	}
	var out []Map
	left := uint64(line.Size)
	for _, o := range own {
		from, to := max(uint64(line.HostID), uint64(o.HostID)), min(uint64(line.HostID)+uint64(line.Size), uint64(o.HostID)+uint64(o.Size))
		if from >= to {
			continue
		}
		out = append(out, Map{ContainerID: line.ContainerID + uint32(from-uint64(line.HostID)), HostID: o.ContainerID + uint32(from-uint64(o.HostID)), Size: uint32(to - from)})
		left -= min(left, to-from)
	}
	if left > 0 {
		return nil, errdefs.New(errdefs.ErrInvalid, "ids %s of the machine are not all yours (add them to /etc/subuid and /etc/subgid, then run: wherry system migrate)",
			span(line.HostID, line.Size))
	}
	return out, nil
}

func span(start, size uint32) string {
	if size == 1 {
		return strconv.FormatUint(uint64(start), 10)
	}
	return fmt.Sprintf("%d to %d", start, uint64(start)+uint64(size)-1)
}

func spans(ranges []Range) string {
	var texts []string
	for _, r := range ranges {
		texts = append(texts, span(r.Start, r.Size))
	}
	return strings.Join(texts, ", ")
}
