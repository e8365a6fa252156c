package rootless

// RangesOf are the subordinate ids that /etc/subuid, or with gids /etc/subgid, gives to a name.
func RangesOf(name string, gids bool) []Range {
	path := "/etc/subuid"
	if gids {
		path = "/etc/subgid"
	}
	var ranges []Range
	for _, e := range readSubids(path) {
		if e.owner == name && len(ranges) < maxExtents {
			ranges = append(ranges, e.Range)
		}
	}
	return ranges
}
