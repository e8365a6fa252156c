package passwd

import (
	"bytes"
	"strconv"
	"strings"
)

type account struct {
	name     string
	uid, gid uint32
	home     string
}

type group struct {
	name    string
	gid     uint32
	members []string
}

// parsePasswd reads name:password:uid:gid:comment:home:shell lines and passes over what is not one.
func parsePasswd(data []byte) []account {
	var accounts []account
	for f := range fields(data) {
		if len(f) < 4 {
			continue
		}
		uid, ok1 := parseID(f[2])
		gid, ok2 := parseID(f[3])
		if !ok1 || !ok2 {
			continue
		}
		a := account{name: f[0], uid: uid, gid: gid}
		if len(f) > 5 {
			a.home = f[5]
		}
		accounts = append(accounts, a)
	}
	return accounts
}

// parseGroup reads name:password:gid:member,member lines and passes over what is not one.
func parseGroup(data []byte) []group {
	var groups []group
	for f := range fields(data) {
		if len(f) < 3 {
			continue
		}
		gid, ok := parseID(f[2])
		if !ok {
			continue
		}
		g := group{name: f[0], gid: gid}
		if len(f) > 3 && f[3] != "" {
			for m := range strings.SplitSeq(f[3], ",") {
				g.members = append(g.members, strings.TrimSpace(m))
			}
		}
		groups = append(groups, g)
	}
	return groups
}

// fields yields the colon-separated fields of each line that has a name.
func fields(data []byte) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range bytes.SplitSeq(data, []byte("\n")) {
			text := strings.TrimSpace(string(line))
			if text == "" || text[0] == '#' || text[0] == ':' || text[0] == '+' || text[0] == '-' {
				continue
			}
			if !yield(strings.Split(text, ":")) {
				return
			}
		}
	}
}

func parseID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	return uint32(n), err == nil && n <= maxID
}
