package libpod

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/layout"
)

func secretEngine(t *testing.T) *Engine {
	dir := t.TempDir()
	return New(layout.Dirs{Data: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run")}, EngineOptions{Warn: func(text string) { t.Error(text) }})
}

// Many replace one secret at once, and read it: each sees one whole value, one is left.
func TestSecretReplacedByMany(t *testing.T) {
	e := secretEngine(t)
	var wg sync.WaitGroup
	for _, value := range []string{"aaaa", "bbbb", "cccc", "dddd"} {
		wg.Go(func() {
			for range 10 {
				if _, err := e.SecretCreate(t.Context(), SecretCreateOptions{Name: "s", Data: []byte(value), Replace: true}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s, err := e.SecretInspect(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	value, err := e.SecretValue(t.Context(), s)
	if err != nil || len(value) != 4 || strings.Trim(string(value), string(value[0])) != "" {
		t.Errorf("%q %v", value, err)
	}
	e.sweepSecrets(t.Context())
	if ids, _ := e.secrets.IDs(); len(ids) != 1 {
		t.Errorf("records: %v", ids)
	}
}

// Exactly one of many creators of a name gets it.
func TestSecretCreatedByMany(t *testing.T) {
	e := secretEngine(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 8 {
		wg.Go(func() {
			_, err := e.SecretCreate(t.Context(), SecretCreateOptions{Name: "s", Data: []byte("x")})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !errors.Is(err, errdefs.ErrNameInUse) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if ids, _ := e.secrets.IDs(); made != 1 || len(ids) != 1 {
		t.Errorf("%d made, records %v", made, ids)
	}
}

func TestBrokenSecretRecords(t *testing.T) {
	e := secretEngine(t)
	id, err := e.SecretCreate(t.Context(), SecretCreateOptions{Name: "s", Data: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	for content, kind := range map[string]error{"": errdefs.ErrBroken, "{": errdefs.ErrBroken, `{"Version":99}`: errdefs.ErrNewerVersion} {
		os.WriteFile(filepath.Join(e.secrets.Path(id), secretFile), []byte(content), 0o600)
		if _, err := e.SecretInspect(t.Context(), "s"); !errors.Is(err, kind) {
			t.Errorf("%q: %v, want %v", content, err, kind)
		}
	}
	if _, err := e.SecretRemove(t.Context(), "s"); err != nil {
		t.Error(err)
	}
	if names, _ := e.secrets.AllNames(); len(names) != 0 {
		t.Errorf("names: %v", names)
	}
}

func TestSecretDriverOptions(t *testing.T) {
	e := secretEngine(t)
	for _, c := range []struct {
		driver, key, want string
	}{
		{"vault", "", "no secret driver"}, {"file", "root", "no option"}, {"shell", "lookup", "needs --driver-opts store"},
		{"pass", "path", "no option"}, {"file", "path", "not an absolute path"},
	} {
		s := Secret{ID: "x", Driver: c.driver, DriverOpts: map[string]string{}}
		if c.key != "" {
			s.DriverOpts[c.key] = "x"
		}
		if _, err := e.secretDriver(s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %s", c.driver, c.key, err, c.want)
		}
	}
}
