package values

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
)

// check compares the text of a result, or of its error, with what is wanted.
func check(t *testing.T, in string, got any, err error, want string) {
	t.Helper()
	text := fmt.Sprintf("%v", got)
	if err != nil {
		text = "error: " + err.Error()
	}
	if !strings.HasPrefix(text, want) || want == "" && text != "" {
		t.Errorf("%q: %s, want %s", in, text, want)
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]string{"512": "512", "64k": "65536", "1.5g": "1610612736", "2GiB": "2147483648", "0": "0",
		"12q": "error", "": "error", "-1": "error", " 1k": "error", "1k ": "error"} {
		got, err := Bytes(in)
		check(t, in, got, err, want)
	}
	for in, want := range map[string]string{"6m": "6291456", "5m": "error: the least is 6m", "0": "0"} {
		got, err := Memory(in)
		check(t, in, got, err, want)
	}
	for in, want := range map[string]string{"-1": "-1", "1g": "1073741824", "-2": "error"} {
		got, err := MemorySwap(in)
		check(t, in, got, err, want)
	}
	for in, want := range map[string]string{"1.5": "1500000000", "0": "0", "-1": "error", "NaN": "error", "x": "error", "1e300": "error"} {
		got, err := CPUs(in)
		check(t, in, got, err, want)
	}
	for in, want := range map[string]string{"0-3,5": "<nil>", "3-1": "error", "": "error", "0,": "error", "a": "error"} {
		check(t, in, nil, CPUSet(in), want)
	}
	for in, want := range map[string]string{"0": "-1", "-1": "-1", "5": "5", "-2": "error", "x": "error"} {
		got, err := PidsLimit(in)
		check(t, in, got, err, want)
	}
}

func TestUlimit(t *testing.T) {
	for in, want := range map[string]string{
		"nofile=1024:2048": "{nofile 1024 2048}", "RLIMIT_NPROC=5": "{nproc 5 5}", "core=unlimited": "{core -1 -1}", "core=0:-1": "{core 0 -1}",
		"nofile=20:10": "error: the soft limit 20 is above", "nofile=-1:10": "error: the soft limit -1", "nofile": "error: a limit looks",
		"x=1": "error: there is no limit", "nofile=a": `error: "a" is not`, "nofile=1:b": `error: "b"`, "nofile=-7": "error",
	} {
		got, err := Ulimit(in)
		check(t, in, got, err, want)
	}
}

func mountText(m record.Mount) string {
	return fmt.Sprintf("%s %s>%s ro=%t %v %s nocopy=%t norec=%t sub=%s make=%t anon=%t", m.Type, m.Source, m.Target, m.ReadOnly, m.Options,
		m.Propagation, m.NoCopy, m.NonRecurs, m.SubPath, m.MakeSource, m.Anonymous)
}

func TestVolume(t *testing.T) {
	for in, want := range map[string]string{
		"/a:/b":               "bind /a>/b ro=false []  nocopy=false norec=false sub= make=true anon=false",
		"/a:/b/:ro,z,rshared": "bind /a>/b ro=true [] rshared",
		"db:/b:nocopy,U":      "volume db>/b ro=false [U]  nocopy=true",
		"/b":                  "volume >/b ro=false []  nocopy=false norec=false sub= make=false anon=true",
		"/b:ro":               "volume >/b ro=true",
		"a:b:c:d":             "error: it looks like [SOURCE:]TARGET[:OPTIONS]",
		"a:b":                 `error: the target "b" is not an absolute path`,
		"/a:/":                "error: the target cannot be /",
		":/b":                 "error: the source is empty",
		"/a:":                 "error",
		"":                    "error: there is no target",
		"/a:/b:rx":            `error: there is no option "rx"`,
		"/a:/b:O":             `error: option "O" is not there yet`,
		"-x:/b":               "error: the name",
	} {
		got, err := Volume(in)
		check(t, in, mountText(got), err, want)
	}
	wd, _ := os.Getwd()
	got, err := Volume("./x:/b")
	check(t, "./x:/b", got.Source, err, filepath.Join(wd, "x"))
}

func TestMount(t *testing.T) {
	for in, want := range map[string]string{
		"type=bind,source=/a,target=/b,readonly":             "bind /a>/b ro=true []  nocopy=false norec=false sub= make=false",
		"type=bind,src=/a,dst=/b,bind-propagation=rslave":    "bind /a>/b ro=false [] rslave",
		"type=bind,src=/a,dst=/b,bind-recursive=disabled":    "bind /a>/b ro=false []  nocopy=false norec=true",
		`type=bind,"src=/a,b",dst=/c`:                        "bind /a,b>/c",
		"src=db,dst=/b,volume-nocopy=true,volume-subpath=x/": "volume db>/b ro=false []  nocopy=true norec=false sub=x",
		"dst=/b": "volume >/b ro=false []  nocopy=false norec=false sub= make=false anon=true",
		"type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=1777": "tmpfs >/b ro=false [size=1048576 mode=1777]",
		"type=tmpfs,src=/a,dst=/b":                        "error: a tmpfs has no source",
		"type=bind,dst=/b":                                "error: a bind mount needs a source",
		"type=bind,src=/a":                                "error: there is no target",
		"type=nfs,src=/a,dst=/b":                          `error: there is no type "nfs"`,
		"type=image,src=a,dst=/b":                         "error: type image is not there yet",
		"type=bind,src=/a,dst=/b,foo=1":                   `error: type bind has no key "foo"`,
		"type=volume,src=a,dst=/b,volume-opt=x":           "error: volume-opt for type volume is not there yet",
		"type=bind,src=/a,dst=/b,ro=maybe":                "error: ro is true or false",
		"src=db,dst=/b,volume-subpath=../x":               "error: volume-subpath",
		`type=bind,"src=/a`:                               "error: it looks like",
		"type=tmpfs,dst=/b,tmpfs-mode=9":                  "error: tmpfs-mode",
	} {
		got, err := Mount(in)
		check(t, in, mountText(got), err, want)
	}
}

func TestTmpfs(t *testing.T) {
	for in, want := range map[string]string{
		"/t": "tmpfs >/t ro=false []", "/t:size=64m,exec,ro": "tmpfs >/t ro=true [size=64m exec]", "t": "error", "/t:size=": "error: a tmpfs has no option", "/t:size=bogus": "error: size=bogus is not", "/t:mode=9": "error: mode=9", "/t:uid=x": "error: uid=x",
		"/t:size=50%,mode=1777,uid=7": "tmpfs >/t ro=false [size=50% mode=1777 uid=7]",
		"/t:bind":                     "error: a tmpfs has no option", "/t:notmpcopyup": "error: option",
	} {
		got, err := Tmpfs(in)
		check(t, in, mountText(got), err, want)
	}
}

func TestEnv(t *testing.T) {
	environ := func() []string { return []string{"HOME=/root", "LC_A=1", "LC_B=2"} }
	for in, want := range map[string]string{"A=1,2": "[A=1,2]", "A=": "[A=]", "HOME": "[HOME=/root]", "NONE": "[]", "LC_*": "[LC_A=1 LC_B=2]",
		"=x": "error: no name", "": "error: no name"} {
		got, err := Env(in, environ)
		check(t, in, got, err, want)
	}
	path := filepath.Join(t.TempDir(), "env")
	for in, want := range map[string]string{
		"\xef\xbb\xbfA=1\r\n# no\n\n  B= x \nHOME\n": "[A=1 B= x  HOME=/root]", "A B=1": "error: line 1: the name", "\n=x": "error: line 2", "\xff": "error: line 1 is not text",
	} {
		os.WriteFile(path, []byte(in), 0o600)
		got, err := EnvFile(path, environ)
		check(t, in, got, err, want)
	}
	_, err := EnvFile(path+"x", environ)
	check(t, "missing", "", err, "error: no such file")
	_, err = EnvFile(t.TempDir(), environ)
	check(t, "directory", "", err, "error: is a directory")
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{"web": "<nil>", "a.b_c-1": "<nil>", "": "error", "-a": "error", "a/b": "error", "é": "error"} {
		check(t, in, nil, Name(in), want)
	}
	for in, want := range map[string]string{"web.example": "<nil>", "": "error", "a..b": "error", "-a": "error", "a b": "error", strings.Repeat("a", 65): "error"} {
		check(t, in, nil, Hostname(in), want)
	}
	for in, want := range map[string]string{"no": "no 0", "on-failure:3": "on-failure 3", "always:3": "error", "x": "error", "on-failure:x": "error"} {
		policy, n, err := Restart(in)
		check(t, in, fmt.Sprint(policy, " ", n), err, want)
	}
	for in, want := range map[string]string{"/dev/a": "{/dev/a /dev/a rwm}", "/dev/a:r": "{/dev/a /dev/a r}", "/dev/a:/dev/b": "{/dev/a /dev/b rwm}",
		"/dev/a:/dev/b:rw": "{/dev/a /dev/b rw}", "/dev/a:x": "error", "a": "error", "v.com/c=d": "error: CDI", "/a:/b:r:w": "error"} {
		got, err := Device(in)
		check(t, in, got, err, want)
	}
	for in, want := range map[string]string{"a:1.2.3.4": "a:1.2.3.4", "a:::1": "a:::1", "a=[::1]": "a:::1", "a": "error", "a:x": "error", "a:host-gateway": "error"} {
		got, err := AddHost(in)
		check(t, in, got, err, want)
	}
	for in, want := range map[string]string{"none": "none", "default": "private", "bridge": "error: bridge is not there yet", "mynet": "error: networks of your own"} {
		got, err := Network(in)
		check(t, in, got, err, want)
	}
	for in, want := range map[string]string{"linux/arm/v7": "<nil>", "linux": "<nil>", "windows/amd64": "error", "linux//": "error"} {
		check(t, in, nil, Platform(in), want)
	}
}

func TestWhen(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for in, want := range map[string]string{"10m": "2026-01-02 02:54:05", "2026-01-01": "2026-01-01 00:00:00", "2026-01-01T05:06:07Z": "2026-01-01 05:06:07",
		"2026-01-01T05:06": "2026-01-01 05:06:00", "1767366245.5": "2026-01-02 15:04:05.5", "x": "error", "1.0000000001": "error"} {
		got, err := When(in, now)
		check(t, in, got, err, want)
	}
}

// The fuzz targets hold the parsers to what the engine relies on: no panic, and absolute clean targets.
func FuzzVolume(f *testing.F) {
	f.Add("/a:/b:ro,Z")
	f.Add("db:/x")
	f.Fuzz(func(t *testing.T, s string) { sane(t, s, Volume) })
}

func FuzzMount(f *testing.F) {
	f.Add("type=bind,source=/a,target=/b,readonly")
	f.Add(`type=tmpfs,"dst=/b",tmpfs-size=1m`)
	f.Fuzz(func(t *testing.T, s string) { sane(t, s, Mount) })
}

func FuzzTmpfs(f *testing.F) {
	f.Add("/t:size=1m,ro")
	f.Fuzz(func(t *testing.T, s string) { sane(t, s, Tmpfs) })
}

func sane(t *testing.T, s string, parse func(string) (record.Mount, error)) {
	m, err := parse(s)
	if err != nil {
		return
	}
	if !filepath.IsAbs(m.Target) || filepath.Clean(m.Target) != m.Target || m.Target == "/" {
		t.Fatalf("%q gave target %q", s, m.Target)
	}
	if m.Type == "bind" && !filepath.IsAbs(m.Source) || m.Type == "volume" && m.Source != "" && Name(m.Source) != nil {
		t.Fatalf("%q gave source %q", s, m.Source)
	}
}

func FuzzSmallValues(f *testing.F) {
	f.Add("nofile=1:2")
	f.Add("/dev/a:/dev/b:rw")
	f.Add("0-3,5")
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := Ulimit(s); err == nil && u.Hard != -1 && (u.Soft > u.Hard || u.Soft == -1) {
			t.Fatalf("%q gave %+v", s, u)
		}
		if n, err := Memory(s); err == nil && n != 0 && n < MinMemory {
			t.Fatalf("%q gave %d", s, n)
		}
		Device(s)
		AddHost(s)
		CPUSet(s)
		CPUs(s)
		When(s, time.Unix(0, 0))
		Env(s, func() []string { return []string{"A=1"} })
		splitLines([]byte(s))
	})
}
