package libpod

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/pkg/caps"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/nearest"
	"github.com/wherry-containers/wherry/pkg/passwd"
	"golang.org/x/sys/unix"
)

// topField is one of Podman's descriptors.
type topField struct {
	name    string
	code    string // of AIX' ps, as in %p
	heading string
	value   func(*topProcess) string
}

// topFields are all that `top` knows.
func topFields() []topField {
	status := func(key string) func(*topProcess) string { return func(p *topProcess) string { return p.status[key] } }
	capabilities := func(key string) func(*topProcess) string {
		return func(p *topProcess) string { return capabilityText(p.status[key]) }
	}
	return []topField{
		{"args", "%a", "COMMAND", (*topProcess).args},
		{"capamb", "", "AMBIENT CAPS", capabilities("CapAmb")},
		{"capbnd", "", "BOUNDING CAPS", capabilities("CapBnd")},
		{"capeff", "", "EFFECTIVE CAPS", capabilities("CapEff")},
		{"capinh", "", "INHERITED CAPS", capabilities("CapInh")},
		{"capprm", "", "PERMITTED CAPS", capabilities("CapPrm")},
		{"comm", "%c", "COMMAND", status("Name")},
		{"etime", "%t", "ELAPSED", func(p *topProcess) string { return p.elapsed().String() }},
		{"group", "%g", "GROUP", func(p *topProcess) string { return p.groupName(p.id("Gid", 1)) }},
		{"groups", "", "GROUPS", func(p *topProcess) string { return p.groups(p.groupName) }},
		{"hgroup", "", "HGROUP", func(p *topProcess) string { return hostGroup(p.id("Gid", 1)) }},
		{"hgroups", "", "HGROUPS", func(p *topProcess) string { return p.groups(hostGroup) }},
		{"hpid", "", "HPID", func(p *topProcess) string { return strconv.Itoa(p.pid) }},
		{"huser", "", "HUSER", func(p *topProcess) string { return hostUser(p.id("Uid", 1)) }},
		{"label", "", "LABEL", (*topProcess).label},
		{"nice", "%n", "NI", func(p *topProcess) string { return p.stat(statNice) }},
		{"pcpu", "%C", "%CPU", (*topProcess).share},
		{"pgid", "%r", "PGID", func(p *topProcess) string { return p.inner("NSpgid") }},
		{"pid", "%p", "PID", func(p *topProcess) string { return p.inner("NSpid") }},
		{"ppid", "%P", "PPID", (*topProcess).parent},
		{"rgroup", "%G", "RGROUP", func(p *topProcess) string { return p.groupName(p.id("Gid", 0)) }},
		{"rss", "", "RSS", func(p *topProcess) string { return strings.TrimSuffix(p.status["VmRSS"], " kB") }},
		{"ruser", "%U", "RUSER", func(p *topProcess) string { return p.userName(p.id("Uid", 0)) }},
		{"seccomp", "", "SECCOMP", (*topProcess).seccomp},
		{"state", "", "STATE", func(p *topProcess) string { return p.stat(statState) }},
		{"stime", "", "STIME", func(p *topProcess) string { return p.started().Format(time.ANSIC) }},
		{"time", "%x", "TIME", func(p *topProcess) string { return p.used().String() }},
		{"tty", "%y", "TTY", (*topProcess).tty},
		{"user", "%u", "USER", func(p *topProcess) string { return p.userName(p.id("Uid", 1)) }},
		{"vsz", "%z", "VSZ", func(p *topProcess) string { return strings.TrimSuffix(p.status["VmSize"], " kB") }},
	}
}

// defaultTop is what Podman shows.
const defaultTop = "user pid ppid pcpu etime tty time args"

// describe makes the rows of Podman's descriptors; they may be joined by commas.
func describe(words []string, pids []int) ([][]string, error) {
	if len(words) == 0 {
		words = strings.Fields(defaultTop)
	}
	fields, err := chosenFields(strings.FieldsFunc(strings.Join(words, ","), func(r rune) bool { return r == ',' || r == ' ' }))
	if err != nil {
		return nil, err
	}
	heading := make([]string, len(fields))
	for i, f := range fields {
		heading[i] = f.heading
	}
	rows := [][]string{heading}
	slices.Sort(pids)
	for _, pid := range pids {
		p, err := readProcess(pid)
		if err != nil {
			continue // it has just ended
		}
		row := make([]string, len(fields))
		for i, f := range fields {
			row[i] = f.value(p)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func chosenFields(words []string) ([]topField, error) {
	all := topFields()
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].name
	}
	var chosen []topField
	for _, word := range words {
		at := slices.IndexFunc(all, func(f topField) bool { return f.name == strings.ToLower(word) || f.code != "" && f.code == word })
		if at < 0 {
			hint := ""
			if near := nearest.Of(word, names); near != "" {
				hint = fmt.Sprintf(", did you mean %q?", near)
			}
			return nil, errdefs.New(errdefs.ErrInvalid, "there is no field %q to show%s (%s; options of ps begin with -)", word, hint, strings.Join(names, ", "))
		}
		chosen = append(chosen, all[at])
	}
	return chosen, nil
}

// capabilityText names the capabilities of a mask: full for all of this kernel's, none.
func capabilityText(mask string) string {
	bits, err := strconv.ParseUint(mask, 16, 64)
	if err != nil {
		return "?"
	}
	last := 63
	if data, err := os.ReadFile("/proc/sys/kernel/cap_last_cap"); err == nil {
		last, _ = strconv.Atoi(strings.TrimSpace(string(data)))
	}
	switch {
	case bits == 0:
		return "none"
	case bits == 1<<(last+1)-1:
		return "full"
	}
	names := caps.Set(bits).Names()
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], "CAP_")
	}
	return strings.Join(names, ",")
}

// hostUser is the user of the host that an id of our namespace is.
func hostUser(id uint32) string {
	text := strconv.FormatUint(uint64(onHost("/proc/self/uid_map", id)), 10)
	if u, err := user.LookupId(text); err == nil {
		return u.Username
	}
	return text
}

func hostGroup(id uint32) string {
	text := strconv.FormatUint(uint64(onHost("/proc/self/gid_map", id)), 10)
	if g, err := user.LookupGroupId(text); err == nil {
		return g.Name
	}
	return text
}

// onHost maps an id of our own namespace to that of the one around it.
func onHost(file string, id uint32) uint32 {
	for _, m := range idMap(file) {
		if id >= m[0] && id-m[0] < m[2] {
			return m[1] + id - m[0]
		}
	}
	return id
}

// inProcess maps an id of our own namespace to that of the process whose map file is.
func inProcess(file string, id uint32) uint32 {
	for _, m := range idMap(file) {
		if id >= m[1] && id-m[1] < m[2] {
			return m[0] + id - m[1]
		}
	}
	return id
}

// idMap reads lines of three numbers: inside, outside, count.
func idMap(file string) (list [][3]uint32) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(data)) {
		var m [3]uint32
		if n, _ := fmt.Sscan(line, &m[0], &m[1], &m[2]); n == 3 {
			list = append(list, m)
		}
	}
	return list
}

// userName is what the container calls a user.
func (p *topProcess) userName(id uint32) string {
	inside := inProcess(p.path("uid_map"), id)
	return firstOf(passwd.UserName(p.path("root"), inside), strconv.FormatUint(uint64(inside), 10))
}

func (p *topProcess) groupName(id uint32) string {
	inside := inProcess(p.path("gid_map"), id)
	return firstOf(passwd.GroupName(p.path("root"), inside), strconv.FormatUint(uint64(inside), 10))
}

// uptime is how long the machine has been up.
func uptime() time.Duration {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}
