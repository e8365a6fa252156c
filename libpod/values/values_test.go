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
	text := fmt.Sprintf("%s %s>%s ro=%t %v %s nocopy=%t norec=%t sub=%s make=%t anon=%t", m.Type, m.Source, m.Target, m.ReadOnly, m.Options,
		m.Propagation, m.NoCopy, m.NonRecurs, m.SubPath, m.MakeSource, m.Anonymous)
	for name, value := range map[string]string{"below": m.Below, "relabel": m.Relabel, "upper": m.Upper, "driver": m.Driver} {
		if value != "" {
			text += " " + name + "=" + value
		}
	}
	if m.Overlay {
		text += " overlay"
	}
	if m.DriverOpts != nil || m.Labels != nil {
		text += fmt.Sprint(" ", m.DriverOpts, m.Labels)
	}
	return text
}

func TestVolume(t *testing.T) {
	for in, want := range map[string]string{
		"/a:/b":                          "bind /a>/b ro=false []  nocopy=false norec=false sub= make=true anon=false",
		"/a:/b/:ro,z,rshared":            "bind /a>/b ro=true [] rshared",
		"db:/b:nocopy,U":                 "volume db>/b ro=false [U]  nocopy=true",
		"/b":                             "volume >/b ro=false []  nocopy=false norec=false sub= make=false anon=true",
		"/b:ro":                          "volume >/b ro=true",
		"a:b:c:d":                        "error: it looks like [SOURCE:]TARGET[:OPTIONS]",
		"a:b":                            `error: the target "b" is not an absolute path`,
		"/a:/":                           "error: the target cannot be /",
		":/b":                            "error: the source is empty",
		"/a:":                            "error",
		"":                               "error: there is no target",
		"/a:/b:rx":                       `error: there is no option "rx"`,
		"/a:/b:O":                        "bind /a>/b ro=false []  nocopy=false norec=false sub= make=true anon=false overlay",
		"/a:/b:O,upperdir=/u,workdir=/w": "bind /a>/b ro=false []  nocopy=false norec=false sub= make=true anon=false upper=/u overlay",
		"/a:/b:O,upperdir=/u":            "error: upperdir and workdir go together",
		"/a:/b:upperdir=/u,workdir=/w":   "error: upperdir and workdir go with the option O",
		"/a:/b:O,U":                      "error: options O and U",
		"/a:/b:O,rshared":                "error: options O and rshared",
		"/b:O":                           "error",
		"/a:/b:ro,rw":                    `error: options "ro" and "rw" do not go together`,
		"/a:/b:z,Z":                      "error: options",
		"/a:/b:shared,rslave":            "error: options",
		"/a:/b:exec,noexec":              "error: options",
		"/a:/b:nocopy":                   "error: option nocopy is for volumes",
		"/a:/b:Z":                        "bind /a>/b ro=false []  nocopy=false norec=false sub= make=true anon=false relabel=Z",
		"-x:/b":                          "error: the name",
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
		"type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=1777":    "tmpfs >/b ro=false [size=1048576 mode=1777]",
		"type=tmpfs,src=/a,dst=/b":                           "error: a tmpfs has no source",
		"type=bind,dst=/b":                                   "error: a bind mount needs a source",
		"type=bind,src=/a":                                   "error: there is no target",
		"type=nfs,src=/a,dst=/b":                             `error: there is no type "nfs"`,
		"type=image,src=a,dst=/b":                            "image a>/b ro=true []",
		"type=image,src=a,dst=/b,rw":                         "image a>/b ro=false []",
		"type=image,src=a,dst=/b,subpath=x/y":                "image a>/b ro=true []  nocopy=false norec=false sub=x/y",
		"type=image,dst=/b":                                  "error: an image mount needs a source",
		"type=bind,src=/a,dst=/b,ro,bind-recursive=readonly": "bind /a>/b ro=true []  nocopy=false norec=false sub= make=false anon=false below=readonly",
		"type=bind,src=/a,dst=/b,bind-recursive=readonly":    "error: bind-recursive=readonly goes with readonly",
		"type=bind,src=/a,dst=/b,bind-recursive=x":           "error: bind-recursive is",
		"type=bind,src=/a,dst=/b,consistency=cached":         "bind /a>/b",
		"type=bind,src=/a,dst=/b,consistency=x":              "error",
		"type=bind,src=/a,dst=/b,relabel=private":            "bind /a>/b ro=false []  nocopy=false norec=false sub= make=false anon=false relabel=Z",
		"type=bind,src=/a,dst=/b,exec=false,nosuid,dev":      "bind /a>/b ro=false [noexec nosuid dev]",
		"type=devpts,dst=/p,gid=5,mode=600,max=4":            "devpts >/p ro=false [gid=5 mode=600 max=4]",
		"type=devpts,dst=/p,size=1":                          `error: type devpts has no key "size"`,
		"type=ramfs,dst=/p,mode=700":                         "ramfs >/p ro=false [mode=700]",
		"type=ramfs,dst=/p,size=1m":                          "error: a ramfs has no size",
		"type=tmpfs,dst=/b,size=10%,uid=5,tmpcopyup,U":       "tmpfs >/b ro=false [size=10% uid=5 tmpcopyup U]",
		"type=tmpfs,dst=/b,tmpcopyup,notmpcopyup":            "tmpfs >/b ro=false []",
		"type=glob,src=/none-here*,dst=/b":                   `error: no file matches "/none-here*"`,
		"type=npipe,src=a,dst=/b":                            "error: type npipe is for Windows",
		"type=cluster,src=a,dst=/b":                          "error: type cluster needs",
		"type=volume,src=a,dst=/b,volume-driver=nfs":         "error",
		"type=bind,src=/a,dst=/b,foo=1":                      `error: type bind has no key "foo"`,
		"src=a,dst=/b,volume-opt=type=tmpfs,\"volume-opt=o=size=1m,mode=700\",volume-label=k=v": "volume a>/b ro=false []  nocopy=false norec=false sub= make=false anon=false map[o:size=1m,mode=700 type:tmpfs] map[k:v]",
		"type=volume,src=a,dst=/b,volume-opt==x":                                                "error: volume-opt looks like",
		"type=bind,src=/a,dst=/b,ro=maybe":                                                      "error: ro is true or false",
		"src=db,dst=/b,volume-subpath=../x":                                                     "error: volume-subpath",
		`type=bind,"src=/a`:                                                                     "error: it looks like",
		"type=tmpfs,dst=/b,tmpfs-mode=9":                                                        "error: tmpfs-mode",
	} {
		got, err := Mount(in)
		check(t, in, mountText(first(got)), err, want)
	}
	base := t.TempDir()
	for _, name := range []string{"a1", "a2", "b"} {
		os.WriteFile(filepath.Join(base, name), nil, 0o600)
	}
	got, err := Mount("type=glob,src=" + base + "/a*,dst=/x,ro")
	if err != nil || len(got) != 2 || got[1].Source != base+"/a2" || got[1].Target != "/x/a2" || !got[1].ReadOnly || got[1].Type != "bind" {
		t.Errorf("glob: %v %v", got, err)
	}
}

func first(mounts []record.Mount) record.Mount {
	if len(mounts) == 0 {
		return record.Mount{}
	}
	return mounts[0]
}

func TestSecret(t *testing.T) {
	for in, want := range map[string]string{
		"s":                  "mount s /run/secrets/s 0:0 444",
		"s,target=x/../../y": "mount s /run/secrets/y 0:0 444",
		"s,type=mount,target=/a/b,uid=5,gid=6,mode=0400": "mount s /a/b 5:6 400",
		"source=s,target=t":     "mount s /run/secrets/t 0:0 444",
		"s,type=env":            "env s s 0:0 0",
		"s,type=env,target=V":   "env s V 0:0 0",
		"s,type=env,target=A=B": "error: target",
		"s,type=env,mode=400":   "error: uid, gid and mode",
		"s,type=file":           "error",
		"s,mode=9":              "error: mode=9",
		"s,mode=7777":           "error: mode=7777",
		"s,uid=-1":              "error: uid=-1",
		"s,target=/":            "error: target",
		"s,target=.":            "error: target",
		"s,foo=1":               `error: a secret has no option "foo"`,
		"":                      "error",
		"type=env":              "error",
		"../s":                  "error: secret",
		"s,target=":             "error: target needs a value",
	} {
		got, err := Secret(in)
		check(t, in, fmt.Sprintf("%s %s %s %d:%d %o", got.Type, got.Name, got.Target, got.UID, got.GID, got.Mode), err, want)
	}
}

func FuzzSecret(f *testing.F) {
	f.Add("s,type=mount,target=/x,uid=1,mode=400")
	f.Fuzz(func(t *testing.T, in string) {
		s, err := Secret(in)
		if err == nil && (SecretName(s.Name) != nil || s.Type == "mount" && (!filepath.IsAbs(s.Target) || filepath.Clean(s.Target) != s.Target)) {
			t.Fatalf("%q gave %+v", in, s)
		}
	})
}

func TestTmpfs(t *testing.T) {
	for in, want := range map[string]string{
		"/t": "tmpfs >/t ro=false []", "/t:size=64m,exec,ro": "tmpfs >/t ro=true [size=64m exec]", "t": "error", "/t:size=": "error: a tmpfs has no option", "/t:size=bogus": "error: size=bogus is not", "/t:mode=9": "error: mode=9", "/t:uid=x": "error: uid=x",
		"/t:size=50%,mode=1777,uid=7": "tmpfs >/t ro=false [size=50% mode=1777 uid=7]",
		"/t:bind":                     "error: a tmpfs has no option", "/t:notmpcopyup": "tmpfs >/t ro=false []", "/t:tmpcopyup,chown": "tmpfs >/t ro=false [tmpcopyup U]",
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
	for in, want := range map[string]string{"a:1.2.3.4": "a:1.2.3.4", "a:::1": "a:::1", "a=[::1]": "a:::1", "a": "error", "a:x": "error", "a:host-gateway": "a:host-gateway"} {
		got, err := AddHost(in)
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
	f.Add("type=image,src=a,dst=/b,subpath=x")
	f.Fuzz(func(t *testing.T, s string) {
		sane(t, s, func(s string) (record.Mount, error) {
			mounts, err := Mount(s)
			return first(mounts), err
		})
	})
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
