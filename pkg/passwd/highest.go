package passwd

// nobody is the id that stands for those without one; no file is meant to be its.
const nobody = 65534

// Highest is the highest id that the user and group files below root give, nobody's aside; 0 where there are none.
func Highest(root string) uint32 {
	var highest uint32
	accounts, _ := read(root, "/etc/passwd", parsePasswd) // a broken file is reported at the start
	for _, a := range accounts {
		for _, id := range []uint32{a.uid, a.gid} {
			if id != nobody {
				highest = max(highest, id)
			}
		}
	}
	groups, _ := read(root, "/etc/group", parseGroup)
	for _, g := range groups {
		if g.gid != nobody {
			highest = max(highest, g.gid)
		}
	}
	return highest
}

// HasGroup tells whether the group file below root names the id.
func HasGroup(root string, gid uint32) bool {
	groups, _ := read(root, "/etc/group", parseGroup)
	for _, g := range groups {
		if g.gid == gid {
			return true
		}
	}
	return false
}
