package content

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes files: name to text; "-> target" makes a link, "/" at the end of a name a directory.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			noError(t, os.MkdirAll(at, 0o755))
			continue
		}
		noError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		os.Remove(at)
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			noError(t, os.Symlink(target, at))
			continue
		}
		noError(t, os.WriteFile(at, []byte(text), 0o644))
	}
}

func open(t testing.TB, dir string, o Options) *View {
	t.Helper()
	v, err := Open(t.Context(), dir, o)
	noError(t, err)
	t.Cleanup(func() { v.Close() })
	return v
}

var planted = map[string]string{
	"a": "A", "d/f": "F", "d/g.md": "G", "d/sub/h.md": "H", "link": "-> d", "d/out": "-> ../../../etc/passwd", "l1": "-> l2", "l2": "-> l1", "abs": "-> /d/sub",
	"e/": "", "x/f": "F", "dangling": "-> nowhere",
}

// TestDigest changes one thing at a time and says which selectors see it.
func TestDigest(t *testing.T) {
	t.Parallel()
	selectors := map[string]Selector{
		"all": {}, "d": {Path: "/d"}, "d/f": {Path: "d/f"}, "link": {Path: "link"}, "link followed": {Path: "/link", FollowLinks: true},
		"below link": {Path: "link/f"}, "md": {Path: "/d", IncludePatterns: []string{"**/*.md"}}, "not md": {Path: "d", ExcludePatterns: []string{"**/*.md"}},
		"glob": {Path: "/*/f", Wildcard: true}, "literal": {Path: "/*/f"}, "abs": {Path: "abs", FollowLinks: true}, "above": {Path: "../../d/f"},
	}
	for _, c := range []struct {
		name   string
		change func(dir string) error
		seen   string // by these, separated by commas
	}{
		{"touch", func(dir string) error { return os.Chtimes(filepath.Join(dir, "d/f"), time.Now(), time.Unix(1, 0)) }, ""},
		{"content", func(dir string) error { return os.WriteFile(filepath.Join(dir, "d/f"), []byte("2"), 0o644) }, "all,d,d/f,link followed,below link,not md,glob,above"},
		{"content of md", func(dir string) error { return os.WriteFile(filepath.Join(dir, "d/sub/h.md"), []byte("2"), 0o644) }, "all,d,link followed,md,abs"},
		{"mode", func(dir string) error { return os.Chmod(filepath.Join(dir, "d/f"), 0o600) }, "all,d,d/f,link followed,below link,not md,glob,above"},
		{"mode of a directory", func(dir string) error { return os.Chmod(filepath.Join(dir, "d/sub"), 0o700) }, "all,d,link followed,md,not md,abs"},
		{"name", func(dir string) error { return os.Rename(filepath.Join(dir, "d/f"), filepath.Join(dir, "d/f2")) }, "all,d,d/f,link followed,below link,not md,glob,above"},
		{"target", func(dir string) error {
			os.Remove(filepath.Join(dir, "link"))
			return os.Symlink("./d", filepath.Join(dir, "link"))
		}, "all,link"},
		{"another file", func(dir string) error { return os.WriteFile(filepath.Join(dir, "e/n"), nil, 0o644) }, "all"},
		{"another match", func(dir string) error { return os.WriteFile(filepath.Join(dir, "e/f"), []byte("F"), 0o644) }, "all,glob"},
		{"attribute", func(dir string) error { return unix.Setxattr(filepath.Join(dir, "d/f"), "user.x", []byte("y"), 0) }, "all,d,d/f,link followed,below link,not md,glob,above"},
		{"attribute of a directory", func(dir string) error { return unix.Setxattr(filepath.Join(dir, "e"), "user.x", []byte("y"), 0) }, "all"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, planted)
			memory := NewMemory(t.TempDir())
			take := func() map[string]string {
				v := open(t, dir, Options{RootOwned: true, Memory: memory})
				out := map[string]string{}
				for name, s := range selectors {
					d, err := v.Digest(t.Context(), s)
					if err != nil && !errors.Is(err, ErrNotFound) {
						t.Fatal(err)
					}
					out[name] = d.String()
				}
				return out
			}
			before := take()
			if err := c.change(dir); errors.Is(err, unix.EOPNOTSUPP) {
				t.Skip("the file system has no attributes of users")
			} else {
				noError(t, err)
			}
			after := take()
			for name := range selectors {
				if want := strings.Contains(","+c.seen+",", ","+name+","); (before[name] != after[name]) != want {
					t.Errorf("%s: seen %v", name, !want)
				}
			}
		})
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, planted)
	v := open(t, dir, Options{})
	for _, c := range []struct {
		name   string
		follow bool
		want   string
		err    string
	}{
		{"", true, "/", ""}, {"/", false, "/", ""}, {"d/f", false, "/d/f", ""}, {"/d/../a", false, "/a", ""}, {"../../a", false, "/a", ""},
		{"link", false, "/link", ""}, {"link", true, "/d", ""}, {"link/", false, "/link", ""}, {"link/f", false, "/d/f", ""}, {"abs/h.md", false, "/d/sub/h.md", ""},
		{"d/out", false, "/d/out", ""}, {"d/out", true, "", "not found"}, {"l1", true, "", "too many links"}, {"a/x", true, "", "not found"}, {"nope", false, "", `"/nope": not found`},
		{"dangling", true, "", "not found"}, {"dangling", false, "/dangling", ""}, {"./d/./f", false, "/d/f", ""},
	} {
		e, err := v.Lookup(c.name, c.follow)
		switch {
		case (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err):
			t.Errorf("%q: error %v, want %q", c.name, err, c.err)
		case err == nil && e.Path() != c.want:
			t.Errorf("%q is %s, want %s", c.name, e.Path(), c.want)
		}
	}
}

func TestRequired(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, planted)
	v := open(t, dir, Options{})
	for _, c := range []struct {
		include, required string
		fine              bool
	}{{"d/f", "/d/f", true}, {"d/nope", "/d/nope", false}, {"d", "/d", true}, {"d/sub/h.md", "/d/sub/h.md", true}, {"d/sub", "/d/sub/h.md", true}, {"e", "/e", true}} {
		_, err := v.Digest(t.Context(), Selector{Path: "/", IncludePatterns: []string{c.include}, RequiredPaths: []string{c.required}})
		if (err == nil) != c.fine || err != nil && !errors.Is(err, ErrNotFound) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestMemory counts what is read again: nothing of what is remembered, and all that may have changed unseen.
func TestMemory(t *testing.T) {
	t.Parallel()
	dir, kept := t.TempDir(), t.TempDir()
	write(t, dir, planted)
	var st unix.Stat_t
	noError(t, unix.Stat(filepath.Join(dir, "a"), &st))
	slack := granularity(dir)
	if st.Ctim.Nano()%int64(time.Millisecond) == 0 || slack > time.Second {
		t.Skip("the file system keeps coarse times")
	}
	known := func() int { return len(NewMemory(kept).open(dir).known) }
	digest := func() string {
		d, err := open(t, dir, Options{RootOwned: true, Memory: NewMemory(kept)}).Digest(t.Context())
		noError(t, err)
		return d.String()
	}
	first := digest()
	if n := known(); n != 0 {
		t.Errorf("%d files are remembered that have just been written", n)
	}
	for time.Since(time.Unix(0, st.Ctim.Nano())) < slack+50*time.Millisecond {
		time.Sleep(10 * time.Millisecond) // the clock is what is tested
	}
	if digest() != first || known() == 0 {
		t.Errorf("%d files are remembered", known())
	}
	// What is remembered counts, or this lie would be found out.
	p := NewMemory(kept).open(dir)
	noError(t, unix.Stat(filepath.Join(dir, "a"), &st))
	lie := sum{1}
	p.put(&st, lie, time.Now().Add(time.Hour))
	noError(t, p.save())
	if digest() == first {
		t.Error("what is remembered is not used")
	}
	noError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("A"), 0o644)) // the same content anew
	if digest() != first {
		t.Error("a file that was written is not read again")
	}
}

func TestMemoryBroken(t *testing.T) {
	t.Parallel()
	p := &page{path: filepath.Join(t.TempDir(), "page"), known: map[key]record{{ino: 1}: {sum: sum{2}, used: true}, {ino: 2}: {}}}
	whole := p.encode()
	for name, c := range map[string]struct {
		data []byte
		want int
	}{
		"whole": {whole, 2}, "cut": {whole[:len(whole)-1], 0}, "longer": {append(whole[:len(whole):len(whole)], 0), 0}, "empty": {nil, 0},
		"flipped": {append([]byte("w"), append([]byte{whole[1] ^ 1}, whole[2:]...)...), 0}, "other version": {append([]byte("x"), whole[1:]...), 0},
	} {
		if known, _ := parsePage(c.data); len(known) != c.want {
			t.Errorf("%s: %d files", name, len(known))
		}
	}
}

func TestMemoryMakesRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range maxPages + 10 {
		p := &page{path: filepath.Join(dir, strings.Repeat("0", 3)+string(rune('a'+i%26))+string(rune('a'+i/26))), known: map[key]record{{ino: 1}: {}}, dirty: true}
		noError(t, p.save())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > maxPages {
		t.Errorf("%d pages, %v", len(entries), err)
	}
}

func FuzzParsePage(f *testing.F) {
	p := &page{known: map[key]record{{ino: 1}: {sum: sum{2}}}}
	f.Add(p.encode())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		known, err := parsePage(data)
		if err == nil && len(known) > len(data)/recordSize {
			t.Errorf("%d files in %d bytes", len(known), len(data))
		}
	})
}
