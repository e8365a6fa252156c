package logdriver

import (
	"encoding/binary"
	"strings"
	"time"
)

// journalSocket is where journald takes entries in its native form.
const journalSocket = "/run/systemd/journal/socket"

// Fields of the journal, Docker's and Podman's: JournalID is by which a container's entries are found. fieldEnd is ours: an entry without a message that has it is the last
// one of a run.
const (
	JournalID    = "CONTAINER_ID_FULL"
	fieldPartial = "CONTAINER_PARTIAL_MESSAGE"
	fieldEnd     = "WHERRY_LOG_END"
)

// journalForm writes entries of systemd's journal.
type journalForm struct {
	fields []byte // the same in each entry
	head   []byte
}

func newJournalForm(t Target) *journalForm {
	f := &journalForm{}
	for _, name := range sortedKeys(t.Fields) {
		f.fields = AppendField(f.fields, name, []byte(t.Fields[name]))
	}
	f.fields = AppendField(f.fields, "CONTAINER_TAG", []byte(t.Tag))
	f.fields = AppendField(f.fields, "SYSLOG_IDENTIFIER", []byte(t.Tag))
	for _, name := range sortedKeys(t.Attrs) {
		if field := JournalField(name); field != "" {
			f.fields = AppendField(f.fields, field, []byte(t.Attrs[name]))
		}
	}
	return f
}

// JournalField is a label's or variable's name as the journal takes it: capitals, digits and _, not first; empty if
// nothing is left.
func JournalField(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
	name = strings.TrimLeft(name, "_0123456789")
	return name[:min(len(name), 64)]
}

// AppendField appends NAME=value, or, where the value has line ends, its length in front.
func AppendField(dst []byte, name string, value []byte) []byte {
	dst = append(dst, name...)
	for _, b := range value {
		if b == '\n' {
			dst = binary.LittleEndian.AppendUint64(append(dst, '\n'), uint64(len(value)))
			return append(append(dst, value...), '\n')
		}
	}
	return append(append(append(dst, '='), value...), '\n')
}

func (f *journalForm) begin(s Stream, now time.Time) {
	priority := "PRIORITY=6\n"
	if s == Stderr {
		priority = "PRIORITY=3\n"
	}
	f.head = append(append(f.head[:0], f.fields...), priority...)
	f.head = append(f.head, "SYSLOG_TIMESTAMP="...)
	f.head = append(now.UTC().AppendFormat(f.head, time.RFC3339Nano), '\n')
}

func (f *journalForm) line(dst, head, rest []byte) []byte {
	dst = append(dst, f.head...)
	text := rest
	if n := len(rest); n > 0 && rest[n-1] == '\n' {
		text = rest[:n-1]
	} else {
		dst = append(dst, fieldPartial+"=true\n"...)
	}
	// The length in front spares a search; a text may hold anything.
	dst = append(dst, "MESSAGE\n"...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(head)+len(text)))
	return append(append(append(dst, head...), text...), '\n')
}

// end is the mark of the end.
func (f *journalForm) end(dst []byte) []byte {
	dst = append(append(dst, f.fields...), "PRIORITY=7\n"...)
	return append(dst, fieldEnd+"=1\n"...)
}

// JournalFields are those that JournalLine and JournalEnd look at.
func JournalFields() []string {
	return []string{"MESSAGE", "PRIORITY", "SYSLOG_TIMESTAMP", fieldPartial, fieldEnd}
}

// JournalLine makes a line of an entry, whose fields value returns; ok is false for one that is no line. Its time is
// zero where the entry has none of its own.
func JournalLine(value func(field string) []byte) (l Line, ok bool) {
	message := value("MESSAGE")
	if message == nil || JournalEnd(value) {
		return l, false
	}
	l.Text = message
	if value(fieldPartial) == nil {
		l.Text = append(l.Text, '\n')
	}
	if string(value("PRIORITY")) == "3" {
		l.Stream = Stderr
	}
	l.Time, _ = time.Parse(time.RFC3339Nano, string(value("SYSLOG_TIMESTAMP"))) // of an entry that others wrote
	return l, true
}

// JournalEnd says whether the entry is the mark of a run's end.
func JournalEnd(value func(field string) []byte) bool { return value(fieldEnd) != nil }
