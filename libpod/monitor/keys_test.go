package monitor

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func TestParseDetachKeys(t *testing.T) {
	for in, want := range map[string]string{"": "\x10\x11", "ctrl-p,ctrl-q": "\x10\x11", "a": "a", "ctrl-@,ctrl-[": "\x00\x1b", "ctrl-_,^": "\x1f^"} {
		if got, err := ParseDetachKeys(in); err != nil || string(got) != want {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
	for _, in := range []string{",", "ctrl-", "ctrl-1", "ab", "ctrl-p,", "ctrl-P"} {
		if _, err := ParseDetachKeys(in); !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestDetacher(t *testing.T) {
	cases := []struct {
		keys, in, pass string
		detached       bool
	}{
		{"ab", "xyz", "xyz", false},
		{"ab", "xab", "x", true},
		{"ab", "aab", "a", true},
		{"ab", "acab", "ac", true},
		{"aab", "aaab", "a", true},
		{"abac", "ababac", "ab", true},
		{"ab", "xa", "x", false}, // held back
		{"", "abc", "abc", false},
	}
	for _, c := range cases {
		for _, step := range []int{1, 2, 100} {
			d, pass, detached := detacher{sequence: []byte(c.keys)}, "", false
			for in := []byte(c.in); len(in) > 0 && !detached; {
				var p []byte
				n := min(step, len(in))
				p, detached = d.take(in[:n])
				pass, in = pass+string(p), in[n:]
			}
			if pass != c.pass || detached != c.detached {
				t.Errorf("%q in %q by %d: %q %v", c.keys, c.in, step, pass, detached)
			}
		}
	}
}

func FuzzDetacher(f *testing.F) {
	f.Add("ctrl-p,ctrl-q", []byte("a\x10\x10\x11"), 2)
	f.Fuzz(func(t *testing.T, keys string, in []byte, step int) {
		sequence, err := ParseDetachKeys(keys)
		if err != nil {
			return
		}
		step = max(step&0xff, 1)
		d, rest := detacher{sequence: sequence}, in
		var pass []byte
		for len(rest) > 0 {
			n := min(step, len(rest))
			p, detached := d.take(rest[:n])
			pass, rest = append(pass, p...), rest[n:]
			if detached {
				if !bytes.Contains(in, sequence) || !bytes.HasPrefix(in, pass) {
					t.Fatalf("%q in %q: passed %q", sequence, in, pass)
				}
				return
			}
		}
		if bytes.Contains(in, sequence) || string(pass)+string(sequence[:d.matched]) != string(in) {
			t.Fatalf("%q in %q: passed %q", sequence, in, pass)
		}
		if strings.Contains(string(pass), string(sequence)) {
			t.Fatal("the sequence was passed on")
		}
	})
}
