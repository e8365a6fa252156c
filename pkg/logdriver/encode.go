package logdriver

import (
	"bytes"
	"time"
	"unicode/utf8"
)

// Stream is one of the two outputs of a container.
type Stream int

// The streams. A terminal has only Stdout.
const (
	Stdout Stream = iota
	Stderr
	streams
)

func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// maxLine is the size at which Docker splits a line: all parts but the last lack the newline.
const maxLine = 16 << 10

const hexDigits = "0123456789abcdef"

// plain marks the bytes that stand for themselves in a JSON string the way Docker writes it.
var plain = func() (t [256]bool) {
	for b := 0x20; b < utf8.RuneSelf; b++ {
		t[b] = b != '"' && b != '\\' && b != '<' && b != '>' && b != '&'
	}
	return t
}()

// appendEscaped appends s as the inside of a JSON string: as Docker's encoder, with invalid UTF-8 replaced.
func appendEscaped(dst, s []byte) []byte {
	start, i := 0, 0
	for i < len(s) {
		b := s[i]
		if plain[b] {
			i++
			continue
		}
		if b < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			dst = appendEscapedByte(dst, b)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(append(dst, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029': // not allowed in JavaScript strings
			dst = append(append(dst, s[start:i]...), `\u202`...)
			dst = append(dst, hexDigits[r&0xf])
			start = i + size
		}
		i += size
	}
	return append(dst, s[start:]...)
}

func appendEscapedByte(dst []byte, b byte) []byte {
	switch b {
	case '\\', '"':
		return append(dst, '\\', b)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&0xf])
}

// lineForm writes one line of a container in the form of a driver.
type lineForm interface {
	// begin is called before the lines of one read: what they share is made once.
	begin(s Stream, now time.Time)
	// line appends a line to dst. The text is head followed by rest; rest holds the newline, if there is one.
	line(dst, head, rest []byte) []byte
}

// encoder cuts the bytes of the streams into lines. It holds the line that is not complete yet.
type encoder struct {
	form    lineForm
	pending [streams][]byte
}

// held is the text of lines that are not complete yet, nil if there is none.
func (e *encoder) held() *Held {
	if len(e.pending[Stdout])+len(e.pending[Stderr]) == 0 {
		return nil
	}
	return &Held{Stdout: e.pending[Stdout], Stderr: e.pending[Stderr]}
}

func (e *encoder) takeHeld(h *Held) {
	if h != nil {
		e.pending[Stdout], e.pending[Stderr] = h.Stdout, h.Stderr
	}
}

// jsonForm is Docker's json-file: an object a line.
type jsonForm struct {
	attrs []byte // `,"attrs":{...}` or nothing
	tail  []byte // from the end of the text to the end of the line: the same for all lines of one read
}

func newJSONForm(attrs map[string]string) *jsonForm {
	e := &jsonForm{}
	if len(attrs) == 0 {
		return e
	}
	e.attrs = append(e.attrs, `,"attrs":{`...)
	for i, k := range sortedKeys(attrs) {
		if i > 0 {
			e.attrs = append(e.attrs, ',')
		}
		e.attrs = appendEscaped(append(e.attrs, '"'), []byte(k))
		e.attrs = appendEscaped(append(e.attrs, `":"`...), []byte(attrs[k]))
		e.attrs = append(e.attrs, '"')
	}
	e.attrs = append(e.attrs, '}')
	return e
}

func (e *jsonForm) begin(s Stream, now time.Time) {
	e.tail = append(append(e.tail[:0], `","stream":"`...), s.String()...)
	e.tail = append(append(e.tail, '"'), e.attrs...)
	e.tail = append(e.tail, `,"time":"`...)
	e.tail = now.UTC().AppendFormat(e.tail, time.RFC3339Nano)
	e.tail = append(e.tail, "\"}\n"...)
}

func (e *jsonForm) line(dst, head, rest []byte) []byte {
	dst = append(dst, `{"log":"`...)
	if len(head) > 0 {
		dst = appendEscaped(dst, append(head, rest...)) // a rune may lie across the two
	} else {
		dst = appendEscaped(dst, rest)
	}
	return append(dst, e.tail...)
}

// take encodes p, calling emit after each line with the buffer that it appended to; emit returns the buffer to
// go on with.
func (e *encoder) take(dst []byte, s Stream, p []byte, emit func([]byte) []byte) []byte {
	for len(p) > 0 {
		room := maxLine - len(e.pending[s])
		n := bytes.IndexByte(p[:min(len(p), room)], '\n') + 1
		if n == 0 {
			if len(p) < room {
				e.pending[s] = append(e.pending[s], p...)
				return dst
			}
			n = cutRune(p[:room])
			if n == 0 {
				n = room
			}
		}
		dst = emit(e.form.line(dst, e.pending[s], p[:n]))
		e.pending[s] = e.pending[s][:0]
		p = p[n:]
	}
	return dst
}

// cutRune is the length of p without a rune that is cut off at its end.
func cutRune(p []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(p); back++ {
		b := p[len(p)-back]
		if !utf8.RuneStart(b) {
			continue
		}
		if !utf8.FullRune(p[len(p)-back:]) {
			return len(p) - back
		}
		break
	}
	return len(p)
}

// rest encodes what a stream left without a newline at its end.
func (e *encoder) rest(dst []byte, s Stream) []byte {
	if len(e.pending[s]) == 0 {
		return dst
	}
	dst = e.form.line(dst, nil, e.pending[s])
	e.pending[s] = e.pending[s][:0]
	return dst
}
