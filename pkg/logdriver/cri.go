package logdriver

import (
	"bytes"
	"errors"
	"time"
)

// criForm is the form of Kubernetes: TIME STREAM F|P TEXT, with P for a line that goes on in the next one.
type criForm struct{ head []byte }

// criTime is RFC 3339 with nine digits of the second.
const criTime = "2006-01-02T15:04:05.000000000Z07:00"

func (f *criForm) begin(s Stream, now time.Time) {
	f.head = append(now.AppendFormat(f.head[:0], criTime), ' ')
	f.head = append(append(f.head, s.String()...), ' ')
}

func (f *criForm) line(dst, head, rest []byte) []byte {
	dst = append(dst, f.head...)
	kind, text := byte('P'), rest
	if n := len(rest); n > 0 && rest[n-1] == '\n' {
		kind, text = 'F', rest[:n-1]
	}
	dst = append(append(dst, kind, ' '), head...)
	return append(append(dst, text...), '\n')
}

var errNoCRI = errors.New("not a line of a k8s-file log")

// decodeCRI reads a line of the form (without its newline). The text gets the newline that a whole line had.
func (e *entry) decodeCRI(line []byte) error {
	at, rest, ok := bytes.Cut(line, []byte{' '})
	stream, rest, ok2 := bytes.Cut(rest, []byte{' '})
	tags, text, ok3 := bytes.Cut(rest, []byte{' '})
	if !ok2 && !ok3 || !ok || len(tags) == 0 {
		return errNoCRI
	}
	*e = entry{text: append(e.text[:0], text...), time: at}
	switch string(stream) {
	case "stdout":
	case "stderr":
		e.stream = Stderr
	default:
		return errNoCRI
	}
	switch tag, _, _ := bytes.Cut(tags, []byte{':'}); string(tag) {
	case "F":
		e.text = append(e.text, '\n')
	case "P":
	default:
		return errNoCRI
	}
	return nil
}

// completeCRI says whether a raw line holds the end of a line of the container.
func completeCRI(raw []byte) bool {
	head := raw[:min(len(raw), 64)] // time and stream are shorter
	for _, stream := range []string{" stdout F", " stderr F"} {
		if bytes.Contains(head, []byte(stream)) {
			return true
		}
	}
	return false
}
