package libpod

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// psOfHost runs the host's ps and keeps the lines of the container's processes, as Docker does.
func psOfHost(ctx context.Context, options []string, pids []int) ([][]string, error) {
	path, err := exec.LookPath("ps")
	if err != nil {
		return nil, errdefs.New(errdefs.ErrUnsupported, "there is no ps on this machine (install procps, or name fields: user pid args)")
	}
	cmd := exec.CommandContext(ctx, path, options...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		return nil, errdefs.New(errdefs.ErrInvalid, "ps %s: %s", strings.Join(options, " "), firstOf(first, fmt.Sprint(err)))
	}
	return ownLines(string(out), pids)
}

// ownLines cuts ps' lines into as many fields as its heading has, the last of which may hold blanks, and keeps those with
// one of the pids.
func ownLines(out string, pids []int) ([][]string, error) {
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	heading := strings.Fields(lines[0])
	at := slices.Index(heading, "PID")
	if at < 0 {
		return nil, errdefs.New(errdefs.ErrInvalid, "ps shows no column PID, by which the container's processes are found (add it: -o pid,...)")
	}
	rows := [][]string{heading}
	for _, line := range lines[1:] {
		fields := cutFields(line, len(heading))
		if len(fields) <= at {
			continue
		}
		if pid, err := strconv.Atoi(fields[at]); err == nil && slices.Contains(pids, pid) {
			rows = append(rows, fields)
		}
	}
	return rows, nil
}

// cutFields is strings.Fields with at most n fields, the last of which keeps its blanks.
func cutFields(line string, n int) []string {
	var fields []string
	for rest := strings.TrimLeft(line, " \t"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		if len(fields) == n-1 {
			return append(fields, strings.TrimRight(rest, " \t"))
		}
		end := strings.IndexAny(rest, " \t")
		if end < 0 {
			end = len(rest)
		}
		fields, rest = append(fields, rest[:end]), rest[end:]
	}
	return fields
}
