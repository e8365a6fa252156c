package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// mountOptions prints the options of the mount at /x that matter, sorted.
const mountOptions = `awk '$2=="/x"{print $4}' /proc/mounts | tr ',' '\n' | grep -xE 'ro|rw|noexec|nosuid|nodev' | sort | tr '\n' ' '`

// Every type of mount has its effect inside.
//
// flag: run, create --mount --tmpfs --volume --read-only --read-only-tmpfs
func TestMountTypes(t *testing.T) {
	t.Parallel()
	base := dir(t)
	for _, name := range []string{"lib1", "lib2", "other"} {
		os.WriteFile(filepath.Join(base, name), []byte(name+"\n"), 0o644)
	}
	for name, c := range map[string]struct {
		flags        []string
		script, want string
	}{
		"image":          {[]string{"--mount", "type=image,source=" + testkit.Image + ",target=/x"}, "ls /x/bin/busybox; touch /x/f 2>/dev/null || echo ro", "/x/bin/busybox\nro"},
		"image-rw":       {[]string{"--mount", "type=image,source=" + testkit.Image + ",target=/x,rw=true"}, "echo w >/x/f; cat /x/f; ls /f 2>/dev/null || true", "w"},
		"image-subpath":  {[]string{"--mount", "type=image,source=" + testkit.Image + ",target=/x,subpath=bin"}, "ls /x/busybox", "/x/busybox"},
		"image-file":     {[]string{"--mount", "type=image,source=" + testkit.Image + ",target=/y/busybox,image-subpath=bin/busybox"}, "/y/busybox echo run", "run"},
		"devpts":         {[]string{"--mount", "type=devpts,target=/x,mode=600"}, "awk '$2==\"/x\"{print $3}' /proc/mounts; ls /x; awk '$2==\"/x\"' /proc/mounts | grep -c mode=600", "devpts\nptmx\n1"},
		"ramfs":          {[]string{"--mount", "type=ramfs,target=/x,mode=711"}, "awk '$2==\"/x\"{print $3}' /proc/mounts; stat -c %a /x; touch /x/f", "ramfs\n711"},
		"glob":           {[]string{"--mount", "type=glob,source=DIR/lib*,target=/x,ro"}, "ls /x; cat /x/lib2; touch /x/lib1 2>/dev/null || echo ro", "lib1\nlib2\nlib2\nro"},
		"overlay":        {[]string{"-v", "DIR:/x:O"}, "echo w >/x/new; rm /x/lib1; cat /x/new /x/lib2; ls /x/lib1 2>/dev/null || true", "w\nlib2"},
		"overlay-rofs":   {[]string{"-v", "DIR:/x:O,ro"}, "touch /x/no 2>/dev/null || echo ro", "ro"},
		"options":        {[]string{"--mount", "type=bind,src=DIR,dst=/x,exec=false,nosuid,nodev=true"}, mountOptions, "nodev noexec nosuid rw "},
		"tmpfs-copyup":   {[]string{"--tmpfs", "/etc:tmpcopyup"}, "grep -c root: /etc/passwd; touch /etc/new", "1"},
		"tmpfs-no-copy":  {[]string{"--tmpfs", "/home:notmpcopyup"}, "ls -A /home", ""},
		"tmpfs-keys":     {[]string{"--mount", "type=tmpfs,dst=/x,size=1m,mode=751,uid=3,gid=4,nr_inodes=9"}, "stat -c %a:%u:%g /x; df -k /x | awk 'END{print $2}'; df -i /x | awk 'END{print $2}'", "751:3:4\n1024\n9"},
		"tmpfs-chown":    {[]string{"--mount", "type=tmpfs,dst=/x,chown", "-u", "5:6"}, "stat -c %u:%g /x; touch /x/f", "5:6"},
		"tmpfs-u":        {[]string{"--tmpfs", "/x:U", "-u", "5:6"}, "stat -c %u:%g /x", "5:6"},
		"readonly-tmpfs": {[]string{"--read-only"}, "touch /tmp/f /run/f /var/tmp/f && echo written; touch /f 2>/dev/null || echo ro; stat -c %a /tmp", "written\nro\n1777"},
		"readonly-none":  {[]string{"--read-only", "--read-only-tmpfs=false"}, "touch /tmp/f 2>/dev/null || echo ro", "ro"},
		"readonly-own":   {[]string{"--read-only", "-v", "DIR:/tmp:ro"}, "cat /tmp/lib1", "lib1"},
		"consistency":    {[]string{"--mount", "type=bind,src=DIR,dst=/x,consistency=delegated"}, "cat /x/lib1", "lib1"},
		"relabel":        {[]string{"-v", "DIR:/x:z"}, "cat /x/lib1", "lib1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want(t, name, seen(t, base, c.script, c.flags...), c.want)
		})
	}
	t.Cleanup(func() {
		if left := entries(base); len(left) != 3 {
			t.Errorf("an overlay or read-only mount let the container change its source: %v", left)
		}
	})
}

// flag: run, create --volume
func TestOverlayWithOwnDirectories(t *testing.T) {
	t.Parallel()
	base := dir(t)
	for _, name := range []string{"low", "up", "work"} {
		os.Mkdir(filepath.Join(base, name), 0o755)
	}
	flag := base + "/low:/x:O,upperdir=" + base + "/up,workdir=" + base + "/work"
	seen(t, base, "echo kept >/x/f", "-v", flag)
	want(t, "the next container", seen(t, base, "cat /x/f", "-v", flag), "kept")
	want(t, "the lower directory", strings.Join(entries(base+"/low"), " "), "")
	want(t, "the upper directory", strings.Join(entries(base+"/up"), " "), "f")
	vol := volume(t)
	shared.Must(t, "volume", "create", vol)
	seen(t, base, "touch /x/f", "-v", vol+":/x:O")
	want(t, "a volume below an overlay", seen(t, base, "ls -A /x", "-v", vol+":/x"), "")
}

// What the container wrote into an overlay or a writable image is gone when it starts again.
func TestOverlayIsEmptyAtEachStart(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "create", "--name", name, "--network", "none", "-v", dir(t)+":/x:O", "--mount", "type=image,src="+testkit.Image+",dst=/y,rw",
		testkit.Image, "sh", "-c", "ls -A /x; ls /y/f; touch /x/f /y/f")
	for range 2 {
		if out := shared.Try(t, "start", "-a", name); strings.Contains(out.Stdout, "f") {
			t.Errorf("a second start sees what the first wrote: %q", out.Stdout)
		}
	}
}

// A read-only bind is read-only to its last submount, unless that is not wanted.
func TestReadOnlyReachesBelow(t *testing.T) {
	t.Parallel()
	base := dir(t)
	os.MkdirAll(filepath.Join(base, "sub"), 0o755)
	script := "mount -t tmpfs tmpfs " + base + "/sub && exec " + shared.Bin + " run --rm --network none --mount type=bind,src=" + base + ",dst=/x,OPTIONS " +
		testkit.Image + ` sh -c 'touch /x/f 2>/dev/null && echo top; touch /x/sub/f 2>/dev/null && echo sub; true'`
	for options, wanted := range map[string]string{"ro": "", "ro,bind-recursive=writable": "sub", "ro,bind-recursive=readonly": "", "rw": "top\nsub",
		"ro,bind-recursive=disabled": ""} {
		got := shared.Must(t, "unshare", "unshare", "-m", "sh", "-c", strings.ReplaceAll(script, "OPTIONS", options))
		want(t, options, got, wanted)
		shared.Must(t, "unshare", "rm", "-f", base+"/f")
	}
}

// Without root no mount of a container can reach the host: asking for it is an error, and does not pass silently.
func TestSharedPropagationNeedsRoot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root has it")
	}
	for _, kind := range []string{"shared", "rshared"} {
		shared.MustFail(t, 125, "propagation "+kind+" needs root", "run", "--rm", "-v", dir(t)+":/x:"+kind, testkit.Image, "true")
		shared.MustFail(t, 125, "propagation "+kind+" needs root", "run", "--rm", "--mount", "type=bind,src="+dir(t)+",dst=/x,bind-propagation="+kind, testkit.Image, "true")
	}
	want(t, "slave", inside(t, `grep ' /x ' /proc/self/mountinfo | grep -c master:`, "-v", dir(t)+":/x:slave"), "1")
	want(t, "private", inside(t, `grep ' /x ' /proc/self/mountinfo | grep -cE 'shared:|master:'; true`, "-v", dir(t)+":/x:private"), "0")
}

// flag: run, create --volumes-from
func TestVolumesFrom(t *testing.T) {
	t.Parallel()
	base, vol, name := dir(t), volume(t), shared.Name(t)
	from := image(t, nil, "VOLUME /own")
	os.WriteFile(filepath.Join(base, "f"), []byte("bind\n"), 0o644)
	shared.Must(t, "run", "--name", name, "--network", "none", "-v", base+":/b", "-v", vol+":/v:ro", "--tmpfs", "/t", from, "sh", "-c", "echo anon >/own/f")
	run := func(script string, flags ...string) string {
		return shared.Must(t, append(append([]string{"run", "--rm", "--network", "none"}, flags...), testkit.Image, "sh", "-c", script)...)
	}
	const look = "cat /b/f /own/f; for d in /b /own /v; do touch $d/w 2>/dev/null && echo $d; done; ls -d /t 2>/dev/null; true"
	want(t, "as they are", run(look, "--volumes-from", name), "bind\nanon\n/b\n/own")
	want(t, "read-only", run(look, "--volumes-from", name+":ro"), "bind\nanon")
	want(t, "an own mount wins", run("cat /b/f 2>/dev/null || echo own", "--volumes-from", name, "--tmpfs", "/b"), "own")
	other := name + "-2"
	t.Cleanup(func() { shared.Try(t, "rm", "-f", "-v", other) })
	shared.Must(t, "create", "--name", other, "-v", dir(t)+":/second", testkit.Image)
	want(t, "several", run("ls -d /b /second", "--volumes-from", name, "--volumes-from", other), "/b\n/second")
	want(t, "an anonymous volume outlives --rm of another user", run("cat /own/f", "--volumes-from", name), "anon")
	shared.MustFail(t, 125, "nobody", "run", "--rm", "--volumes-from", "nobody", testkit.Image, "true")
	shared.MustFail(t, 125, `no option "x"`, "run", "--rm", "--volumes-from", name+":x", testkit.Image, "true")
}

// flag: run, create --image-volume
func TestImageVolume(t *testing.T) {
	t.Parallel()
	from := image(t, []entry{{name: "data/", mode: 0o755}, {name: "data/f", content: "image", mode: 0o644}}, "VOLUME /data")
	run := func(kind string) string {
		return shared.Must(t, "run", "--rm", "--network", "none", "--image-volume", kind, from, "sh", "-c", `cat /data/f; awk '$2=="/data"{print " "$3}' /proc/mounts`)
	}
	for _, kind := range []string{"bind", "anonymous"} {
		if got := run(kind); !strings.HasPrefix(got, "image ") || strings.Contains(got, "tmpfs") {
			t.Errorf("%s: %q", kind, got)
		}
	}
	want(t, "ignore", run("ignore"), "image")
	r := shared.Try(t, "run", "--rm", "--network", "none", "--image-volume", "tmpfs", from, "sh", "-c", `ls -A /data; awk '$2=="/data"{print $3}' /proc/mounts`)
	want(t, "tmpfs", r.Out(), "tmpfs")
	shared.MustFail(t, 125, "image-volume", "run", "--rm", "--image-volume", "x", from, "true")
}

// An image that a container mounts stays for as long as the container.
func TestMountedImageStays(t *testing.T) {
	t.Parallel()
	from, name := image(t, []entry{{name: "only", content: "here", mode: 0o644}}), shared.Name(t)
	shared.Must(t, "create", "--name", name, "--network", "none", "--mount", "type=image,src="+from+",dst=/x", testkit.Image, "cat", "/x/only")
	shared.MustFail(t, 2, "in use by", "rmi", from)
	shared.Must(t, "rmi", "-f", from)
	want(t, "after rmi --force", shared.Must(t, "start", "-a", name), "here")
	shared.MustFail(t, 125, "pull no-such-image", "run", "--rm", "--mount", "type=image,src=no-such-image,dst=/x", testkit.Image, "true")
}

// Missing sources are told when the container is made, as in Docker.
func TestMountSourcesAtCreate(t *testing.T) {
	t.Parallel()
	shared.MustFail(t, 125, `bind source path "/no/such/dir"`, "create", "--mount", "type=bind,src=/no/such/dir,dst=/x", testkit.Image)
	for flag, text := range map[string]string{
		"-v=/a:/b:rx":                          "rx",
		"-v=/a:/b:O,U":                         "O and U",
		"-v=/a:b":                              "not an absolute path",
		"--mount=type=foo,dst=/x":              `no type "foo"`,
		"--mount=type=bind,src=/a":             "no target",
		"--mount=type=ramfs,dst=/x,size=1m":    "a ramfs has no size",
		"--mount=type=npipe,src=a,dst=/x":      "Windows",
		"--mount=type=cluster,src=a,dst=/x":    "cluster",
		"--mount=dst=/x,volume-driver=foo":     "foo",
		"--mount=dst=/x,volume-opt=foo=bar":    `no option "foo"`,
		"--volume-driver=foo":                  "foo",
		"--tmpfs=/x:foo":                       `no option "foo"`,
		"--mount=type=bind,src=/,dst=/x,foo=1": `no key "foo"`,
	} {
		shared.MustFail(t, 125, text, "run", "--rm", flag, testkit.Image, "true")
	}
}

// flag: run, create --volume-driver --mount
func TestInlineVolumes(t *testing.T) {
	t.Parallel()
	vol, base := volume(t), dir(t)
	want(t, "tmpfs", inside(t, "df -k /x | awk 'END{print $1,$2}'", "--volume-driver", "local",
		"--mount", "src="+vol+`,dst=/x,volume-driver=local,volume-opt=type=tmpfs,volume-opt=o=size=2m,volume-label=k=v`), "tmpfs 2048")
	want(t, "its label", shared.Must(t, "volume", "inspect", "--format", `{{index .Labels "k"}} {{.Options.type}}`, vol), "v tmpfs")
	// An anonymous one of a directory of the host goes with its container. The directory does not.
	os.WriteFile(filepath.Join(base, "f"), []byte("precious\n"), 0o644)
	mount := "dst=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=" + base
	want(t, "bind", inside(t, "cat /x/f; touch /x/w", "--mount", mount), "precious")
	name := shared.Name(t)
	shared.Must(t, "run", "--name", name, "--network", "none", "--mount", mount, testkit.Image, "true")
	shared.Must(t, "rm", "-v", name)
	want(t, "the device after --rm and rm -v", strings.Join(entries(base), " "), "f w")
}
