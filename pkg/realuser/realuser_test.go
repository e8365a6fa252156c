package realuser

import (
	"os"
	"testing"
)

func TestInside(t *testing.T) {
	for _, c := range []struct {
		name, env string
		joined    uintptr
		want      bool
	}{
		{"no mark", "", 0, false},
		{"the mark of another namespace", "user:[1]", 0, false},
		{"this namespace's mark", Namespace(), 0, os.Geteuid() == 0},
		{"joined by the stub", "", 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(EnvNamespace, c.env)
			Early.Joined = c.joined
			defer func() { Early.Joined = 0 }()
			if got := Inside(); got != c.want {
				t.Errorf("Inside() = %v", got)
			}
		})
	}
}

func TestOutside(t *testing.T) {
	t.Setenv(EnvUID, "12345")
	if UID() != os.Getuid() {
		t.Errorf("the environment alone changed the user: %d", UID())
	}
	Early.Joined, Early.UID, Early.GID = 1, 1000, 1001
	defer func() { Early.Joined, Early.UID, Early.GID = 0, 0, 0 }()
	if UID() != 1000 || GID() != 1001 {
		t.Errorf("got %d:%d", UID(), GID())
	}
	for _, name := range []string{EnvUID, EnvGID, EnvConfigured, EnvNamespace} {
		t.Setenv(name, "")
	}
	if err := Mark(); err != nil {
		t.Fatal(err)
	}
	Early.Joined = 0
	if os.Geteuid() == 0 && (UID() != 1000 || GID() != 1001) {
		t.Errorf("after Mark: %d:%d", UID(), GID())
	}
}
