package registry

import (
	"strings"
	"testing"
)

func TestParseHost(t *testing.T) {
	for arg, want := range map[string]string{
		"": DefaultHost, "https://index.docker.io/v1/": DefaultHost, "docker.io": DefaultHost, "quay.io": "quay.io",
		"http://localhost:5000/": "localhost:5000", "reg.example/team": "reg.example/team",
	} {
		if got, err := ParseHost(arg); err != nil || got != want {
			t.Errorf("%q: %q %v", arg, got, err)
		}
	}
	for _, arg := range []string{"a b", "user@host", "-x", "a?b", "/x"} {
		if got, err := ParseHost(arg); err == nil {
			t.Errorf("%q: accepted as %q", arg, got)
		}
	}
}

func TestParseCreds(t *testing.T) {
	for text, want := range map[string][2]string{"u:p": {"u", "p"}, "u": {"u", ""}, "u:p:q": {"u", "p:q"}} {
		auth, err := ParseCreds(text)
		if err != nil || auth.Username != want[0] || auth.Password != want[1] {
			t.Errorf("%q: %+v %v", text, auth, err)
		}
	}
	if _, err := ParseCreds(":p"); err == nil {
		t.Error("no user accepted")
	}
}

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "127.0.0.1": true, "127.9.9.9:1": true, "[::1]:5000": true,
		"localhost.example": false, "10.0.0.1:5000": false, "docker.io": false, "": false,
	} {
		if isLoopback(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	f.Add("https://index.docker.io/v1/")
	f.Fuzz(func(t *testing.T, arg string) {
		host, err := ParseHost(arg)
		if err == nil && (host == "" || strings.HasSuffix(host, "/")) {
			t.Errorf("%q: %q", arg, host)
		}
	})
}

func FuzzParseCreds(f *testing.F) {
	f.Add("user:pass")
	f.Fuzz(func(t *testing.T, text string) {
		auth, err := ParseCreds(text)
		if err == nil && (auth.Username == "" || strings.Contains(auth.Username, ":")) {
			t.Errorf("%q: %+v", text, auth)
		}
	})
}
