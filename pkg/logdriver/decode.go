package logdriver

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// entry is one line of the log file, decoded.
type entry struct {
	text   []byte
	stream Stream
	attrs  []byte // JSON object, or nil
	time   []byte // RFC 3339
}

var errNoEntry = errors.New("not a line of a log")

// decode reads a line of either form (without its newline). The entry may refer to the line, and reuses its own buffers. Lines in the
// form that Docker and we write are read by hand, any other by encoding/json.
func (e *entry) decode(line []byte) error {
	if e.decodeFast(line) {
		return nil
	}
	if len(line) > 0 && line[0] != '{' {
		return e.decodeCRI(line)
	}
	var slow struct {
		Log    *string         `json:"log"`
		Stream string          `json:"stream"`
		Attrs  json.RawMessage `json:"attrs"`
		Time   string          `json:"time"`
	}
	if err := json.Unmarshal(line, &slow); err != nil || slow.Log == nil && slow.Stream == "" {
		return errNoEntry
	}
	*e = entry{text: e.text[:0], attrs: slow.Attrs, time: []byte(slow.Time)}
	if slow.Log != nil {
		e.text = append(e.text, *slow.Log...)
	}
	if slow.Stream == "stderr" {
		e.stream = Stderr
	}
	return nil
}

// decodeFast reads {"log":"...","stream":"...","attrs":{...},"time":"..."} in that order.
func (e *entry) decodeFast(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte(`{"log":"`))
	if !ok {
		return false
	}
	if e.text, rest, ok = unescape(e.text[:0], rest); !ok {
		return false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"stream":"std`)); !ok {
		return false
	}
	switch {
	case bytes.HasPrefix(rest, []byte(`out"`)):
		e.stream = Stdout
	case bytes.HasPrefix(rest, []byte(`err"`)):
		e.stream = Stderr
	default:
		return false
	}
	rest = rest[len(`out"`):]
	e.attrs = nil
	const timeKey = `,"time":"`
	if after, ok := bytes.CutPrefix(rest, []byte(`,"attrs":`)); ok {
		at := bytes.LastIndex(after, []byte(timeKey))
		if at < 0 {
			return false
		}
		e.attrs, rest = after[:at], after[at:]
	}
	rest, ok = bytes.CutPrefix(rest, []byte(timeKey))
	if !ok || !bytes.HasSuffix(rest, []byte(`"}`)) {
		return false
	}
	e.time = rest[:len(rest)-2]
	return bytes.IndexByte(e.time, '"') < 0 && bytes.IndexByte(e.time, '\\') < 0
}

// unescape appends the JSON string that s is the rest of, up to its closing quote; rest is what follows that.
func unescape(dst, s []byte) (text, rest []byte, ok bool) {
	for {
		n := bytes.IndexAny(s, `"\`)
		if n < 0 {
			return dst, nil, false
		}
		dst = append(dst, s[:n]...)
		if s[n] == '"' {
			return dst, s[n+1:], true
		}
		if n+1 >= len(s) {
			return dst, nil, false
		}
		c := s[n+1]
		s = s[n+2:]
		if c != 'u' {
			b := unescaped[c]
			if b == 0 {
				return dst, nil, false
			}
			dst = append(dst, b)
			continue
		}
		r, ok := hexRune(s)
		if !ok || r >= 0xd800 && r < 0xe000 { // surrogate pairs are left to encoding/json
			return dst, nil, false
		}
		dst, s = utf8.AppendRune(dst, r), s[4:]
	}
}

var unescaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f'}

func hexRune(s []byte) (r rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for _, b := range s[:4] {
		digit := strings.IndexByte(hexDigits, b|0x20)
		if digit < 0 || b < '0' {
			return 0, false
		}
		r = r<<4 | rune(digit)
	}
	return r, true
}

// when is the entry's time; the zero time when it has none that can be read.
func (e *entry) when() time.Time {
	t, _ := time.Parse(time.RFC3339Nano, string(e.time))
	return t
}

// complete says whether a raw line of the file holds the end of a line of the container.
func complete(raw []byte) bool {
	if len(raw) > 0 && raw[0] != '{' {
		return completeCRI(raw)
	}
	return bytes.Contains(raw, []byte(`\n","`))
}

// details is the attributes as Docker's --details prints them: k=v,k=v in order of the keys.
func (e *entry) details() string {
	attrs := map[string]string{}
	if len(e.attrs) > 0 {
		json.Unmarshal(e.attrs, &attrs) // attributes that cannot be read are not worth losing the line
	}
	var pairs []string
	for _, k := range sortedKeys(attrs) {
		pairs = append(pairs, k+"="+attrs[k])
	}
	return strings.Join(pairs, ",")
}
