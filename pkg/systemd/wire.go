package systemd

import (
	"encoding/binary"
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// The little of D-Bus' wire format that one call needs: https://dbus.freedesktop.org/doc/dbus-specification.html.

// body is a message's body under construction; it begins at a multiple of eight.
type body struct{ b []byte }

func (b *body) align(n int) {
	for len(b.b)%n != 0 {
		b.b = append(b.b, 0)
	}
}

func (b *body) uint32(v uint32) {
	b.align(4)
	b.b = binary.LittleEndian.AppendUint32(b.b, v)
}

func (b *body) uint64(v uint64) {
	b.align(8)
	b.b = binary.LittleEndian.AppendUint64(b.b, v)
}

func (b *body) string(s string) {
	b.uint32(uint32(len(s)))
	b.b = append(append(b.b, s...), 0)
}

func (b *body) signature(s string) {
	b.b = append(append(append(b.b, byte(len(s))), s...), 0)
}

// array writes the length of what fn appends; the padding before the first element does not count.
func (b *body) array(align int, fn func()) {
	b.uint32(0)
	at := len(b.b) - 4
	b.align(align)
	start := len(b.b)
	fn()
	binary.LittleEndian.PutUint32(b.b[at:], uint32(len(b.b)-start))
}

// property is one (sv).
func (b *body) property(name, signature string, value func()) {
	b.align(8)
	b.string(name)
	b.signature(signature)
	value()
}

func (b *body) pids(pids []int) {
	b.array(4, func() {
		for _, pid := range pids {
			b.uint32(uint32(pid))
		}
	})
}

// Types of message, and the fields of the header that we use.
const (
	methodCall, methodReturn, methodError = 1, 2, 3

	fieldPath, fieldInterface, fieldMember, fieldError, fieldDestination, fieldSignature = 1, 2, 3, 4, 6, 8
)

func message(c call, b body) []byte {
	m := body{b: []byte{'l', methodCall, 0, 1}}
	m.uint32(uint32(len(b.b)))
	m.uint32(1) // serial
	m.array(8, func() {
		for _, f := range []struct {
			code        byte
			kind, value string
		}{{fieldPath, "o", c.path}, {fieldInterface, "s", c.iface}, {fieldMember, "s", c.method}, {fieldDestination, "s", destination}} {
			m.align(8)
			m.b = append(m.b, f.code)
			m.signature(f.kind)
			m.string(f.value)
		}
		m.align(8)
		m.b = append(m.b, fieldSignature)
		m.signature("g")
		m.signature(c.signature)
	})
	m.align(8)
	return append(m.b, b.b...)
}

var errBroken = errors.New("the answer cannot be understood")

// largest bounds a message: what we ask for is answered in a few hundred bytes.
const largest = 1 << 20

// answer reads the greeting, then messages up to the one that answers our only call: a string in a variant is returned.
func answer(r io.Reader) (string, error) {
	line := make([]byte, 0, 64)
	for one := make([]byte, 1); len(line) < 2 || line[len(line)-1] != '\n'; line = append(line, one[0]) {
		if _, err := io.ReadFull(r, one); err != nil {
			return "", err
		}
		if len(line) > 512 {
			return "", errBroken
		}
	}
	if string(line[:2]) != "OK" {
		return "", errors.New("it does not know us: " + string(line[:len(line)-1]))
	}
	for {
		done, value, err := oneMessage(r)
		if done || err != nil {
			return value, err
		}
	}
}

// oneMessage reads a message; those that are no answer (signals) are passed over.
func oneMessage(r io.Reader) (done bool, value string, err error) {
	head := make([]byte, 16)
	if _, err := io.ReadFull(r, head); err != nil {
		return false, "", err
	}
	if head[0] != 'l' {
		return false, "", errBroken
	}
	bodyLen, fieldsLen := binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[12:])
	if bodyLen > largest || fieldsLen > largest {
		return false, "", errBroken
	}
	rest := make([]byte, (fieldsLen+7)/8*8+bodyLen)
	if _, err := io.ReadFull(r, rest); err != nil {
		return false, "", err
	}
	answer := rest[(fieldsLen+7)/8*8:]
	switch head[1] {
	case methodReturn:
		if len(answer) > 4 && string(answer[:3]) == "\x01s\x00" {
			value, _, _ = text(answer[4:])
		}
		return true, value, nil
	case methodError:
		said, _, _ := text(answer)
		return true, "", remote(errorName(rest[:fieldsLen]), said)
	}
	return false, "", nil
}

// errorName finds the error's name among the header's fields; all that can stand there begin at multiples of eight.
func errorName(fields []byte) string {
	for len(fields) >= 8 {
		code, kind := fields[0], fields[2]
		used := 8 // a number
		switch kind {
		case 's', 'o':
			s, n, ok := text(fields[4:])
			if !ok || code == fieldError {
				return s
			}
			used = 4 + n
		case 'g':
			used = 4 + int(fields[4]) + 2
		}
		used = (used + 7) / 8 * 8
		if used > len(fields) {
			break
		}
		fields = fields[used:]
	}
	return ""
}

// text reads a string, and says how many bytes it takes.
func text(b []byte) (s string, used int, ok bool) {
	if len(b) < 4 {
		return "", 0, false
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n < 0 || n > len(b)-5 {
		return "", 0, false
	}
	return string(b[4 : 4+n]), 4 + n + 1, true
}

// reader reads a socket; no end of file is expected.
type reader struct{ fd int }

func (r reader) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(r.fd, p)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, errors.New("no answer within " + patience.String())
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.ErrUnexpectedEOF
		default:
			return n, nil
		}
	}
}
