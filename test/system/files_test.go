package system

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// tree is a directory of the host with a file and a directory in it.
func tree(t *testing.T) string {
	t.Helper()
	path := dir(t)
	for _, err := range []error{
		os.MkdirAll(path+"/src/sub", 0o755),
		os.WriteFile(path+"/src/f", []byte("one"), 0o640),
		os.WriteFile(path+"/src/sub/g", []byte("two"), 0o644),
		os.WriteFile(path+"/file", []byte("file"), 0o644),
		os.Symlink("file", path+"/link"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// found lists what lies below a directory of the host.
func found(t *testing.T, path string) string {
	t.Helper()
	var names []string
	filepath.WalkDir(path, func(p string, _ os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(path, p); rel != "." {
			names = append(names, rel)
		}
		return err
	})
	sort.Strings(names)
	return strings.Join(names, " ")
}

// The table of docker cp: what goes where, from both sides, with the container running and stopped.
// flag: cp
func TestCpTable(t *testing.T) {
	t.Parallel()
	const script = "mkdir /w && cd /w && mkdir there && echo -n old >there-file && ln -s there to-dir && ln -s there-file to-file"
	cases := []struct{ src, dst, want, fails string }{
		{"file", "new", "file:new", ""},
		{"file", "new/", "", "no directory that exists"},
		{"file", "there-file", "file:there-file", ""},
		{"file", "there", "file:there/file", ""},
		{"file", "there/", "file:there/file", ""},
		{"file", "to-dir", "file:there/file", ""},
		{"file", "to-file", "file:there-file", ""},
		{"file", "there-file/", "", "leads through a file"},
		{"file", "none/new", "", "no "},
		{"src", "new", "one:new/f two:new/sub/g", ""},
		{"src", "new/", "one:new/f two:new/sub/g", ""},
		{"src", "there", "one:there/src/f two:there/src/sub/g", ""},
		{"src/", "there", "one:there/src/f", ""},
		{"src/.", "there", "one:there/f two:there/sub/g", ""},
		{"src/.", "new", "one:new/f", ""},
		{"src", "there-file", "", "is a file"},
		{"file/", "new", "", "leads through a file"},
		{"none", "new", "", "no "},
	}
	for _, running := range []bool{true, false} {
		for _, c := range cases {
			name := strings.ReplaceAll(c.src+" to "+c.dst, "/", "_") + map[bool]string{true: " running", false: " stopped"}[running]
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				host, ctr := tree(t), shared.Name(t)
				more := script + "; echo ready"
				if running {
					more += "; sleep 1000"
				}
				shared.Must(t, "run", "-d", "--network", "none", "--name", ctr, testkit.Image, "sh", "-c", more)
				testkit.Eventually(t, "ready", func() bool { return strings.Contains(shared.Must(t, "logs", ctr), "ready") })
				if !running {
					shared.Must(t, "wait", ctr)
				}
				cpInto(t, host, ctr, c.src, c.dst, c.want, c.fails)
				cpOut(t, host, ctr, c.src, c.dst, c.want, c.fails)
			})
		}
	}
}

func cpInto(t *testing.T, host, ctr, src, dst, wanted, fails string) {
	t.Helper()
	if fails != "" {
		shared.MustFail(t, 125, fails, "cp", host+"/"+src, ctr+":/w/"+dst)
		return
	}
	shared.Must(t, "cp", host+"/"+src, ctr+":/w/"+dst)
	for _, one := range strings.Fields(wanted) {
		content, path, _ := strings.Cut(one, ":")
		want(t, path, contentIn(t, ctr, "/w/"+path), content)
	}
}

// cpOut does the same with the sides changed: what was copied in comes from a second container directory.
func cpOut(t *testing.T, host, ctr, src, dst, wanted, fails string) {
	t.Helper()
	shared.Must(t, "cp", host, ctr+":/from")
	into := dir(t)
	for _, err := range []error{os.Mkdir(into+"/there", 0o755), os.WriteFile(into+"/there-file", []byte("old"), 0o644),
		os.Symlink("there", into+"/to-dir"), os.Symlink("there-file", into+"/to-file")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if fails != "" {
		shared.MustFail(t, 125, fails, "cp", ctr+":/from/"+src, into+"/"+dst)
		return
	}
	shared.Must(t, "cp", ctr+":/from/"+src, into+"/"+dst)
	for _, one := range strings.Fields(wanted) {
		content, path, _ := strings.Cut(one, ":")
		data, err := os.ReadFile(into + "/" + path)
		if err != nil || string(data) != content {
			t.Errorf("%s holds %q, %v; there is %s", path, data, err, found(t, into))
		}
	}
}

// contentIn reads a file of a container through cp.
func contentIn(t *testing.T, ctr, path string) string {
	t.Helper()
	r := shared.Try(t, "cp", ctr+":"+path, "-")
	in := tar.NewReader(strings.NewReader(r.Stdout))
	if _, err := in.Next(); err != nil {
		t.Errorf("cp %s: %v %s", path, err, r.Stderr)
		return ""
	}
	data, _ := io.ReadAll(in)
	return string(data)
}

// Volumes and binds are targets and sources as the container would see them, whether it runs or not.
func TestCpReachesMounts(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"run", "create"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			host, bind, ctr := tree(t), dir(t), shared.Name(t)
			args := []string{verb, "--name", ctr, "--network", "none", "-v", ctr + "-vol:/vol", "-v", bind + ":/deep/bind", "-v", host + ":/ro:ro", testkit.Image, "sleep", "1000"}
			if verb == "run" {
				args = append(args[:1], append([]string{"-d"}, args[1:]...)...)
			}
			t.Cleanup(func() { shared.Try(t, "rm", "-f", ctr); shared.Try(t, "volume", "rm", ctr+"-vol") })
			shared.Must(t, args...)
			shared.Must(t, "cp", host+"/src/.", ctr+":/vol")
			shared.Must(t, "cp", host+"/file", ctr+":/deep/bind/x")
			want(t, "the bind's directory", found(t, bind), "x")
			point := shared.Must(t, "volume", "inspect", "--format", "{{.Mountpoint}}", ctr+"-vol")
			want(t, "the volume", shared.Must(t, "unshare", "cat", point+"/sub/g"), "two")
			want(t, "read through the container", contentIn(t, ctr, "/vol/f"), "one")
			shared.MustFail(t, 125, "read-only", "cp", host+"/file", ctr+":/ro/new")
			if verb == "run" {
				want(t, "the container sees", shared.Must(t, "exec", ctr, "cat", "/vol/f", "/deep/bind/x"), "onefile")
			} else {
				want(t, "nothing in its own layer", shared.Must(t, "diff", ctr), "")
			}
		})
	}
}

func TestCpPausedContainer(t *testing.T) {
	t.Parallel()
	grouped(t)
	host, ctr := tree(t), up(t, trapping, "--network", "none")
	shared.Must(t, "pause", ctr)
	shared.Must(t, "cp", host+"/file", ctr+":/tmp/x")
	want(t, "read back", contentIn(t, ctr, "/tmp/x"), "file")
	want(t, "status", field(t, ctr, "{{.State.Status}}"), "paused")
}

// Files in a container belong to its user unless --archive=false keeps the owner; called as docker that is the default.
// Files on the host belong to the caller.
// flag: cp --archive
func TestCpOwner(t *testing.T) {
	t.Parallel()
	host, ctr := tree(t), up(t, trapping, "--network", "none", "-u", "7:8")
	docker := filepath.Join(dir(t), "docker")
	if err := os.Symlink(shared.Bin, docker); err != nil {
		t.Fatal(err)
	}
	as := *shared
	as.Bin = docker
	owner := func(path string) string {
		return shared.Must(t, "exec", ctr, "stat", "-c", "%u:%g", path)
	}
	shared.Must(t, "cp", host+"/src", ctr+":/tmp/default")
	shared.Must(t, "cp", "--archive=false", host+"/src", ctr+":/tmp/kept")
	as.Must(t, "cp", host+"/src", ctr+":/tmp/docker")
	as.Must(t, "cp", "-a", host+"/src", ctr+":/tmp/docker-a")
	for path, wanted := range map[string]string{"default": "7:8", "default/f": "7:8", "kept/f": "0:0", "docker/f": "0:0", "docker-a/sub/g": "7:8"} {
		want(t, path, owner("/tmp/"+path), wanted)
	}
	shared.Must(t, "cp", ctr+":/tmp/default", host+"/back")
	info, err := os.Stat(host + "/back/f")
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("back on the host: %v %v", info, err)
	}
	if data, err := os.ReadFile(host + "/back/f"); err != nil || string(data) != "one" {
		t.Errorf("the caller cannot read what was copied: %q %v", data, err)
	}
}

// The ids of a container with a user namespace of its own are translated.
func TestCpKeepID(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"run", "create"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			host, ctr := tree(t), shared.Name(t)
			args := []string{verb, "--name", ctr, "--network", "none", "--userns", "keep-id", "-u", "0", testkit.Image, "sleep", "1000"}
			if verb == "run" {
				args = append(args[:1], append([]string{"-d"}, args[1:]...)...)
			}
			if r := shared.Try(t, args...); r.Code != 0 {
				t.Skip("keep-id does not work here: " + r.Stderr)
			}
			shared.Must(t, "cp", host+"/file", ctr+":/tmp/x")
			out, _, _ := piped(t, nil, "cp", ctr+":/tmp/x", "-")
			h, err := tar.NewReader(strings.NewReader(out)).Next()
			if err != nil || h.Uid != 0 || h.Gid != 0 {
				t.Errorf("in the container it belongs to %+v, %v; want its root", h, err)
			}
		})
	}
}

// flag: cp --follow-link
func TestCpFollowLink(t *testing.T) {
	t.Parallel()
	host, ctr := tree(t), up(t, "ln -s /etc/passwd /tmp/l; echo ready; sleep 1000", "--network", "none")
	shared.Must(t, "cp", host+"/link", ctr+":/tmp/as-link")
	shared.Must(t, "cp", "-L", host+"/link", ctr+":/tmp/as-file")
	want(t, "without -L", shared.Must(t, "exec", ctr, "readlink", "/tmp/as-link"), "file")
	want(t, "with -L", shared.Must(t, "exec", ctr, "cat", "/tmp/as-file"), "file")
	shared.Must(t, "cp", ctr+":/tmp/l", host+"/l")
	if target, _ := os.Readlink(host + "/l"); target != "/etc/passwd" {
		t.Errorf("the copied link leads to %q", target)
	}
	shared.Must(t, "cp", "--follow-link", ctr+":/tmp/l", host+"/real")
	if info, err := os.Lstat(host + "/real"); err != nil || !info.Mode().IsRegular() {
		t.Errorf("with -L: %v %v", info, err)
	}
}

func TestCpBetweenContainers(t *testing.T) {
	t.Parallel()
	one, two := up(t, "mkdir /d && echo -n x >/d/f; chown 5:6 /d/f; echo ready; sleep 1000", "--network", "none"), shared.Name(t)+"-two"
	t.Cleanup(func() { shared.Try(t, "rm", "-f", two) })
	shared.Must(t, "create", "--name", two, testkit.Image, "true")
	shared.Must(t, "cp", "--archive=false", one+":/d", two+":/new")
	shared.Must(t, "cp", two+":/new/f", two+":/copy")
	want(t, "the copy of the copy", contentIn(t, two, "/copy"), "x")
	out, _, _ := piped(t, nil, "cp", two+":/new/f", "-")
	if h, err := tar.NewReader(strings.NewReader(out)).Next(); err != nil || h.Uid != 5 || h.Gid != 6 {
		t.Errorf("the owner was not kept: %+v %v", h, err)
	}
	shared.Must(t, "cp", two+":/copy", one+":/d/back")
	want(t, "and back", shared.Must(t, "exec", one, "cat", "/d/back"), "x")
}

// flag: cp --overwrite
func TestCpOverwrite(t *testing.T) {
	t.Parallel()
	host, ctr := tree(t), up(t, "mkdir -p /tmp/file/x; echo old >/tmp/src; echo ready; sleep 1000", "--network", "none")
	shared.MustFail(t, 125, "--overwrite", "cp", host+"/file", ctr+":/tmp")
	shared.MustFail(t, 125, "--overwrite", "cp", host+"/src", ctr+":/tmp")
	shared.Must(t, "cp", "--overwrite", host+"/file", ctr+":/tmp")
	shared.Must(t, "cp", "--overwrite", host+"/src", ctr+":/tmp")
	want(t, "replaced", shared.Must(t, "exec", ctr, "cat", "/tmp/file", "/tmp/src/f"), "fileone")
}

func TestCpStreams(t *testing.T) {
	t.Parallel()
	ctr := up(t, "mkdir /d; echo ready; sleep 1000", "--network", "none")
	var in bytes.Buffer
	w := tar.NewWriter(&in)
	for _, err := range []error{
		w.WriteHeader(&tar.Header{Name: "a/b", Size: 2, Mode: 0o600, Uid: 9, Gid: 9}), ignore(io.WriteString(w, "hi")),
		w.WriteHeader(&tar.Header{Name: "a/l", Typeflag: tar.TypeSymlink, Linkname: "b"}), w.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	data := in.Bytes()
	if _, errs, code := piped(t, bytes.NewReader(data), "cp", "--archive=false", "-", ctr+":/d"); code != 0 {
		t.Fatal(errs)
	}
	want(t, "unpacked", shared.Must(t, "exec", ctr, "stat", "-c", "%u %g %a", "/d/a/b"), "9 9 600")
	want(t, "through the link", shared.Must(t, "exec", ctr, "cat", "/d/a/l"), "hi")
	out, _, _ := piped(t, nil, "cp", ctr+":/d/.", "-")
	var names []string
	for r := tar.NewReader(strings.NewReader(out)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	want(t, "the stream's names", strings.Join(names, " "), "./ ./a/ ./a/b ./a/l")
	if _, errs, code := piped(t, bytes.NewReader(data[:513]), "cp", "-", ctr+":/d"); code != 125 || !strings.Contains(errs, "tar") {
		t.Errorf("a stream that was cut off: exit %d %s", code, errs)
	}
	if _, errs, code := piped(t, bytes.NewReader(data), "cp", "-", ctr+":/etc/passwd"); code != 125 || !strings.Contains(errs, "not a directory") {
		t.Errorf("unpacked into a file: exit %d %s", code, errs)
	}
}

func ignore(_ int, err error) error { return err }

// A file that is mounted, as /etc/hosts is, is written in place.
func TestCpOverMountedFile(t *testing.T) {
	t.Parallel()
	host, bound := tree(t), file(t, "bound", "old")
	ctr := up(t, trapping, "--network", "none", "-v", bound+":/data")
	shared.Must(t, "cp", host+"/file", ctr+":/data")
	shared.Must(t, "cp", host+"/file", ctr+":/etc/hosts")
	want(t, "inside", shared.Must(t, "exec", ctr, "cat", "/data", "/etc/hosts"), "filefile")
	if data, _ := os.ReadFile(bound); string(data) != "file" {
		t.Errorf("the bound file holds %q", data)
	}
}

// flag: cp --quiet
func TestCpTellsWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	into, ctr := dir(t), up(t, trapping, "--network", "none")
	if r := shared.Try(t, "cp", ctr+":/dev", into+"/dev"); r.Code != 0 || !strings.Contains(r.Stderr, "not copied") {
		t.Errorf("exit %d %s", r.Code, r.Stderr)
	}
	if r := shared.Try(t, "cp", "-q", ctr+":/dev", into+"/quiet"); r.Code != 0 || r.Stderr != "" {
		t.Errorf("with -q: exit %d %s", r.Code, r.Stderr)
	}
	if _, err := os.Lstat(into + "/dev/null"); err == nil {
		t.Error("a device node was made on the host")
	}
}

func TestCpBadInput(t *testing.T) {
	t.Parallel()
	host, ctr := tree(t), shared.Name(t)
	shared.Must(t, "create", "--name", ctr, testkit.Image, "true")
	for _, c := range []struct {
		args  []string
		fails string
	}{
		{[]string{host + "/file", host + "/x"}, "container"},
		{[]string{"nobody-here:/x", host}, "nobody-here"},
		{[]string{host + "/file", ctr + ":"}, ctr + ":/"},
		{[]string{host + "/file", "a/b:c"}, "./a/b:c"},
		{[]string{"", ctr + ":/x"}, "empty path"},
		{[]string{host + "/file"}, "needs"},
		{[]string{ctr + ":/etc/none", host}, "no /etc/none"},
		{[]string{ctr + ":/etc/passwd/x", host}, "leads through a file"},
		{[]string{ctr + ":/etc/passwd", host + "/none/x"}, "no " + host + "/none"},
	} {
		shared.MustFail(t, 125, c.fails, append([]string{"cp"}, c.args...)...)
	}
}

// flag: diff --format --latest
func TestDiff(t *testing.T) {
	t.Parallel()
	ctr := finished(t, "rm /etc/group; echo x >/etc/new; mkdir -p /n/m; chmod 700 /home; rm -rf /var; mkdir /var; echo ready", "--network", "none", "-v", "/anon", "-v", dir(t)+":/bound/at")
	const all = "C /etc\nD /etc/group\nA /etc/new\nC /home\nA /n\nA /n/m\nC /var\nD /var/log\nD /var/run"
	want(t, "diff", shared.Must(t, "diff", ctr), all)
	want(t, "container diff", shared.Must(t, "container", "diff", ctr), all)
	want(t, "template", shared.Must(t, "diff", "--format", "{{.Kind}}={{.Path}}", ctr), strings.ReplaceAll(all, " ", "="))
	want(t, "json", joined(shared.Must(t, "diff", "--format", "json", ctr)),
		`{ "changed": [ "/etc", "/home", "/var" ], "added": [ "/etc/new", "/n", "/n/m" ], "deleted": [ "/etc/group", "/var/log", "/var/run" ] }`)
	name := shared.Name(t) + "-fresh"
	shared.Must(t, "create", "--name", name, testkit.Image, "true")
	t.Cleanup(func() { shared.Try(t, "rm", "-f", name) })
	want(t, "of a fresh container", shared.Must(t, "diff", name), "")
	shared.MustFail(t, 125, "nope", "diff", "nope")
	shared.MustFail(t, 125, "--latest", "diff")
}

func TestDiffOfRunningContainer(t *testing.T) {
	t.Parallel()
	ctr := up(t, trapping)
	want(t, "at once", shared.Must(t, "diff", ctr), "")
	shared.Must(t, "exec", ctr, "touch", "/here")
	want(t, "after touch", shared.Must(t, "diff", ctr), "A /here")
}

// flag: export --output
func TestExport(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{true, false} {
		script := "echo -n x >/vol/in; echo -n y >/own; chown 3:4 /own; ln /own /second; echo ready"
		var ctr string
		if running {
			ctr = up(t, script+"; sleep 1000", "--network", "none", "-v", "/vol")
		} else {
			ctr = shared.Name(t) + "-done"
			t.Cleanup(func() { shared.Try(t, "rm", "-f", "-v", ctr) })
			shared.Must(t, "run", "--name", ctr, "--network", "none", "-v", "/vol", testkit.Image, "sh", "-c", script)
		}
		path := filepath.Join(dir(t), "out.tar")
		shared.Must(t, "export", "-o", path, ctr)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out, _, _ := piped(t, nil, "export", ctr)
		if len(out) != len(data) {
			t.Errorf("%d bytes to the pipe, %d to the file", len(out), len(data))
		}
		checkExport(t, data)
		want(t, "beside the file", found(t, filepath.Dir(path)), "out.tar")
	}
	shared.MustFail(t, 125, "is a directory", "export", "-o", os.TempDir(), shared.Name(t)+"-done")
	shared.MustFail(t, 125, "nope", "export", "nope")
}

func checkExport(t *testing.T, data []byte) {
	t.Helper()
	seen := map[string]*tar.Header{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen[h.Name] = h
	}
	if h := seen["own"]; h == nil || h.Uid != 3 || h.Gid != 4 || h.Size != 1 {
		t.Errorf("own: %+v", h)
	}
	if h := seen["second"]; h == nil || h.Typeflag != tar.TypeLink || h.Linkname != "own" {
		t.Errorf("second: %+v", h)
	}
	if seen["vol/"] == nil || seen["vol/in"] != nil || seen["proc/self"] != nil || seen["etc/passwd"] == nil {
		t.Error("what is mounted is in the archive, or what is not is missing")
	}
}

// What export writes to a terminal would spoil it.
func TestExportRefusesTerminal(t *testing.T) {
	t.Parallel()
	ctr := shared.Name(t)
	shared.Must(t, "create", "--name", ctr, testkit.Image, "true")
	for _, args := range [][]string{{"export", ctr}, {"cp", ctr + ":/etc", "-"}} {
		x := onTerminal(t, args...)
		if code := <-x.done; code != 125 {
			t.Errorf("%v: exit %d", args, code)
		}
		testkit.Eventually(t, "it says why", func() bool { return strings.Contains(x.shown(), "that is a terminal") })
	}
}

// flag: mount --all --format --no-trunc --latest
// flag: unmount --all --force --latest
func TestMount(t *testing.T) {
	t.Parallel()
	ctr := shared.Name(t)
	shared.Must(t, "create", "--name", ctr, testkit.Image, "cat", "/written")
	if os.Getuid() != 0 {
		shared.MustFail(t, 1, "wherry unshare", "mount", ctr)
		shared.MustFail(t, 1, "wherry unshare", "unmount", ctr)
		shared.MustFail(t, 1, "wherry unshare", "image", "mount", testkit.Image)
	}
	inUnshare := func(script string) string {
		t.Helper()
		return shared.Must(t, "unshare", "sh", "-c", `w="`+shared.Bin+`"; `+script)
	}
	path := inUnshare("$w mount " + ctr)
	want(t, "listed", inUnshare("$w mount --no-trunc | grep "+path), filepath.Base(path)+" "+path)
	want(t, "json", inUnshare(`$w mount --format json | grep -c '"mountpoint": *"`+path+`"'`), "1")
	want(t, "the image's files", inUnshare("ls "+path+"/etc/passwd"), path+"/etc/passwd")
	inUnshare("echo mounted >" + path + "/written")
	// The container that starts shares the mount: its layer is mounted once.
	shared.Must(t, "start", "-a", ctr)
	want(t, "the container saw", shared.Must(t, "logs", ctr), "mounted")
	want(t, "cp sees", contentIn(t, ctr, "/written"), "mounted\n")
	want(t, "unmounted", inUnshare("$w umount "+ctr+" && ls "+path+" 2>/dev/null; $w umount -f "+ctr), ctr)
	shared.Must(t, "unshare", shared.Bin, "mount", ctr)
	shared.Must(t, "rm", ctr)
	want(t, "after rm", inUnshare("ls "+filepath.Dir(path)+" | grep -c "+filepath.Base(path)+" || true"), "0")
}

func TestMountRunningContainer(t *testing.T) {
	t.Parallel()
	ctr := up(t, trapping, "--network", "none", "-v", "/vol")
	path := shared.Must(t, "unshare", shared.Bin, "mount", ctr)
	shared.Must(t, "exec", ctr, "sh", "-c", "echo x >/made; echo y >/vol/in")
	want(t, "seen", shared.Must(t, "unshare", "cat", path+"/made"), "x")
	want(t, "without its volume", shared.Must(t, "unshare", "ls", path+"/vol"), "")
	shared.Must(t, "unshare", shared.Bin, "unmount", ctr)
	want(t, "goes on", shared.Must(t, "exec", ctr, "cat", "/made"), "x")
}

// flag: image mount --all --format
// flag: image unmount --all --force
func TestImageMount(t *testing.T) {
	t.Parallel()
	name := image(t, []entry{{name: "marked", content: "x", mode: 0o644}})
	path := shared.Must(t, "unshare", shared.Bin, "image", "mount", name)
	want(t, "its file", shared.Must(t, "unshare", "cat", path+"/marked"), "x")
	if r := shared.Try(t, "unshare", "touch", path+"/new"); r.Code == 0 {
		t.Error("the image can be written")
	}
	shared.Must(t, "unshare", shared.Bin, "image", "unmount", name)
	want(t, "unmounted", shared.Must(t, "unshare", "sh", "-c", "ls "+path+" 2>/dev/null; true"), "")
	shared.MustFail(t, 125, "nope", "image", "diff", "nope")
}

// A container that waits for its next start has its root mounted already.
func TestCpWhileRestarting(t *testing.T) {
	t.Parallel()
	host, ctr := tree(t), shared.Name(t)
	shared.Must(t, "run", "-d", "--network", "none", "--restart", "always", "--name", ctr, "-v", "/vol", testkit.Image, "sh", "-c", "cat /vol/f /f >>/seen; exit 1")
	testkit.Eventually(t, "waits", func() bool { return field(t, ctr, "{{.State.Status}} {{.RestartCount}}") >= "restarting 4" })
	shared.Must(t, "cp", host+"/src/f", ctr+":/vol/f")
	shared.Must(t, "cp", host+"/file", ctr+":/f")
	testkit.Eventually(t, "the container sees both", func() bool { return strings.Contains(contentIn(t, ctr, "/seen"), "onefile") })
}
