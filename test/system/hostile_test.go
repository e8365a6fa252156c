package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secret is a directory of the host with one file, which no container may read, write or remove.
func secret(t *testing.T) string {
	t.Helper()
	path := dir(t)
	if err := os.WriteFile(filepath.Join(path, "key"), []byte("host secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		data, err := os.ReadFile(filepath.Join(path, "key"))
		if err != nil || string(data) != "host secret" {
			t.Errorf("the host's file was changed: %q, %v", data, err)
		}
		if names := entries(path); len(names) != 1 {
			t.Errorf("the host's directory now has %v", names)
		}
	})
	return path
}

// An image may have links at every place that wherry itself opens, makes or mounts over. They mean places of the image.
func TestLinksInImageStayInside(t *testing.T) {
	t.Parallel()
	host := secret(t)
	up := strings.Repeat("../", 20) + strings.TrimPrefix(host, "/")
	run := func(t *testing.T, entries []entry, script string, flags ...string) string {
		t.Helper()
		from := image(t, entries)
		args := append([]string{"run", "--rm", "--network", "none"}, flags...)
		r := shared.Try(t, append(args, from, "sh", "-c", script)...)
		if strings.Contains(r.Stdout+r.Stderr, "host secret") {
			t.Errorf("the host's file was read: %s%s", r.Stdout, r.Stderr)
		}
		return r.Out()
	}
	for kind, target := range map[string]string{"absolute": host, "relative": up} {
		t.Run("mount-target-"+kind, func(t *testing.T) {
			t.Parallel()
			source := dir(t)
			run(t, []entry{{name: "m", link: target}}, "cat /m/key; echo x >/m/new", "-v", source+":/m")
			if names := entries(source); len(names) != 1 || names[0] != "new" {
				t.Errorf("the mount is not where the container writes: %v", names)
			}
		})
		t.Run("mount-below-"+kind, func(t *testing.T) {
			t.Parallel()
			run(t, []entry{{name: "m", link: target}}, "cat /m/key", "-v", dir(t)+":/m/sub", "--tmpfs", "/m/tmp", "-v", "/m/anon")
		})
		t.Run("copy-up-"+kind, func(t *testing.T) {
			t.Parallel()
			want(t, "what the volume took over", run(t, []entry{{name: "m", link: target}}, "ls -A /m; echo empty", "-v", "/m"), "empty")
		})
		t.Run("workdir-"+kind, func(t *testing.T) {
			t.Parallel()
			run(t, []entry{{name: "m", link: target}}, "cat key; echo x >new", "-w", "/m")
			run(t, []entry{{name: "m", link: target}}, "cat ../key; echo x >../new", "-w", "/m/made/here")
		})
		t.Run("etc-"+kind, func(t *testing.T) {
			t.Parallel()
			run(t, []entry{{name: "etc/hosts", link: target + "/key"}, {name: "etc/hostname", link: target + "/new"}, {name: "etc/resolv.conf", link: target + "/key"}},
				"cat /etc/hosts; echo x >/etc/hosts; echo x >/etc/hostname; echo x >/etc/resolv.conf")
		})
		t.Run("dev-proc-sys-"+kind, func(t *testing.T) {
			t.Parallel()
			run(t, []entry{{name: "dev", link: target}, {name: "sys", link: target}}, "ls /dev /sys; cat /dev/key; echo x >/dev/new")
			run(t, []entry{{name: "proc", link: target}}, "ls /proc; cat /proc/key; echo x >/proc/new")
		})
		t.Run("init-"+kind, func(t *testing.T) {
			t.Parallel()
			run(t, []entry{{name: "dev/init", link: target + "/key"}}, "true", "--init")
		})
	}
}

// /etc/passwd and /etc/group of the image are read by wherry, as the user.
func TestPasswdOfImageIsNotTheHosts(t *testing.T) {
	t.Parallel()
	host := dir(t)
	os.WriteFile(filepath.Join(host, "passwd"), []byte("hostuser:x:77:77::/:/bin/sh\n"), 0o644)
	os.WriteFile(filepath.Join(host, "group"), []byte("hostgroup:x:78:\n"), 0o644)
	linked := image(t, []entry{{name: "etc/passwd", link: host + "/passwd"}, {name: "etc/group", link: host + "/group"}})
	shared.MustFail(t, 125, `user "hostuser" is not in the image`, "run", "--rm", "-u", "hostuser", linked, "true")
	shared.MustFail(t, 125, `group "hostgroup" is not in the image`, "run", "--rm", "--group-add", "hostgroup", linked, "true")
	want(t, "by number", shared.Must(t, "run", "--rm", "-u", "77:78", linked, "sh", "-c", "id -u; id -g"), "77\n78")
}

func TestOddPasswdOfImage(t *testing.T) {
	t.Parallel()
	t.Run("huge", func(t *testing.T) {
		t.Parallel()
		huge := image(t, []entry{{name: "etc/passwd", content: strings.Repeat("x:x:1:1::/:/bin/sh\n", 100_000)}})
		shared.MustFail(t, 125, "/etc/passwd cannot be read", "run", "--rm", "-u", "x", huge, "true")
	})
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		odd := image(t, []entry{{name: "etc/passwd/", mode: 0o755}})
		shared.MustFail(t, 125, "/etc/passwd cannot be read", "run", "--rm", "-u", "x", odd, "true")
	})
	t.Run("broken", func(t *testing.T) {
		t.Parallel()
		broken := image(t, []entry{{name: "etc/passwd", content: ":::\nx\nroot:x:notanumber\n\x00\nok:x:5:6::/ok:/bin/sh"}})
		want(t, "the good line", shared.Must(t, "run", "--rm", "-u", "ok", broken, "sh", "-c", "id -u; echo $HOME"), "5\n/ok")
	})
}

// A volume's content is the container's to choose: what wherry does with the volume later does not follow it out.
func TestLinksInVolumesStayInside(t *testing.T) {
	t.Parallel()
	host := secret(t)
	vol := volume(t)
	inside(t, "ln -s "+host+" /v/out; mkdir /v/d; ln -s "+host+" /v/d/out", "-v", vol+":/v")
	shared.MustFail(t, 125, "has no", "run", "--rm", "--mount", "type=volume,src="+vol+",dst=/x,volume-subpath=out", "busybox", "cat", "/x/key")
	r := shared.Try(t, runArgs("cat /v/out/key; echo x >/v/out/new", "-v", vol+":/v")...)
	if strings.Contains(r.Stdout, "host secret") {
		t.Error("the host's file was read")
	}
	before := owner(t, host+"/key")
	inside(t, "true", "-u", "1000", "-v", vol+":/v:U")
	want(t, "owner of the host's file after U", owner(t, host+"/key"), before)
	want(t, "owner of the host's directory after U", owner(t, host), before)
	shared.Must(t, "volume", "rm", vol)
}
