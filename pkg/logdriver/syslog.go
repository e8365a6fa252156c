package logdriver

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// devLog is where the syslog daemon of a machine listens.
const devLog = "/dev/log"

// defaultFacility is daemon, as in Docker.
const defaultFacility = 3

// Severities of syslog: Docker's for the two streams.
const (
	severityError = 3
	severityInfo  = 6
)

// facilities are syslog's names by their number; 12 to 15 have none that Docker knows.
const facilities = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp - - - - local0 local1 local2 local3 local4 local5 local6 local7"

func facility(name string) (int, error) {
	list := strings.Fields(facilities)
	if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < len(list) {
		return n, nil
	}
	for n, known := range list {
		if name == known && name != "-" {
			return n, nil
		}
	}
	return 0, fmt.Errorf("want a facility such as daemon, user or local0, or its number")
}

// localSocket reads syslog-address. Only sockets of this machine are served: a daemon here passes on what is to go far.
func localSocket(address string) (string, error) {
	for _, scheme := range []string{"unixgram://", "unix://"} {
		if path, ok := strings.CutPrefix(address, scheme); ok && strings.HasPrefix(path, "/") {
			return path, nil
		}
	}
	if strings.Contains(address, "://") {
		return "", fmt.Errorf("only a socket of this machine works, as unixgram:///dev/log (let its syslog daemon forward to others)")
	}
	return "", fmt.Errorf("want a socket, as unixgram:///dev/log")
}

// syslogForm writes a message of syslog: to the local daemon by default, else as the RFCs have it.
type syslogForm struct {
	format   string
	facility int
	tag      string
	host     string
	pid      string
	head     []byte
}

func newSyslogForm(t Target, o Options) *syslogForm {
	host, _ := os.Hostname() // RFC 3164 and 5424 allow a message without
	if host == "" {
		host = "-"
	}
	return &syslogForm{format: o.Format, facility: o.Facility, tag: plainWord(t.Tag), host: host, pid: strconv.Itoa(os.Getpid())}
}

// plainWord is s without what would end a tag early.
func plainWord(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == '[' || r == ']' || r == ':' || r == 0x7f {
			return '_'
		}
		return r
	}, s)
}

func (f *syslogForm) begin(s Stream, now time.Time) {
	severity := severityInfo
	if s == Stderr {
		severity = severityError
	}
	h := append(f.head[:0], '<')
	h = append(strconv.AppendInt(h, int64(f.facility<<3|severity), 10), '>')
	switch f.format {
	case "rfc5424":
		h = f.rfc5424(h, now, time.RFC3339)
	case "rfc5424micro":
		h = f.rfc5424(h, now, "2006-01-02T15:04:05.000000Z07:00")
	case "rfc3164":
		h = append(now.AppendFormat(h, time.Stamp), ' ')
		h = f.tagged(append(append(h, f.host...), ' '))
	default:
		h = f.tagged(append(now.AppendFormat(h, time.Stamp), ' '))
	}
	f.head = h
}

func (f *syslogForm) tagged(h []byte) []byte {
	h = append(append(h, f.tag...), '[')
	return append(append(h, f.pid...), "]: "...)
}

func (f *syslogForm) rfc5424(h []byte, now time.Time, layout string) []byte {
	h = now.AppendFormat(append(h, "1 "...), layout)
	for _, word := range []string{f.host, f.tag, f.pid, f.tag, "-"} {
		h = append(append(h, ' '), word...)
	}
	return append(h, ' ')
}

// line is one message. What is not text would garble the daemon's own lines: control characters go.
func (f *syslogForm) line(dst, head, rest []byte) []byte {
	dst = append(dst, f.head...)
	for _, part := range [][]byte{head, rest} {
		for _, b := range part {
			switch {
			case b == '\n' || b == 0:
			case b < ' ' && b != '\t':
				dst = append(dst, ' ')
			default:
				dst = append(dst, b)
			}
		}
	}
	return dst
}
