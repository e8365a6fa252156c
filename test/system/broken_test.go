package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// A record that cannot be read is named, hides no other, and can be removed.
func TestBrokenRecords(t *testing.T) {
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	s.Must(t, "create", "--name", "good", testkit.Image)
	damage := func(file, content string) func(id string) {
		return func(id string) {
			if err := os.WriteFile(filepath.Join(s.Data, "containers", id, file), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	newer := func(file string) func(id string) {
		return func(id string) { edit(t, s, id, file, func(doc map[string]any) { doc["Version"] = 99 }) }
	}
	for name, c := range map[string]struct {
		damage   func(id string)
		word     string
		mendable bool
	}{
		"config-text":  {damage("config.json", "not json"), "broken config.json", false},
		"config-empty": {damage("config.json", ""), "broken config.json", false},
		"config-half":  {damage("config.json", `{"Version":1,"ID":"`), "broken config.json", false},
		"config-newer": {newer("config.json"), "newer version", false},
		"state-text":   {damage("state.json", "\x00\x00"), "broken state.json", true},
		"state-empty":  {damage("state.json", ""), "broken state.json", true},
		"state-newer":  {newer("state.json"), "newer version", false},
	} {
		t.Run(name, func(t *testing.T) {
			id := s.Must(t, "run", "-d", "--network", "none", "--name", name, testkit.Image, "true")
			s.Must(t, "wait", name)
			testkit.Eventually(t, "the monitor gone", func() bool { return len(s.Monitors()) == 0 })
			c.damage(id)
			refused(t, s, name, id, c.word)
			if repair := s.Try(t, "system", "check", "--repair"); c.mendable {
				mended(t, s, name, repair)
			}
			s.Must(t, "run", "--rm", testkit.Image, "true")
			s.Must(t, "rm", "-f", name)
			if _, err := os.Stat(filepath.Join(s.Data, "containers", id)); err == nil {
				t.Error("rm -f left the record")
			}
			s.Must(t, "create", "--name", name, testkit.Image)
			s.Must(t, "rm", name)
			want(t, "what ps says then", s.Try(t, "ps", "-a").Stderr, "")
		})
	}
}

// refused checks that everybody but ps, which goes on with the others, says what is wrong with the container.
func refused(t *testing.T, s *testkit.Store, name, id, word string) {
	t.Helper()
	ps := s.Try(t, "ps", "-a", "--format", "{{.Names}}")
	if ps.Code != 0 || !strings.Contains(ps.Stdout, "good") || !strings.Contains(ps.Stderr, id[:12]) || !strings.Contains(ps.Stderr, word) {
		t.Errorf("ps: exit %d: %s%s", ps.Code, ps.Stdout, ps.Stderr)
	}
	for _, verb := range []string{"start", "inspect", "rm"} {
		r := s.Try(t, verb, name)
		if r.Code == 0 || !strings.Contains(r.Stderr, word) || strings.Count(r.Stderr, "\n") != 1 {
			t.Errorf("%s: exit %d: %s", verb, r.Code, r.Stderr)
		}
	}
	if check := s.Try(t, "system", "check"); check.Code == 0 || !strings.Contains(check.Stdout+check.Stderr, id[:12]) {
		t.Errorf("system check: exit %d: %s%s", check.Code, check.Stdout, check.Stderr)
	}
}

// mended checks that after the repair the container is whole again.
func mended(t *testing.T, s *testkit.Store, name string, repair testkit.Result) {
	t.Helper()
	if again := s.Try(t, "system", "check"); again.Code != 0 {
		t.Errorf("after the repair %s%s: exit %d: %s%s", repair.Stdout, repair.Stderr, again.Code, again.Stdout, again.Stderr)
	}
	s.Must(t, "start", name)
}

// A volume whose record is broken or newer is named, hides no other, and can be removed.
func TestBrokenVolume(t *testing.T) {
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	s.Must(t, "volume", "create", "good")
	for name, content := range map[string]string{"text": "x", "empty": "", "newer": `{"Version":99}`} {
		s.Must(t, "volume", "create", name)
		if err := os.WriteFile(filepath.Join(s.Data, "volumes", name, "volume.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		ls := s.Try(t, "volume", "ls", "-q")
		if ls.Code != 0 || ls.Out() != "good" || !strings.Contains(ls.Stderr, `volume "`+name+`"`) {
			t.Errorf("%s: volume ls: exit %d: %s%s", name, ls.Code, ls.Stdout, ls.Stderr)
		}
		s.MustFail(t, 125, `volume "`+name+`"`, "run", "--rm", "-v", name+":/v", testkit.Image, "true")
		s.MustFail(t, 1, `volume "`+name+`"`, "volume", "rm", name)
		s.Must(t, "volume", "rm", "-f", name)
	}
}
