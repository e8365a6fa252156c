package system

import (
	"archive/tar"
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// Links of a container lead nowhere else than to its own files, whichever side of cp they are on (CVE-2018-15664's kin).
func TestCpLinksStayInside(t *testing.T) {
	t.Parallel()
	host, mine := secret(t), tree(t)
	up20 := strings.Repeat("../", 20) + strings.TrimPrefix(host, "/")
	for kind, target := range map[string]string{"absolute": host, "relative": up20, "proc-root": "/proc/self/root" + host, "proc-1": "/proc/1/root" + host, "proc-cwd": "/proc/self/cwd/../.." + host} {
		for _, running := range []bool{true, false} {
			name := kind + map[bool]string{true: "-running", false: "-stopped"}[running]
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ctr := shared.Name(t)
				script := "ln -s " + target + " /l; ln -s " + target + "/key /k; mkdir /d; ln -s " + target + " /d/l; echo ready"
				if running {
					script += "; sleep 1000"
				}
				shared.Must(t, "run", "-d", "--network", "none", "--name", ctr, testkit.Image, "sh", "-c", script)
				testkit.Eventually(t, "ready", func() bool { return strings.Contains(shared.Must(t, "logs", ctr), "ready") })
				if !running {
					shared.Must(t, "wait", ctr)
				}
				tryThroughLinks(t, ctr, mine)
			})
		}
	}
}

// tryThroughLinks copies from and to each of the container's links.
func tryThroughLinks(t *testing.T, ctr, mine string) {
	t.Helper()
	out := dir(t)
	for _, from := range []string{"/l/key", "/l/.", "/k", "/d/l/key", "/d"} {
		for _, follow := range []string{"--follow-link=false", "--follow-link"} {
			if r := shared.Try(t, "cp", follow, ctr+":"+from, "-"); strings.Contains(r.Stdout, "host secret") {
				t.Errorf("cp %s %s read the host's file", follow, from)
			}
			shared.Try(t, "cp", follow, ctr+":"+from, out)
		}
	}
	if data, _ := os.ReadFile(out + "/key"); len(data) > 0 {
		t.Error("the host's file was copied")
	}
	for _, to := range []string{"/l/key", "/l", "/l/new", "/k", "/d/l/key"} {
		shared.Try(t, "cp", mine+"/file", ctr+":"+to)
		shared.Try(t, "cp", mine+"/src/.", ctr+":"+to)
	}
}

// A container that changes a directory into a link all the time while cp works on it (CVE-2018-15664) wins nothing.
func TestCpRaceWithLink(t *testing.T) {
	t.Parallel()
	host, mine := secret(t), tree(t)
	ctr := up(t, "mkdir /a; ln -s "+host+" /b; echo -n own >/a/key; echo ready; while :; do mv /a /c; mv -T /b /a; mv -T /a /b; mv /c /a; done", "--network", "none")
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
		if r := shared.Try(t, "cp", ctr+":/a/key", "-"); strings.Contains(r.Stdout, "host secret") {
			t.Fatal("the host's file was read")
		}
		shared.Try(t, "cp", mine+"/file", ctr+":/a/key")
		shared.Try(t, "cp", mine+"/file", ctr+":/a/new")
	}
}

// No program and no library of the container is used to copy from it (CVE-2019-14271 loaded its libnss).
func TestCpRunsNothingOfTheContainer(t *testing.T) {
	t.Parallel()
	host := secret(t)
	script := "#!/bin/sh\necho evil >" + host + "/evil\n"
	from := image(t, []entry{
		{name: "bin/tar", content: script, mode: 0o755}, {name: "bin/sh", content: script, mode: 0o755},
		{name: "lib/x86_64-linux-gnu/libnss_files.so.2", content: script, mode: 0o755}, {name: "etc/nsswitch.conf", content: "passwd: files evil\n", mode: 0o644},
		{name: "data", content: "fine", mode: 0o644},
	})
	ctr := shared.Name(t)
	shared.Must(t, "create", "--name", ctr, "-u", "nobody-known:x", from, "true")
	want(t, "read", contentIn(t, ctr, "/data"), "fine")
	shared.MustFail(t, 125, "nobody-known", "cp", tree(t)+"/file", ctr+":/x")
}

// Tar streams that want out.
func TestCpHostileStreams(t *testing.T) {
	t.Parallel()
	host := secret(t)
	ctr := up(t, "mkdir /into; ln -s "+host+" /into/l; echo ready; sleep 1000", "--network", "none")
	for name, c := range map[string]struct {
		headers []tar.Header
		code    int
		says    string
	}{
		"parent":     {[]tar.Header{{Name: "../../outside", Size: 1}}, 125, "leads out"},
		"link there": {[]tar.Header{{Name: "l/key", Size: 1}}, 125, "l/key"},
		"link made":  {[]tar.Header{{Name: "m", Typeflag: tar.TypeSymlink, Linkname: host}, {Name: "m/key", Size: 1}}, 125, "m/key"},
		"hard link":  {[]tar.Header{{Name: "h", Typeflag: tar.TypeLink, Linkname: "../etc/passwd"}}, 125, "leads out"},
		"absolute":   {[]tar.Header{{Name: host + "/key", Size: 1}}, 0, ""},
		"device":     {[]tar.Header{{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}, 0, ""},
		"huge":       {[]tar.Header{{Name: "huge", Size: 1 << 60}}, 125, "no space"},
		"cut off":    {[]tar.Header{{Name: "short", Size: 1 << 20}}, 125, "short"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			for _, h := range c.headers {
				if h.Typeflag == 0 {
					h.Typeflag = tar.TypeReg
				}
				h.Mode = 0o666
				w.WriteHeader(&h)
				w.Write(bytes.Repeat([]byte("!"), int(min(h.Size, 1))))
			}
			w.Close()
			_, errs, code := piped(t, &b, "cp", "-", ctr+":/into")
			if code != c.code || !strings.Contains(errs, c.says) {
				t.Errorf("exit %d, want %d: %s", code, c.code, errs)
			}
		})
	}
	left := shared.Must(t, "exec", ctr, "sh", "-c", "cd /into; ls | grep -E 'short|huge|wherry'; test -c null && echo device; test -e /outside && echo outside; true")
	want(t, "left behind", left, "")
}
