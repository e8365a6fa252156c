package passwd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

const (
	somePasswd = "# comment\nroot:x:0:0:root:/root:/bin/sh\nbin:x:1:1::/bin\n\ngarbage\nweb:x:33:33:Web:/srv:/bin/false\n" +
		"1000:x:77:78:a number as a name:/n:\nbad:x:nan:0::/:\nnohome:x:40:41:::\nshort:x:50:51\nhuge:x:4294967295:0::/:\nrel:x:60:60::rel/home:\n"
	someGroup = "root:x:0:\nweb:x:33:\nadm:x:4:web,bin\ndocker:x:999: web ,x\nbroken\nweb2:x:33:web\nbad:x:z:web\n"
)

func image(t testing.TB, passwd, group string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(root+"/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"passwd": passwd, "group": group} {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestResolve(t *testing.T) {
	root := image(t, somePasswd, someGroup)
	for _, c := range []struct {
		user string
		add  []string
		want User
	}{
		{"", nil, User{0, 0, nil, "/root", "root"}},
		{"root", nil, User{0, 0, nil, "/root", "root"}},
		{"0", nil, User{0, 0, nil, "/root", "root"}},
		{"web", nil, User{33, 33, []uint32{4, 999}, "/srv", "web"}},
		{"33", nil, User{33, 33, []uint32{4, 999}, "/srv", "web"}},
		{"web:adm", nil, User{33, 4, nil, "/srv", "web"}},
		{"web:7", nil, User{33, 7, nil, "/srv", "web"}},
		{"33:7", nil, User{33, 7, nil, "/srv", "web"}},
		{"web:", nil, User{33, 33, []uint32{4, 999}, "/srv", "web"}},
		{":adm", nil, User{0, 4, nil, "/root", "root"}},
		{"5000", nil, User{5000, 0, nil, "/", ""}},
		{"5000:6000", []string{"adm", "7", "6000"}, User{5000, 6000, []uint32{4, 7}, "/", ""}},
		{"1000", nil, User{77, 78, nil, "/n", "1000"}},
		{"77", nil, User{77, 78, nil, "/n", "1000"}},
		{"nohome", nil, User{40, 41, nil, "/", "nohome"}},
		{"short", nil, User{50, 51, nil, "/", "short"}},
		{"rel", nil, User{60, 60, nil, "/", "rel"}},
		{"2147483647", nil, User{2147483647, 0, nil, "/", ""}},
		{"web", []string{"docker", "4"}, User{33, 33, []uint32{4, 999}, "/srv", "web"}},
	} {
		got, err := Resolve(root, c.user, c.add)
		if err != nil || got.UID != c.want.UID || got.GID != c.want.GID || got.Home != c.want.Home || got.Name != c.want.Name || !slices.Equal(got.Groups, c.want.Groups) {
			t.Errorf("%q %v: %+v %v, want %+v", c.user, c.add, got, err, c.want)
		}
	}
}

func TestResolveErrors(t *testing.T) {
	root := image(t, somePasswd, someGroup)
	for _, c := range []struct {
		user string
		add  []string
		kind error
		text string
	}{
		{"bob", nil, errdefs.ErrNotFound, `user "bob" is not in the image's /etc/passwd (use a numeric id)`},
		{"web:none", nil, errdefs.ErrNotFound, `group "none" is not in the image's /etc/group (use a numeric id)`},
		{"web", []string{"none"}, errdefs.ErrNotFound, `group "none"`},
		{"2147483648", nil, errdefs.ErrInvalid, "out of range"},
		{"99999999999999999999", nil, errdefs.ErrInvalid, "out of range"},
		{"1:4294967296", nil, errdefs.ErrInvalid, "out of range"},
		{"huge", nil, errdefs.ErrNotFound, "huge"},
		{"bad", nil, errdefs.ErrNotFound, "bad"},
		{"-1", nil, errdefs.ErrNotFound, "-1"},
		{"a:b:c", nil, errdefs.ErrNotFound, `user "a"`},
	} {
		if _, err := Resolve(root, c.user, c.add); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q %v: %v, want %q", c.user, c.add, err, c.text)
		}
	}
}

func TestResolveOddRoots(t *testing.T) {
	empty := t.TempDir()
	if u, err := Resolve(empty, "", nil); err != nil || u.UID != 0 || u.Home != "/" {
		t.Errorf("no /etc: %+v %v", u, err)
	}
	if u, err := Resolve(empty, "7:8", nil); err != nil || u.UID != 7 || u.GID != 8 {
		t.Errorf("no /etc: %+v %v", u, err)
	}
	outside := image(t, "evil:x:0:0::/:\n", "")
	link := t.TempDir()
	os.Symlink(outside+"/etc", link+"/etc")
	if _, err := Resolve(link, "evil", nil); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("read outside the root: %v", err)
	}
	big := image(t, strings.Repeat("#", maxFile+1), "")
	if _, err := Resolve(big, "root", nil); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("big file: %v", err)
	}
	os.Remove(big + "/etc/passwd")
	os.Mkdir(big+"/etc/passwd", 0o755)
	if _, err := Resolve(big, "root", nil); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("directory: %v", err)
	}
}

func FuzzParsePasswd(f *testing.F) {
	f.Add([]byte(somePasswd))
	f.Add([]byte(":::::\n\x00:x:1:1:::\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, a := range parsePasswd(data) {
			if a.name == "" || a.uid > maxID || a.gid > maxID || strings.ContainsAny(a.name, ":\n") {
				t.Errorf("accepted %+v", a)
			}
			u, err := resolve(parsePasswd(data), nil, a.name, nil)
			if err != nil {
				t.Errorf("%q is listed but not found: %v", a.name, err)
			} else if !strings.HasPrefix(u.Home, "/") {
				t.Errorf("home %q", u.Home)
			}
		}
	})
}

func FuzzParseGroup(f *testing.F) {
	f.Add([]byte(someGroup))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, g := range parseGroup(data) {
			if g.name == "" || g.gid > maxID {
				t.Errorf("accepted %+v", g)
			}
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	var many strings.Builder
	for i := range 40 {
		fmt.Fprintf(&many, "user%d:x:%d:%d::/home/user%d:/bin/sh\n", i, i, i, i)
	}
	root := image(b, many.String(), someGroup)
	for b.Loop() {
		if _, err := Resolve(root, "user39", nil); err != nil {
			b.Fatal(err)
		}
	}
}
