package passwd

// UserName is what the user file below root calls an id; empty where it does not name it.
func UserName(root string, uid uint32) string {
	accounts, _ := read(root, "/etc/passwd", parsePasswd) // a broken file names nobody
	for _, a := range accounts {
		if a.uid == uid {
			return printable(a.name)
		}
	}
	return ""
}

// GroupName is what the group file below root calls an id; empty where it does not name it.
func GroupName(root string, gid uint32) string {
	groups, _ := read(root, "/etc/group", parseGroup)
	for _, g := range groups {
		if g.gid == gid {
			return printable(g.name)
		}
	}
	return ""
}

// printable is a name that does not act on a terminal; another one is none.
func printable(name string) string {
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return ""
		}
	}
	return name
}
