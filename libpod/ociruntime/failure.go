package ociruntime

import (
	"encoding/json"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Failure is the error for a failed start or exec: text is what the runtime wrote (its log file or stderr), of which
// the last line is shown. Its kind is ErrNoCommand or ErrNotExecutable where the runtime says so: errdefs.ExitCode
// knows 126 and 127.
func (r *Runtime) Failure(text string) error {
	line := lastLine(text)
	if line == "" {
		return errdefs.New(errdefs.ErrState, "%s failed without a message", r.Path)
	}
	if kind := commandKind(line); kind != nil {
		return errdefs.New(kind, "%s", line)
	}
	return errdefs.New(errdefs.ErrState, "%s: %s", r.Kind.label(r.Path), line)
}

func (k Kind) label(path string) string {
	if k == Other {
		return path
	}
	return string(k)
}

// lastLine takes the last message of a JSON log that is an error, else the last line that says something.
func lastLine(text string) string {
	last := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		var entry struct{ Msg, Level string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg != "" {
			if entry.Level == "warning" || entry.Level == "debug" || entry.Level == "info" {
				continue
			}
			line = strings.TrimSpace(entry.Msg)
		}
		last = line
	}
	return printable(plain(last))
}

// plain takes out the colours that crun puts into its log when its stderr is a terminal: ESC [ ... m.
func plain(s string) string {
	for {
		at := strings.Index(s, "\x1b[")
		if at < 0 {
			return s
		}
		end := strings.IndexByte(s[at:], 'm')
		if end < 0 {
			return s[:at]
		}
		s = s[:at] + s[at+end+1:]
	}
}

// printable keeps a hostile file name in a message from steering the terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c == 0x7f {
			return ' '
		}
		return c
	}, s)
}

// commandKind tells what is wrong with the container's command from what is wrong with the container.
func commandKind(line string) error {
	l := strings.ToLower(line)
	ours := strings.Contains(l, "executable file") || strings.Contains(l, "open executable") ||
		strings.Contains(l, "exec: ") || strings.HasPrefix(l, "exec ") || strings.Contains(l, "find executable")
	switch {
	case strings.Contains(l, "exec format error"):
		return errdefs.ErrNotExecutable
	case !ours:
		return nil
	case strings.Contains(l, "permission denied"), strings.Contains(l, "operation not permitted"), strings.Contains(l, "is a directory"), strings.Contains(l, "not executable"):
		return errdefs.ErrNotExecutable
	case strings.Contains(l, "not found"), strings.Contains(l, "no such file or directory"), strings.Contains(l, "not a directory"):
		return errdefs.ErrNoCommand
	}
	return nil
}
