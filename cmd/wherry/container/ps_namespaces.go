package container

import (
	"os"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
)

const namespaceTable = `{{.ID}}\t{{.Names}}\t{{.PID}}\t{{.CGROUPNS}}\t{{.IPC}}\t{{.MNT}}\t{{.NET}}\t{{.PIDNS}}\t{{.USERNS}}\t{{.UTS}}`

// namespaceRow is one container as `ps --namespace` shows it; the fields are Podman's. Of one that does not run the
// numbers are empty.
type namespaceRow struct {
	ID, Names, PID, CGROUPNS, IPC, MNT, NET, PIDNS, USERNS, UTS string
}

// Headings are Podman's.
func (namespaceRow) Headings() map[string]string { return map[string]string{"ID": "CONTAINER ID"} }

func printNamespaces(env *cmdkit.Env, rows []libpod.Summary, opts listOptions) error {
	list := make([]namespaceRow, len(rows))
	for i := range rows {
		s := &rows[i]
		row := namespaceRow{ID: shortened(s.ID, opts.noTrunc), Names: s.Name}
		if s.Pid > 0 {
			row.PID = strconv.Itoa(s.Pid)
			for name, field := range map[string]*string{"cgroup": &row.CGROUPNS, "ipc": &row.IPC, "mnt": &row.MNT, "net": &row.NET,
				"pid": &row.PIDNS, "user": &row.USERNS, "uts": &row.UTS} {
				*field = namespaceOf(row.PID, name)
			}
		}
		list[i] = row
	}
	return env.PrintListing(list, cmdkit.Listing{Format: opts.format, Table: namespaceTable, NoHeading: opts.noHeading})
}

// namespaceOf is the number of a namespace of a process: the link reads net:[4026531840].
func namespaceOf(pid, name string) string {
	link, err := os.Readlink("/proc/" + pid + "/ns/" + name)
	if err != nil {
		return ""
	}
	return strings.Trim(strings.TrimPrefix(link, name+":"), "[]")
}
