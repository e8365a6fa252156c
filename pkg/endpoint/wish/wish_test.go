package wish

import (
	"os"
	"path/filepath"
	"testing"
)

func TestChoose(t *testing.T) {
	home := t.TempDir()
	chosen := filepath.Join(home, ".config", "wherry", "context")
	if err := os.MkdirAll(filepath.Dir(chosen), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(chosen, []byte("used\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const own = "unix:///own.sock"
	for name, c := range map[string]struct {
		wish             Wish
		env              map[string]string
		address, context string
		fails            bool
	}{
		"nothing":             {},
		"in use":              {env: map[string]string{"HOME": home}, context: "used"},
		"default over in use": {wish: Wish{Context: Here}, env: map[string]string{"HOME": home}},
		"variable first":      {env: map[string]string{"HOME": home, "DOCKER_HOST": "tcp://x:1"}, address: "tcp://x:1"},
		"Podman's first":      {env: map[string]string{"CONTAINER_HOST": "unix:///a", "DOCKER_HOST": "tcp://x:1"}, address: "unix:///a"},
		"flag first":          {wish: Wish{Address: "ssh://y"}, env: map[string]string{"DOCKER_HOST": "tcp://x:1"}, address: "ssh://y"},
		"context first":       {wish: Wish{Context: "c"}, env: map[string]string{"DOCKER_HOST": "tcp://x:1"}, context: "c"},
		"named by variable":   {env: map[string]string{"DOCKER_CONTEXT": "c"}, context: "c"},
		"own service is here": {env: map[string]string{"DOCKER_HOST": own}},
		"both":                {wish: Wish{Address: "unix:///x", Context: "c"}, fails: true},
		"nowhere":             {wish: Wish{Remote: true}, fails: true},
		"no address":          {wish: Wish{Address: "x"}, fails: true},
	} {
		w, err := Choose(c.wish, func() string { return own }, func(key string) string { return c.env[key] })
		if (err != nil) != c.fails || err == nil && (w.Address != c.address || w.Context != c.context) {
			t.Errorf("%s: %+v, %v", name, w, err)
		}
	}
}
