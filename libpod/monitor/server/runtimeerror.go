package server

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// runtimeError finds the runtime's own last words: in its log, else on its stderr, which is the container's.
func (s *Server) runtimeError(status unix.WaitStatus) *failure {
	fallback := fmt.Sprintf("exit status %d", exitCode(status))
	text := ""
	if path := logPath(s.job.StartArgs); path != "" {
		data, _ := os.ReadFile(path)
		text = lastLine(data, "")
	}
	if text == "" && s.stdio.out[1] >= 0 {
		n, _ := unix.Read(s.stdio.out[1], s.buf)
		text = lastLine(s.buf[:max(n, 0)], "")
	}
	if text == "" {
		text = fallback
	}
	return s.runtimeFailure(text)
}

func (s *Server) runtimeFailure(text string) *failure {
	return &failure{text: filepath.Base(s.job.Runtime) + ": " + text, exit: classify(text)}
}

// logPath is the value of --log among the runtime's arguments.
func logPath(args []string) string {
	for i, arg := range args {
		if path, ok := strings.CutPrefix(arg, "--log="); ok {
			return path
		}
		if arg == "--log" && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// lastLine is the message in the last line of a runtime's log or stderr.
func lastLine(data []byte, fallback string) string {
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	line := strings.TrimSpace(lines[len(lines)-1])
	if line == "" {
		return fallback
	}
	return message(line)
}

// message takes the text out of a line: JSON of crun and runc, or runc's key=value form, or crun's with a time.
func message(line string) string {
	var entry struct{ Msg string }
	if line[0] == '{' && json.Unmarshal([]byte(line), &entry) == nil && entry.Msg != "" {
		return entry.Msg
	}
	if _, rest, ok := strings.Cut(line, " msg="); ok && strings.HasPrefix(line, "time=") {
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			if text, err := strconv.Unquote(quoted); err == nil {
				return text
			}
		}
		return rest
	}
	if at, rest, ok := strings.Cut(line, ": "); ok && isTime(at) {
		return rest
	}
	return line
}

func isTime(s string) bool {
	return len(s) > 10 && strings.Trim(s, "0123456789-:.TZ+") == ""
}

// classify tells a command that is not in the container (127) and one that cannot be executed (126) from the rest.
func classify(text string) int {
	text = strings.ToLower(text)
	switch {
	case !strings.Contains(text, "exec"):
		return 125
	case strings.Contains(text, "not found"):
		return 127
	case strings.Contains(text, "open executable: operation not permitted"): // crun's word for a directory
		return 126
	case strings.Contains(text, "permission denied"), strings.Contains(text, "is a directory"),
		strings.Contains(text, "exec format error"), strings.Contains(text, "not executable"):
		return 126
	case strings.Contains(text, "no such file or directory") && !strings.Contains(text, "mount"):
		return 127
	}
	return 125
}

// readFD reads a file from its start.
func readFD(fd int) []byte {
	data := make([]byte, 8<<10)
	n, _ := unix.Pread(fd, data, 0)
	return data[:max(n, 0)]
}
