package containersconf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFiles(t *testing.T) {
	home := t.TempDir()
	make := func(name string) string {
		path := filepath.Join(home, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	user, b, a := make("containers/containers.conf"), make("containers/containers.conf.d/b.conf"), make("containers/containers.conf.d/a.conf")
	make("containers/containers.conf.d/no")
	mod, other := make("containers/containers.conf.modules/m.conf"), make("other.conf")
	env := map[string]string{"XDG_CONFIG_HOME": home}
	getenv := func(k string) string { return env[k] }
	files, err := Files(getenv, []string{"m.conf"})
	if got := strings.Join(files, " "); err != nil || !strings.HasSuffix(got, strings.Join([]string{user, a, b, mod}, " ")) {
		t.Errorf("%s, %v", got, err)
	}
	env["CONTAINERS_CONF"], env["CONTAINERS_CONF_OVERRIDE"] = other, mod
	if files, err = Files(getenv, nil); err != nil || fmt.Sprint(files) != fmt.Sprint([]string{other, mod}) {
		t.Errorf("%v, %v", files, err)
	}
	env["CONTAINERS_CONF"] = "/nosuch"
	if _, err = Files(getenv, nil); err == nil || !strings.Contains(err.Error(), "CONTAINERS_CONF") {
		t.Error(err)
	}
	if _, err := Files(func(string) string { return "" }, []string{"nosuch"}); err == nil {
		t.Error("a module that is not there was found")
	}
}

// The files are decoded once, and again when one of them has changed; a broken cache is as good as none.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file, cache := filepath.Join(dir, "c.conf"), filepath.Join(dir, "cache", "c.json")
	os.WriteFile(file, []byte("1"), 0o644)
	count := 0
	load := func() (*Conf, error) {
		return Load([]string{file}, cache, func([]string) ([]byte, error) {
			count++
			return []byte(`{"Runtime":"r` + fmt.Sprint(count) + `"}`), nil
		})
	}
	for i, want := range []string{"r1", "r1", "r2", "r3"} {
		switch i {
		case 2:
			os.WriteFile(file, []byte("22"), 0o644)
		case 3:
			os.WriteFile(cache, []byte(`{"Files":`), 0o644)
		}
		if c, err := load(); err != nil || c.Runtime != want {
			t.Errorf("%d: %+v, %v; want %s", i, c, err, want)
		}
	}
	if c, err := Load(nil, cache, nil); err != nil || c.Runtime != "" {
		t.Errorf("no files: %+v, %v", c, err)
	}
	boom := errors.New("boom")
	if _, err := Load([]string{dir}, cache, func([]string) ([]byte, error) { return nil, boom }); err != boom {
		t.Error(err)
	}
}

func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	file, cache := filepath.Join(dir, "c.conf"), filepath.Join(dir, "c.json")
	os.WriteFile(file, []byte("1"), 0o644)
	for b.Loop() {
		files, _ := Files(func(k string) string { return map[string]string{"HOME": dir}[k] }, nil)
		Load(append(files, file), cache, func([]string) ([]byte, error) {
			return []byte(`{"Flags":[{"Name":"tz","Value":"UTC","Key":"containers.tz"},{"Name":"pids-limit","Value":"5"}],"Env":["A=b"],"Ignored":["x"]}`), nil
		})
	}
}
