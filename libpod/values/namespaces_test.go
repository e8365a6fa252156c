package values

import (
	"strings"
	"testing"
)

func TestUserNS(t *testing.T) {
	for s, want := range map[string]string{
		"host": "host", "": "", "nomap": "nomap", "private": "private", "keep-id": "keep-id", "keep-id:": "keep-id", "keep-id:uid=5,gid=6,size=70": "keep-id:uid=5,gid=6,size=70",
		"auto": "auto", "auto:size=10": "auto:size=10", "auto:uidmapping=0:1:1": "auto:uidmapping=0:1:1", "container:web": "container:web", "ns:/proc/1/ns/user": "ns:/proc/1/ns/user",
		"host:x": "!no options", "nomap:uid=1": "!no options", "keep-id:uid": "!keep-id takes", "keep-id:size=0": "!keep-id takes", "keep-id:uid=1,": "!keep-id takes",
		"auto:uid=1": "!auto takes", "auto:size=-1": "!not a number", "container:": "!names no container", "container": "!names no container", "ns:x": "!absolute path", "keepid": "!it is host",
	} {
		checkMode(t, s, want, UserNS)
	}
}

func TestNamespace(t *testing.T) {
	ipc := func(s string) (string, error) { return Namespace(s, "shareable", "none", "private") }
	for s, want := range map[string]string{"private": "private", "none": "none", "shareable": "shareable", "host": "host", "container:a": "container:a", "": "",
		"container:": "!names no", "ns:": "!absolute", "shared": "!it is one of private, host, container:NAME, ns:PATH, shareable", "none:": "!it is one of"} {
		checkMode(t, s, want, ipc)
	}
	pid := func(s string) (string, error) { return Namespace(s) }
	for s, want := range map[string]string{"private": "", "host": "host", "none": "!it is one of", "ns:/x": "ns:/x"} {
		checkMode(t, s, want, pid)
	}
}

func checkMode(t *testing.T, s, want string, parse func(string) (string, error)) {
	t.Helper()
	got, err := parse(s)
	text, fails := strings.CutPrefix(want, "!")
	if fails && (err == nil || !strings.Contains(err.Error(), text)) || !fails && (err != nil || got != want) {
		t.Errorf("%q: %q, %v; want %q", s, got, err, want)
	}
}

func TestSysctl(t *testing.T) {
	for s, want := range map[string]string{"net.core.somaxconn=5": "net.core.somaxconn 5", "net/ipv4/ip_forward = 1": "net.ipv4.ip_forward 1", "kernel.sem=1 2 3 4": "kernel.sem 1 2 3 4",
		"x": "", "=1": "", "../x=1": "", "net..x=1": "", "/etc=1": ""} {
		name, value, err := Sysctl(s)
		if (err == nil) != (want != "") || err == nil && name+" "+value != want {
			t.Errorf("%q: %q %q %v", s, name, value, err)
		}
	}
	for s, ok := range map[string]bool{"UTC": true, "Europe/Berlin": true, "local": true, "/etc/passwd": false, "../../etc/passwd": false, "a/../b": false, "": false} {
		if (TimeZone(s) == nil) != ok {
			t.Errorf("time zone %q: %v", s, TimeZone(s))
		}
	}
}

// FuzzUserNS never panics, and gives back what it was given.
func FuzzUserNS(f *testing.F) {
	f.Add("keep-id:uid=5,gid=6,size=70")
	f.Add("auto:size=10,uidmapping=0:1:1")
	f.Add("ns:/proc/1/ns/user")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := UserNS(s); err == nil && got != s && s != got+":" {
			t.Fatalf("%q became %q", s, got)
		}
		Namespace(s, "none")
		if name, _, err := Sysctl(s); err == nil && strings.Contains(name, "/") {
			t.Fatalf("%q has a slash", name)
		}
	})
}
