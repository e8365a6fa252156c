package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAdvice(t *testing.T) {
	for name, c := range map[string]struct {
		there []string
		want  string // part of the one line; empty: none
	}{
		"no systemd":  {nil, ""},
		"no session":  {[]string{"run/systemd/system"}, "no /run/user/1000 and containers have no control group"},
		"no linger":   {[]string{"run/systemd/system", "run/user/1000"}, "end when you log out"},
		"all is well": {[]string{"run/systemd/system", "run/user/1000", "var/lib/systemd/linger/pi"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := session{root: t.TempDir(), user: "pi", uid: 1000, run: "/tmp/wherry-run-1000"}
			for _, path := range c.there {
				if err := os.MkdirAll(filepath.Join(s.root, path), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			got := s.advice()
			if c.want == "" {
				if len(got) > 0 {
					t.Errorf("%q", got)
				}
				return
			}
			if len(got) != 1 || !strings.Contains(got[0], c.want) || !strings.Contains(got[0], "sudo loginctl enable-linger pi") {
				t.Errorf("%q", got)
			}
		})
	}
}
