package system

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// All that use a tmpfs volume at a time see the same one; with the last of them it is gone.
//
// flag: volume create --opt --driver --label
// flag: volume mount
// flag: volume unmount
func TestTmpfsVolume(t *testing.T) {
	t.Parallel()
	vol, a := volume(t), shared.Name(t)
	shared.Must(t, "volume", "create", "--driver", "local", "--label", "a=b", "-o", "type=tmpfs", "--opt", "device=tmpfs", "-o", "o=size=1m,mode=711,uid=3,noexec", vol)
	shared.Must(t, "run", "-d", "--name", a, "--network", "none", "-v", vol+":/x", testkit.Image, "sleep", "1000")
	want(t, "its options", shared.Must(t, "exec", a, "sh", "-c", "stat -c %a:%u /x; df -k /x | awk 'END{print $2}'; "+mountOptions), "711:3\n1024\nnoexec rw ")
	shared.Must(t, "exec", a, "sh", "-c", "echo shared >/x/f")
	want(t, "a second container", inside(t, "cat /x/f; echo second >/x/g", "-v", vol+":/x"), "shared")
	want(t, "and back", shared.Must(t, "exec", a, "cat", "/x/g"), "second")
	place := shared.Must(t, "volume", "mount", vol)
	want(t, "for the user", shared.Must(t, "unshare", "cat", place+"/f"), "shared")
	shared.MustFail(t, 1, "in use by "+a, "volume", "rm", vol)
	shared.Must(t, "rm", "-f", "-t", "0", a)
	want(t, "kept by volume mount", inside(t, "cat /x/f", "-v", vol+":/x"), "shared")
	shared.Must(t, "volume", "unmount", vol)
	want(t, "after the last user", inside(t, "ls -A /x", "-v", vol+":/x"), "")
	shared.MustFail(t, 125, "mounted by nobody", "volume", "export", vol)
	shared.Must(t, "volume", "mount", vol)
	shared.Must(t, "volume", "rm", vol)
	if out := shared.Must(t, "unshare", "sh", "-c", "grep -c /"+vol+"/ /proc/self/mountinfo || true"); out != "0" {
		t.Error("volume rm left the volume mounted")
	}
}

// A volume of a directory of the host is mounted only for who uses it, and its removal takes nothing from there.
//
// flag: volume create --opt
func TestBindVolume(t *testing.T) {
	t.Parallel()
	base, vol := dir(t), volume(t)
	os.WriteFile(filepath.Join(base, "f"), []byte("host\n"), 0o644)
	shared.Must(t, "volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device="+base, vol)
	want(t, "inside", inside(t, "cat /x/f; touch /x/w", "-v", vol+":/x"), "host")
	shared.Must(t, "volume", "mount", vol)
	shared.Must(t, "volume", "rm", vol)
	want(t, "the directory", strings.Join(entries(base), " "), "f w")
	shared.Must(t, "volume", "create", "-o", "o=bind,ro", "-o", "device="+base, vol)
	want(t, "read-only", inside(t, "touch /x/no 2>/dev/null || echo ro", "-v", vol+":/x"), "ro")
	shared.Must(t, "volume", "rm", vol)
	shared.Must(t, "volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device="+base+"/gone", vol)
	shared.MustFail(t, 125, "gone", "run", "--rm", "-v", vol+":/x", testkit.Image, "true")
}

// flag: volume create --opt --uid --gid --ignore
func TestVolumeOptions(t *testing.T) {
	t.Parallel()
	vol := volume(t)
	shared.Must(t, "volume", "create", "--uid", "7", "--gid", "8", vol)
	want(t, "owner", inside(t, "stat -c %u:%g /x", "-v", vol+":/x"), "7:8")
	shared.MustFail(t, 125, "other options", "volume", "create", "-o", "type=tmpfs", vol)
	want(t, "ignore", shared.Must(t, "volume", "create", "--ignore", "-o", "type=tmpfs", vol), vol)
	shared.Must(t, "volume", "rm", vol)
	shared.Must(t, "volume", "create", "-o", "o=uid=9,gid=10", vol)
	want(t, "owner by o", inside(t, "stat -c %u:%g /x", "-v", vol+":/x"), "9:10")
	for opts, text := range map[string]string{
		"size=1g": "quota", "o=size=1g": "quota", "foo=bar": `no option "foo"`, "type=none": "absolute path", "device=/x": "needs --opt type",
		"o=noexec": "needs --opt type", "o=uid=x": "not an id", "type=ext4": "device",
	} {
		shared.MustFail(t, 125, text, "volume", "create", "--opt", opts, vol+"2")
	}
	if os.Geteuid() != 0 {
		shared.MustFail(t, 125, "only root", "volume", "create", "-o", "type=nfs", "-o", "o=addr=127.0.0.1", "-o", "device=:/x", vol+"2")
	}
	shared.MustFail(t, 125, "cluster volumes", "volume", "create", "--scope", "single", vol+"2")
	shared.MustFail(t, 125, "swarm", "volume", "update", vol)
	shared.MustFail(t, 125, "foo", "volume", "create", "-d", "foo", vol+"2")
	if shared.Try(t, "volume", "exists", vol+"2").Code == 0 {
		t.Error("a refused volume is there")
	}
}

// flag: volume ls --filter
// flag: volume prune --all --dry-run --filter --force
func TestVolumeFilters(t *testing.T) {
	t.Parallel()
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	s.Must(t, "volume", "create", "--label", "a=b", "old")
	s.Must(t, "volume", "create", "-o", "type=tmpfs", "mem")
	anon := s.Must(t, "volume", "create")
	ls := func(filter string) string {
		out := s.Must(t, "volume", "ls", "-q", "--filter", filter)
		return strings.ReplaceAll(strings.Join(strings.Fields(out), " "), anon, "ANON")
	}
	for filter, wanted := range map[string]string{"opt=type": "mem", "opt=type=tmpfs": "mem", "anonymous=true": "ANON", "since=old": "mem ANON", "scope=local": "mem old ANON", "until=1h": "", "label!=a": "mem ANON"} {
		got := strings.Fields(ls(filter))
		if len(got) != len(strings.Fields(wanted)) {
			t.Errorf("%s: got %v, want %s", filter, got, wanted)
		}
		for _, name := range got {
			if !strings.Contains(wanted, name) {
				t.Errorf("%s: got %v, want %s", filter, got, wanted)
			}
		}
	}
	s.MustFail(t, 125, "unknown volume filter", "volume", "ls", "--filter", "foo=bar")
	if out := s.Must(t, "volume", "prune", "--dry-run"); !strings.Contains(out, anon) || strings.Contains(out, "mem") {
		t.Errorf("dry run: %s", out)
	}
	if s.Try(t, "volume", "exists", anon).Code != 0 {
		t.Error("a dry run removed a volume")
	}
	s.Must(t, "volume", "prune", "-f", "--all", "--filter", "label!=a")
	want(t, "after prune --all with a filter", ls("scope=local"), "old")
	s.Must(t, "volume", "prune", "-f", "--filter", "all=true")
	want(t, "after prune with Docker's all", ls("scope=local"), "")
}

// flag: volume rm --force --time
func TestVolumeRemoveWithUsers(t *testing.T) {
	t.Parallel()
	vol, name := volume(t), shared.Name(t)
	shared.Must(t, "run", "-d", "--name", name, "--network", "none", "-v", vol+":/x", testkit.Image, "sleep", "1000")
	shared.MustFail(t, 1, "is running", "volume", "rm", "-f", vol)
	shared.Must(t, "volume", "rm", "-f", "-t", "0", vol)
	if shared.Try(t, "container", "exists", name).Code == 0 || shared.Try(t, "volume", "exists", vol).Code == 0 {
		t.Error("volume rm --force --time left the container or the volume")
	}
}

// flag: volume export --output
// flag: volume import
func TestVolumeExportImport(t *testing.T) {
	t.Parallel()
	from, to := volume(t), volume(t)+"-2"
	t.Cleanup(func() { shared.Try(t, "volume", "rm", "-f", to) })
	inside(t, "cd /x; echo data >f; ln f hard; ln -s f soft; mkfifo pipe; mkdir -m 1751 sub; chown 5:6 sub f; chmod 4755 f; touch -d '2001-02-03 04:05:06' sub; chmod 711 .; chown 7:8 .", "-v", from+":/x")
	const look = "cd /x; stat -c '%n %a %u:%g %h %F' . f hard soft pipe sub; stat -c %Y sub; readlink soft; cat hard"
	path := filepath.Join(dir(t), "out.tar")
	shared.Must(t, "volume", "export", "--output", path, from)
	shared.Must(t, "volume", "create", to)
	inside(t, "echo stays >/x/other; mkdir /x/f; touch /x/f/in-the-way; echo old >/x/sub", "-v", to+":/x")
	shared.Must(t, "volume", "import", to, path)
	want(t, "the copy", inside(t, look, "-v", to+":/x"), inside(t, look, "-v", from+":/x"))
	want(t, "what was there", inside(t, "cat /x/other", "-v", to+":/x"), "stays")

	// From a pipe, compressed; an imported volume is not filled from the image.
	cmd := exec.Command("sh", "-c", shared.Bin+" volume export "+from+" | gzip | "+shared.Bin+" volume import "+to+" -")
	cmd.Env = shared.Command(t.Context()).Env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want(t, "the copy from a pipe", inside(t, look, "-v", to+":/x"), inside(t, look, "-v", from+":/x"))
	shared.MustFail(t, 125, "no volume", "volume", "import", "no-such-volume", path)
	shared.MustFail(t, 125, "no volume", "volume", "export", "no-such-volume")
	if r := shared.Try(t, "volume", "export", "-o", "/no/such/dir/x.tar", from); r.Code != 125 {
		t.Errorf("export to a missing directory: %d %s", r.Code, r.Stderr)
	}
}

// A broken stream changes nothing in the volume.
func TestBrokenImportChangesNothing(t *testing.T) {
	t.Parallel()
	vol := volume(t)
	inside(t, "echo old >/x/f", "-v", vol+":/x")
	whole := tarOf(t, &tar.Header{Name: "f", Mode: 0o644, Typeflag: tar.TypeReg, Size: 3}, "new", &tar.Header{Name: "g", Mode: 0o644, Typeflag: tar.TypeReg, Size: 2000}, strings.Repeat("x", 2000))
	for what, data := range map[string][]byte{"cut": whole[:2000], "no tar": []byte("this is no tar stream"), "cut gzip": gzipped(whole)[:60]} {
		shared.MustFail(t, 125, "import into volume", "volume", "import", vol, file(t, "in", string(data)))
		want(t, what, inside(t, "cat /x/f; ls /x", "-v", vol+":/x"), "old\nf")
	}
	shared.Must(t, "volume", "import", vol, file(t, "in", string(whole)))
	want(t, "whole", inside(t, "cat /x/f; ls /x", "-v", vol+":/x"), "newf\ng")
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// tarOf is a tar stream of headers, each regular file followed by its content.
func tarOf(t *testing.T, parts ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, part := range parts {
		var err error
		switch part := part.(type) {
		case *tar.Header:
			err = w.WriteHeader(part)
		case string:
			_, err = io.WriteString(w, part)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	return b.Bytes()
}

// A hostile stream cannot write outside the volume: by names, links of its own, links that a container left in the volume,
// or hard links to files of the host.
func TestHostileImport(t *testing.T) {
	t.Parallel()
	base, vol := dir(t), volume(t)
	victim := filepath.Join(base, "victim")
	os.WriteFile(victim, []byte("untouched"), 0o666)
	os.Chmod(base, 0o777)
	link := func(name, target string) *tar.Header {
		return &tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink, Mode: 0o777}
	}
	reg := func(name string) *tar.Header {
		return &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 5}
	}
	up := strings.Repeat("../", 20)
	for what, parts := range map[string][]any{
		"dots":         {reg(up + base[1:] + "/victim"), "owned"},
		"absolute":     {reg(victim), "owned"},
		"link":         {link("l", victim), reg("l"), "owned"},
		"link-dir":     {link("d", base), reg("d/victim"), "owned"},
		"link-up":      {link("d", up+base[1:]), reg("d/victim"), "owned"},
		"hard":         {&tar.Header{Name: "h", Linkname: up + base[1:] + "/victim", Typeflag: tar.TypeLink}, reg("h"), "owned"},
		"hard-abs":     {&tar.Header{Name: "h", Linkname: victim, Typeflag: tar.TypeLink}, reg("h"), "owned"},
		"left-by-ctr":  {reg("left/victim"), "owned"},
		"left-file":    {reg("leftfile"), "owned"},
		"dir-over":     {&tar.Header{Name: "left/", Typeflag: tar.TypeDir, Mode: 0o777, Uid: 3}, reg("left/victim"), "owned"},
		"device":       {&tar.Header{Name: "dev", Typeflag: tar.TypeBlock, Devmajor: 8, Mode: 0o666}},
		"zero-in-name": {&tar.Header{Name: "a", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: map[string]string{"path": "x"}}},
	} {
		inside(t, "cd /x; rm -rf ./*; ln -s "+base+" left; ln -s "+victim+" leftfile", "-v", vol+":/x")
		r := shared.Try(t, "volume", "import", vol, file(t, "in", string(tarOf(t, parts...))))
		if data, err := os.ReadFile(victim); string(data) != "untouched" || err != nil {
			t.Errorf("%s: the file outside is %q, %v (import said %d %s)", what, data, err, r.Code, r.Stderr)
			os.WriteFile(victim, []byte("untouched"), 0o666)
		}
		if left := entries(base); len(left) != 1 {
			t.Errorf("%s: made outside: %v", what, left)
		}
		if info, err := os.Stat(base); err != nil || info.Mode().Perm() != 0o777 {
			t.Errorf("%s: the directory outside changed: %v %v", what, info.Mode(), err)
		}
	}
	// And the reverse: an export does not follow the links of a container.
	inside(t, "cd /x; rm -rf ./*; ln -s "+base+" left", "-v", vol+":/x")
	path := filepath.Join(dir(t), "out.tar")
	shared.Must(t, "volume", "export", "-o", path, vol)
	if data, _ := os.ReadFile(path); bytes.Contains(data, []byte("untouched")) {
		t.Error("an export followed a link out of the volume")
	}
}

// A container that swaps the subpath for a link to the host while others mount it gains nothing: what is mounted is inside
// the volume, or the start fails. Replays CVE-2017-1002101 and CVE-2018-15664.
func TestSubpathRace(t *testing.T) {
	t.Parallel()
	base, vol := dir(t), volume(t)
	os.Mkdir(base+"/d", 0o755)
	os.WriteFile(base+"/d/host", []byte("host"), 0o644)
	data := shared.Must(t, "volume", "create", vol)
	data = shared.Must(t, "volume", "inspect", "--format", "{{.Mountpoint}}", data)
	os.MkdirAll(data+"/good", 0o755)
	os.WriteFile(data+"/good/inside", nil, 0o644)
	os.Symlink("good", data+"/s")
	var stop atomic.Bool
	swapped := make(chan struct{})
	go func() {
		defer close(swapped)
		for target := base + "/d"; !stop.Load(); {
			os.Symlink(target, data+"/new")
			os.Rename(data+"/new", data+"/s")
			if target != "good" {
				target = "good"
			} else {
				target = base + "/d"
			}
		}
	}()
	seen := map[string]int{}
	for deadline := time.Now().Add(1500 * time.Millisecond); time.Now().Before(deadline); {
		r := shared.Try(t, "run", "--rm", "--network", "none", "--mount", "src="+vol+",dst=/x,volume-subpath=s", testkit.Image, "ls", "/x")
		seen[r.Out()]++
	}
	stop.Store(true)
	<-swapped
	if seen["host"] > 0 || seen["inside"] == 0 {
		t.Errorf("mounted: %v", seen)
	}
}

// Links that the image or a container put at a mount's target, and links in a volume's place, do not lead the engine to
// files of the host. Replays CVE-2024-9676 (a hostile /etc/passwd) for volumes.
func TestHostileVolumeLinks(t *testing.T) {
	t.Parallel()
	base := dir(t)
	os.WriteFile(base+"/file", []byte("host"), 0o600)
	from := image(t, []entry{{name: "data", link: base}, {name: "up", link: "../../../../../../../../" + base[1:]}}, "VOLUME /data")
	// The volume is made of what the link names inside the image, where there is nothing.
	want(t, "a linked volume", shared.Must(t, "run", "--rm", "--network", "none", "-v", "/up", from, "sh", "-c", "ls -A /data /up 2>/dev/null | grep -c file; true"), "0")
	vol := volume(t)
	inside(t, "ln -s "+base+"/file /x/passwd; ln -s "+base+" /x/dir", "-v", vol+":/x")
	shared.Must(t, "run", "--rm", "--network", "none", "-v", vol+":/etc", testkit.Image, "true")
	shared.MustFail(t, 125, "has no \"dir\"", "run", "--rm", "--mount", "src="+vol+",dst=/x,volume-subpath=dir", testkit.Image, "true")
	want(t, "chown by U", shared.Must(t, "run", "--rm", "--network", "none", "-u", "5", "-v", vol+":/x:U", testkit.Image, "stat", "-c", "%u", "/x"), "5")
	if info, err := os.Stat(base + "/file"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the host's file: %v", err)
	} else if data, err := os.ReadFile(base + "/file"); string(data) != "host" || err != nil {
		t.Errorf("the host's file: %q %v", data, err)
	}
}
