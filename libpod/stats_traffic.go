package libpod

import (
	"strconv"
	"strings"
)

// Traffic is what one network interface has passed since it is there.
type Traffic struct {
	BytesIn, PacketsIn, ErrorsIn, DroppedIn     uint64
	BytesOut, PacketsOut, ErrorsOut, DroppedOut uint64
}

// interfaces reads /proc/PID/net/dev: a line for each interface but the loopback, with eight numbers of what came in and
// eight of what went out.
func interfaces(text string) map[string]Traffic {
	all := map[string]Traffic{}
	for line := range strings.Lines(text) {
		name, rest, found := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if name = strings.TrimSpace(name); !found || len(fields) < 12 || name == "lo" {
			continue
		}
		n := make([]uint64, 12)
		for i := range n {
			n[i], _ = strconv.ParseUint(fields[i], 10, 64)
		}
		all[name] = Traffic{BytesIn: n[0], PacketsIn: n[1], ErrorsIn: n[2], DroppedIn: n[3], BytesOut: n[8], PacketsOut: n[9], ErrorsOut: n[10], DroppedOut: n[11]}
	}
	return all
}
