package endpoint

import (
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	for _, good := range []string{"unix:///run/x.sock", "tcp://127.0.0.1:2375", "tcp://[::1]:2375", "tcp://host", "ssh://host", "ssh://me@host:22/run/x.sock", "https://host/"} {
		if _, err := New(good, "", nil); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "host", "unix://x.sock", "unix:x", "ftp://host", "tcp://host:1/path", "ssh://", "ssh://me:secret@host", "ssh://-oProxyCommand=x", "ssh://-x@host", "ssh://host?x", "ssh://host#x", "://"} {
		_, err := New(bad, "", nil)
		if err == nil {
			t.Errorf("%q was taken", bad)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the password is in the error: %v", bad, err)
		}
	}
}

func TestSSHArguments(t *testing.T) {
	s := &secureShell{user: "me", host: "far", port: "22", path: "/it's here", identity: "/key"}
	got := s.args()
	if strings.Join(got[:len(got)-1], " ") != "-T -o ConnectTimeout=30 -l me -p 22 -i /key -- far" {
		t.Errorf("%q", got)
	}
	// The path goes through two shells there, and stays one word.
	if last := got[len(got)-1]; !strings.HasPrefix(last, "sh -c '") || !strings.Contains(last, `it`) || strings.Count(last, "--host") != 2 {
		t.Errorf("%s", last)
	}
}

func FuzzNew(f *testing.F) {
	f.Add("ssh://me@host:22/path")
	f.Add("tcp://[::1]:1")
	f.Fuzz(func(t *testing.T, address string) {
		e, err := New(address, "", nil)
		if err == nil && e.dial == nil {
			t.Errorf("%q: nothing to dial", address)
		}
		if err == nil && strings.HasPrefix(address, "ssh://-") {
			t.Errorf("%q would be an option of ssh", address)
		}
	})
}
