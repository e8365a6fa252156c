package rootless

import (
	"bufio"
	"io"
	"os"
	"os/user"
	"sort"
	"strconv"
	"strings"
)

// Range is a range of subordinate ids, first id and number of ids.
type Range struct{ Start, Length int64 }

// subidEntry is one line of /etc/subuid or /etc/subgid. The owner is a name or a number.
type subidEntry struct {
	owner string
	Range
}

const maxID = 1<<32 - 2

// parseSubids reads the format of subuid(5). Lines that are not in it, of whomever, are passed over: they are no
// reason to lock out this user.
func parseSubids(r io.Reader) []subidEntry {
	var entries []subidEntry
	for s := bufio.NewScanner(r); s.Scan(); {
		parts := strings.Split(strings.TrimSpace(s.Text()), ":")
		if len(parts) != 3 || parts[0] == "" || parts[0][0] == '#' {
			continue
		}
		start, err1 := strconv.ParseInt(parts[1], 10, 64)
		length, err2 := strconv.ParseInt(parts[2], 10, 64)
		if err1 != nil || err2 != nil || start < 0 || length <= 0 || start > maxID || length > maxID+1-start {
			continue
		}
		entries = append(entries, subidEntry{parts[0], Range{start, length}})
	}
	return entries
}

func readSubids(path string) []subidEntry {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	return parseSubids(f)
}

// maxExtents is the kernel's limit of a map, less the line of the user's own id.
const maxExtents = 340 - 1

// rangesOf are the ranges of a user, by name or by number, in the order of the file.
func rangesOf(entries []subidEntry, name string, id int) []Range {
	var ranges []Range
	for _, e := range entries {
		if (e.owner == strconv.Itoa(id) || name != "" && e.owner == name) && len(ranges) < maxExtents {
			ranges = append(ranges, e.Range)
		}
	}
	return ranges
}

// freeRange is the first range of 65536 ids from 100000 on that no entry touches.
func freeRange(entries []subidEntry) Range {
	sorted := append([]subidEntry(nil), entries...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Start < sorted[j].Start })
	free := Range{Start: 100000, Length: 65536}
	for _, e := range sorted {
		if e.Start < free.Start+free.Length && free.Start < e.Start+e.Length {
			free.Start = e.Start + e.Length
		}
	}
	return free
}

// userName is the login name of a uid. Users that only a directory service knows have theirs from the environment;
// newuidmap checks the claim.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	return strconv.Itoa(uid)
}
