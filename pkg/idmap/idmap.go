// Package idmap computes id mappings of user namespaces. A mapping's ContainerID is the id inside, its HostID the id in
// the namespace of whoever makes it: for a user without root that is the namespace wherry works in, in which 0 is the
// user and 1 and up are the subordinate ids.
package idmap

import (
	"cmp"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Map is one line of a mapping.
type Map = specs.LinuxIDMapping

// maxLines is the kernel's limit for one mapping.
const maxLines = 340

// all is as many ids as there are: the last one has a meaning of its own.
const all = ^uint32(0)

// Available lists the ids that a namespace has, given its own mapping, as ranges in order; no mapping means all ids.
func Available(own []Map) []Range {
	if len(own) == 0 {
		return []Range{{0, all}}
	}
	var ranges []Range
	for _, m := range own {
		if m.Size > 0 && m.ContainerID+m.Size > m.ContainerID {
			ranges = append(ranges, Range{m.ContainerID, m.Size})
		}
	}
	return joined(ranges)
}

// Range is Size ids from Start on.
type Range struct{ Start, Size uint32 }

func (r Range) end() uint64 { return uint64(r.Start) + uint64(r.Size) }

// joined sorts ranges and makes one of those that touch.
func joined(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.Start, b.Start) })
	var out []Range
	for _, r := range ranges {
		if n := len(out); n > 0 && out[n-1].end() >= uint64(r.Start) {
			out[n-1].Size = uint32(max(out[n-1].end(), r.end()) - uint64(out[n-1].Start))
			continue
		}
		out = append(out, r)
	}
	return out
}

// Identity maps every id of a namespace to itself.
func Identity(own []Map) []Map {
	var m []Map
	for _, r := range Available(own) {
		m = append(m, Map{ContainerID: r.Start, HostID: r.Start, Size: r.Size})
	}
	return m
}

// Split cuts the lines of a mapping where the namespace with the mapping own has a line's end: the kernel wants each line
// within one of its own.
func Split(m []Map, own []Map) []Map {
	if len(own) == 0 || m == nil {
		return m
	}
	var out []Map
	for _, e := range m {
		for _, o := range own {
			from, to := max(e.HostID, o.ContainerID), min(uint64(e.HostID)+uint64(e.Size), uint64(o.ContainerID)+uint64(o.Size))
			if uint64(from) < to {
				out = append(out, Map{ContainerID: e.ContainerID + from - e.HostID, HostID: from, Size: uint32(to - uint64(from))})
			}
		}
	}
	return out
}

// Keep maps id to 0 and the n-1 ids from 1 on to what is around it.
func Keep(id, n uint32) []Map {
	sub := n - 1
	below := min(id, sub)
	var m []Map
	if below > 0 {
		m = append(m, Map{ContainerID: 0, HostID: 1, Size: below})
	}
	m = append(m, Map{ContainerID: id, HostID: 0, Size: 1})
	if sub > below {
		m = append(m, Map{ContainerID: id + 1, HostID: below + 1, Size: sub - below})
	}
	return m
}

// Holds tells whether a mapping has id inside; none at all has every id.
func Holds(m []Map, id uint32) bool {
	return len(m) == 0 || slices.ContainsFunc(m, func(e Map) bool { return id >= e.ContainerID && id-e.ContainerID < e.Size })
}

// extend puts m into a mapping and takes out of it what has the same ids, inside or outside.
func extend(base []Map, m Map) []Map {
	inside, outside := Range{m.ContainerID, m.Size}, Range{m.HostID, m.Size}
	var kept []Map
	for _, e := range base {
		for _, part := range without(e, inside, false) {
			kept = append(kept, without(part, outside, true)...)
		}
	}
	return append(kept, m)
}

// without is what is left of e when the ids of cut, outside or inside ones, are taken out of it.
func without(e Map, cut Range, outside bool) []Map {
	start := uint64(e.ContainerID)
	if outside {
		start = uint64(e.HostID)
	}
	end, size := start+uint64(e.Size), uint64(e.Size)
	from, to := max(start, uint64(cut.Start)), min(end, cut.end())
	if from >= to {
		return []Map{e}
	}
	var parts []Map
	if n := from - start; n > 0 {
		parts = append(parts, Map{ContainerID: e.ContainerID, HostID: e.HostID, Size: uint32(n)})
	}
	if skip := to - start; skip < size {
		parts = append(parts, Map{ContainerID: e.ContainerID + uint32(skip), HostID: e.HostID + uint32(skip), Size: uint32(size - skip)})
	}
	return parts
}

// tidy sorts a mapping by the ids inside and makes one line of those that continue each other.
func tidy(m []Map) []Map {
	slices.SortFunc(m, func(a, b Map) int { return cmp.Compare(a.ContainerID, b.ContainerID) })
	var out []Map
	for _, e := range m {
		n := len(out)
		if n > 0 && uint64(out[n-1].ContainerID)+uint64(out[n-1].Size) == uint64(e.ContainerID) &&
			uint64(out[n-1].HostID)+uint64(out[n-1].Size) == uint64(e.HostID) {
			out[n-1].Size += e.Size
			continue
		}
		out = append(out, e)
	}
	return out
}

// check refuses what the kernel would: an id that is there twice, or ids that the namespace own does not have.
func check(m []Map, own []Map) error {
	if len(m) == 0 {
		return errdefs.New(errdefs.ErrInvalid, "no ids are mapped")
	}
	if len(m) > maxLines {
		return errdefs.New(errdefs.ErrInvalid, "%d ranges are more than the kernel's %d", len(m), maxLines)
	}
	have := Available(own)
	for i, e := range m {
		if !slices.ContainsFunc(have, func(r Range) bool { return e.HostID >= r.Start && uint64(e.HostID)+uint64(e.Size) <= r.end() }) {
			return errdefs.New(errdefs.ErrInvalid, "ids %s are not among those you have, %s (add a larger range to /etc/subuid and /etc/subgid, then run: wherry system migrate)",
				span(e.HostID, e.Size), spans(have))
		}
		for _, o := range m[:i] {
			if overlaps(e.ContainerID, e.Size, o.ContainerID, o.Size) {
				return errdefs.New(errdefs.ErrInvalid, "ids %s inside the container are mapped twice (a + before the later one takes them away from the earlier one)",
					span(e.ContainerID, e.Size))
			}
			if overlaps(e.HostID, e.Size, o.HostID, o.Size) {
				return errdefs.New(errdefs.ErrInvalid, "ids %s outside are mapped twice (a + before the later one takes them away from the earlier one)",
					span(e.HostID, e.Size))
			}
		}
	}
	return nil
}

func overlaps(a, n, b, m uint32) bool {
	return uint64(a) < uint64(b)+uint64(m) && uint64(b) < uint64(a)+uint64(n)
}
