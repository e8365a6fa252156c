package resolvconf

import "testing"

const sample = "# made by hand\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nnameserver not-an-address\nsearch lan example.org\noptions edns0 ndots:2\nfoo\n"

func TestParseAndString(t *testing.T) {
	want := "nameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch lan example.org\noptions edns0 ndots:2\n"
	if got := Parse(sample).String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWith(t *testing.T) {
	c := Parse(sample).With([]string{"1.1.1.1"}, []string{"."}, []string{"ndots:1"})
	if got, want := c.String(), "nameserver 1.1.1.1\noptions ndots:1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReplaceLoopback(t *testing.T) {
	c := Conf{Servers: []string{"127.0.0.53", "::1", "9.9.9.9"}}.ReplaceLoopback("169.254.1.1")
	if got, want := c.String(), "nameserver 169.254.1.1\nnameserver 9.9.9.9\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Fuzz(func(t *testing.T, text string) {
		first := Parse(text).String()
		if again := Parse(first).String(); again != first {
			t.Errorf("Parse(%q) is not stable: %q, then %q", text, first, again)
		}
	})
}
