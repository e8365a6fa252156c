package systemd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// reply is a message as the manager sends it: of the given type, with an error name and one string.
func reply(kind byte, name, text string) []byte {
	var b body
	if text != "" {
		b.string(text)
	}
	m := body{b: []byte{'l', kind, 1, 1}}
	m.uint32(uint32(len(b.b)))
	m.uint32(7)
	m.array(8, func() {
		m.b = append(m.b, 5) // the serial that is answered
		m.signature("u")
		m.uint32(1)
		m.align(8)
		m.b = append(m.b, fieldSignature)
		m.signature("g")
		m.signature("s")
		if name != "" {
			m.align(8)
			m.b = append(m.b, fieldError)
			m.signature("s")
			m.string(name)
		}
	})
	m.align(8)
	return append(m.b, b.b...)
}

// serve answers one connection and returns what was asked.
func serve(t *testing.T, answer []byte) (Manager, <-chan []byte) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked := make(chan []byte, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 64<<10)
		n := 0
		for !bytes.Contains(buf[:n], []byte("BEGIN\r\n")) || !complete(buf[:n]) {
			more, err := c.Read(buf[n:])
			if err != nil {
				break
			}
			n += more
		}
		c.Write(answer)
		asked <- buf[:n]
	}()
	return Manager{Socket: filepath.Join(dir, "s"), UID: 1001}, asked
}

func complete(data []byte) bool {
	_, m, ok := bytes.Cut(data, []byte("BEGIN\r\n"))
	if !ok || len(m) < 16 {
		return false
	}
	fields := binary.LittleEndian.Uint32(m[12:])
	return len(m) >= 16+int(fields+7)/8*8+int(binary.LittleEndian.Uint32(m[4:]))
}

func TestAttach(t *testing.T) {
	m, asked := serve(t, append([]byte("OK 0123\r\n"), append(reply(4, "", "a signal"), reply(methodReturn, "", "")...)...))
	if err := m.Attach("a.scope", "/b", 17, 18); err != nil {
		t.Fatal(err)
	}
	hello, call, _ := bytes.Cut(<-asked, []byte("BEGIN\r\n"))
	if want := "\x00AUTH EXTERNAL 31303031\r\n"; string(hello) != want {
		t.Errorf("greeting %q", hello)
	}
	// Written down by hand from the specification.
	want := "\x07\x00\x00\x00a.scope\x00" + "\x02\x00\x00\x00/b\x00" + "\x00" + "\x08\x00\x00\x00" + "\x11\x00\x00\x00\x12\x00\x00\x00"
	if !strings.HasSuffix(string(call), want) {
		t.Errorf("body of %q", call)
	}
}

func TestStartScopeErrors(t *testing.T) {
	for name, c := range map[string]struct {
		answer []byte
		want   string
		exists bool
	}{
		"exists":    {append([]byte("OK 1\r\n"), reply(methodError, "org.freedesktop.systemd1.UnitExists", "x")...), "", true},
		"text":      {append([]byte("OK 1\r\n"), reply(methodError, "org.x", "no such thing")...), "no such thing", false},
		"name only": {append([]byte("OK 1\r\n"), reply(methodError, "org.x.Bad", "")...), "org.x.Bad", false},
		"rejected":  {[]byte("REJECTED EXTERNAL\r\n"), "it does not know us", false},
		"cut off":   {[]byte("OK 1\r\nl"), "EOF", false},
		"big end":   {append([]byte("OK 1\r\n"), bytes.Repeat([]byte("B"), 16)...), "cannot be understood", false},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := serve(t, c.answer)
			err := m.StartScope("a.scope", "b.slice", "text", 1)
			if err == nil || errors.Is(err, ErrExists) != c.exists || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
	if err := (Manager{Socket: "/nonexistent"}).Attach("a", "b", 1); err == nil || !strings.Contains(err.Error(), "/nonexistent") {
		t.Errorf("%v", err)
	}
}

func TestStopping(t *testing.T) {
	for state, want := range map[string]bool{"active": false, "deactivating": true, "inactive": true, "": false} {
		var b body
		b.signature("s")
		b.string(state)
		m := reply(methodReturn, "", "")
		binary.LittleEndian.PutUint32(m[4:], uint32(len(b.b)))
		manager, asked := serve(t, append([]byte("OK 1\r\n"), append(m, b.b...)...))
		if got := (Unit{manager, "a-b.scope"}).Stopping(); got != want {
			t.Errorf("%q: %v", state, got)
		}
		if call := <-asked; !bytes.Contains(call, []byte("/unit/a_2db_2escope\x00")) {
			t.Errorf("asked %q", call)
		}
	}
	if (Unit{Manager{Socket: "/nonexistent"}, "a"}).Stopping() {
		t.Error("nobody answers, yet it is stopping")
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("OK 1\r\n" + string(reply(methodError, "org.x", "text"))))
	f.Add([]byte("OK 1\r\n" + string(reply(methodReturn, "", ""))))
	f.Fuzz(func(t *testing.T, data []byte) {
		answer(bytes.NewReader(data))
	})
}
