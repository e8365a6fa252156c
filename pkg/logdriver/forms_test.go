package logdriver

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

func TestCRIRoundTrip(t *testing.T) {
	enc := encoder{form: &criForm{}}
	enc.form.begin(Stderr, at)
	keep := func(b []byte) []byte { return b }
	file := enc.take(nil, Stderr, []byte("one\ntwo \\ three\r\n\nlast"), keep)
	file = enc.rest(file, Stderr)
	const head = "2026-01-02T03:04:05.678900000Z stderr "
	if want := head + "F one\n" + head + "F two \\ three\r\n" + head + "F \n" + head + "P last\n"; string(file) != want {
		t.Errorf("%q", file)
	}
	var got []byte
	for line := range bytes.Lines(file) {
		var e entry
		if err := e.decode(bytes.TrimSuffix(line, []byte{'\n'})); err != nil || e.stream != Stderr || !e.when().Equal(at) {
			t.Fatalf("%q: %v", line, err)
		}
		if complete(line) != strings.HasSuffix(string(e.text), "\n") {
			t.Errorf("%q: complete %v", line, complete(line))
		}
		got = append(got, e.text...)
	}
	if string(got) != "one\ntwo \\ three\r\n\nlast" {
		t.Errorf("%q", got)
	}
}

// Lines of conmon and of kubelet: another zone, further tags, and what is none.
func TestCRIOfOthers(t *testing.T) {
	for line, want := range map[string]string{
		"2026-01-02T04:04:05.6789+01:00 stdout F hello world": "hello world\n",
		"2026-01-02T04:04:05.6789+01:00 stdout P:x half":      "half",
		"2026-01-02T04:04:05.6789+01:00 stdout F ":            "\n",
		"2026-01-02T04:04:05Z stdin F x":                      "",
		"2026-01-02T04:04:05Z stdout X x":                     "",
		"nonsense":                                            "",
	} {
		var e entry
		if err := e.decode([]byte(line)); (err == nil) != (want != "") || err == nil && string(e.text) != want {
			t.Errorf("%q: %q %v", line, e.text, err)
		}
	}
}

func FuzzCRI(f *testing.F) {
	f.Add([]byte("2026-01-02T04:04:05.6789+01:00 stdout F hello"))
	f.Add([]byte("a stderr P:x:y "))
	f.Fuzz(func(t *testing.T, line []byte) {
		var e entry
		if e.decodeCRI(line) == nil {
			e.when()
			e.details()
		}
		completeCRI(line)
	})
}

func TestSyslogForms(t *testing.T) {
	for format, want := range map[string]string{
		"":             "<27>Jan  2 03:04:05 a_b[7]: text here",
		"rfc3164":      "<27>Jan  2 03:04:05 host a_b[7]: text here",
		"rfc5424":      "<27>1 2026-01-02T03:04:05Z host a_b 7 a_b - text here",
		"rfc5424micro": "<27>1 2026-01-02T03:04:05.678900Z host a_b 7 a_b - text here",
	} {
		f := newSyslogForm(Target{Tag: "a b"}, Options{Facility: 3, Format: format})
		f.host, f.pid = "host", "7"
		f.begin(Stderr, at)
		if got := string(f.line(nil, []byte("te"), []byte("xt\x01here\n"))); got != want {
			t.Errorf("%s: %q", format, got)
		}
	}
}

// fieldsOf reads the native form of the journal.
func fieldsOf(t *testing.T, data []byte) map[string]string {
	t.Helper()
	fields := map[string]string{}
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		if name, value, ok := strings.Cut(string(data[:end]), "="); ok {
			fields[name], data = value, data[end+1:]
			continue
		}
		name := string(data[:end])
		size := binary.LittleEndian.Uint64(data[end+1:])
		value := data[end+9:]
		fields[name], data = string(value[:size]), value[size+1:]
	}
	return fields
}

func TestJournalEntry(t *testing.T) {
	form := newJournalForm(Target{Tag: "web", Attrs: map[string]string{"com.example": "x\ny", "9": "dropped"}, Fields: map[string]string{JournalID: "abc"}})
	form.begin(Stderr, at)
	got := fieldsOf(t, form.line(nil, []byte("he"), []byte("llo\x00\xff")))
	for name, want := range map[string]string{"MESSAGE": "hello\x00\xff", "PRIORITY": "3", "COM_EXAMPLE": "x\ny", JournalID: "abc", fieldPartial: "true",
		"SYSLOG_IDENTIFIER": "web", "CONTAINER_TAG": "web", "SYSLOG_TIMESTAMP": "2026-01-02T03:04:05.6789Z"} {
		if got[name] != want {
			t.Errorf("%s: %q", name, got[name])
		}
	}
	line, ok := JournalLine(func(field string) []byte {
		if v, ok := got[field]; ok {
			return []byte(v)
		}
		return nil
	})
	if !ok || line.Stream != Stderr || string(line.Text) != "hello\x00\xff" || !line.Time.Equal(at) {
		t.Errorf("%+v", line)
	}
	end := fieldsOf(t, form.end(nil))
	value := func(field string) []byte { return []byte(end[field]) }
	if _, ok := JournalLine(value); ok || !JournalEnd(value) {
		t.Errorf("the mark of the end is a line")
	}
}

// What one sender writes comes out at a socket, a datagram a line, also after the daemon was started anew.
func TestSenderReconnects(t *testing.T) {
	path, read, restart := datagrams(t)
	s, err := openSender(path, newSyslogForm(Target{Tag: "t"}, Options{}), Options{}, &Held{Stdout: []byte("be")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(Stdout, []byte("gun\nnext"), at); err != nil || !strings.HasSuffix(read(), "]: begun") {
		t.Errorf("%v", err)
	}
	if held := s.Held(); string(held.Stdout) != "next" {
		t.Errorf("%+v", held)
	}
	restart()
	if err := s.End(Stdout, time.Now()); err != nil || !strings.HasSuffix(read(), "]: next") {
		t.Errorf("%v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
