package system

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// owner is uid:gid of a file as the host has it.
func owner(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Error(err)
		return ""
	}
	st := info.Sys().(*syscall.Stat_t)
	return strconv.Itoa(int(st.Uid)) + ":" + strconv.Itoa(int(st.Gid))
}

// subordinate is the host's uid:gid for the nth subordinate id of the caller, counted from 1.
func subordinate(t *testing.T, n int) string {
	t.Helper()
	var ids []string
	for _, kind := range []string{"uid", "gid"} {
		first := -1
		for _, line := range strings.Split(shared.Must(t, "unshare", "cat", "/proc/self/"+kind+"_map"), "\n") {
			f := strings.Fields(line)
			inside, _ := strconv.Atoi(f[0])
			outside, _ := strconv.Atoi(f[1])
			size, _ := strconv.Atoi(f[2])
			if n >= inside && n < inside+size {
				first = outside + n - inside
			}
		}
		ids = append(ids, strconv.Itoa(first))
	}
	return strings.Join(ids, ":")
}

// Who owns what, on both sides: a file that the caller owns, one that the container makes on a bind mount, and one of
// the image.
//
// flag: run --userns --user
func TestUserNamespaces(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root has no user namespace")
	}
	t.Parallel()
	me := strconv.Itoa(os.Getuid()) + ":" + strconv.Itoa(os.Getgid())
	uid := strconv.Itoa(os.Getuid())
	for name, c := range map[string]struct {
		flags                       []string
		process, mine, imageInside  string // ids inside
		madeOutside, imageOutside   string // ids on the host
		home                        string
		cannotWrite, ownerOfProcess bool
	}{
		"default":      {nil, "0:0", "0:0", "0:0", me, me, "/root", false, true},
		"host":         {[]string{"--userns", "host"}, "0:0", "0:0", "0:0", me, me, "/root", false, true},
		"user":         {[]string{"--user", "1000:1000"}, "1000:1000", "0:0", "0:0", subordinate(t, 1000), me, "/home/user", false, false},
		"keep-id":      {[]string{"--userns", "keep-id"}, me, me, "0:0", me, subordinate(t, 1), "/", false, true},
		"keep-id-root": {[]string{"--userns", "keep-id", "--user", "0"}, "0:0", me, "0:0", subordinate(t, 1), subordinate(t, 1), "/root", false, false},
		"keep-id-at":   {[]string{"--userns", "keep-id:uid=1000,gid=1000"}, "1000:1000", "1000:1000", "0:0", me, subordinate(t, 1), "/home/user", false, true},
		"nomap":        {[]string{"--userns", "nomap"}, "0:0", "65534:65534", "0:0", subordinate(t, 1), subordinate(t, 1), "/root", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shares := dir(t)
			os.Chmod(shares, 0o777)
			os.WriteFile(filepath.Join(shares, "mine"), nil, 0o644)
			ctr := shared.Name(t)
			args := append([]string{"run", "-d", "--network", "none", "--name", ctr, "-v", shares + ":/s"}, c.flags...)
			shared.Must(t, append(args, testkit.Image, "sh", "-c", "touch /s/made; sleep 1000")...)
			testkit.Eventually(t, "the file made", func() bool { _, err := os.Lstat(shares + "/made"); return err == nil })
			look := func(script string) string { return shared.Must(t, "exec", ctr, "sh", "-c", script) }
			want(t, "process", look("echo $(id -u):$(id -g)"), c.process)
			want(t, "home", look("echo $HOME"), c.home)
			want(t, "the caller's file inside", look("stat -c %u:%g /s/mine"), c.mine)
			want(t, "the container's file inside", look("stat -c %u:%g /s/made"), c.process)
			want(t, "the container's file outside", owner(t, shares+"/made"), c.madeOutside)
			want(t, "the image's file inside", look("stat -c %u:%g /bin/busybox"), c.imageInside)
			pid := inspected(t, ctr, "{{.State.Pid}}")
			want(t, "the image's file outside", owner(t, "/proc/"+pid+"/root/bin/busybox"), c.imageOutside)
			status, _ := os.ReadFile("/proc/" + pid + "/status")
			if mine := strings.Contains(string(status), "\nUid:\t"+uid+"\t"); mine != c.ownerOfProcess {
				t.Errorf("the process runs as the caller: %v, want %v", mine, c.ownerOfProcess)
			}
		})
	}
}

// -v ...:U gives the source to the container's user.
func TestChownOfMount(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root has no user namespace")
	}
	t.Parallel()
	shares := dir(t)
	os.WriteFile(filepath.Join(shares, "f"), nil, 0o600)
	want(t, "inside", inside(t, "stat -c %u:%g /s /s/f", "--user", "1000:29", "-v", shares+":/s:U"), "1000:29\n1000:29")
	want(t, "outside", strings.Split(owner(t, shares+"/f"), ":")[0], strings.Split(subordinate(t, 1000), ":")[0])
}

// An image whose user is given by name, and users that are not there.
func TestUsersOfImages(t *testing.T) {
	t.Parallel()
	named := image(t, nil, "USER daemon:audio", "WORKDIR /var/log", "ENV A=image")
	want(t, "the image's user", shared.Must(t, "run", "--rm", named, "sh", "-c", "id -un; id -gn; pwd; echo $A"), "daemon\naudio\n/var/log\nimage")
	want(t, "exec as another", shared.Must(t, "run", "--rm", "-u", "0", "-e", "A=flag", named, "sh", "-c", "id -u; echo $A"), "0\nflag")
	shared.MustFail(t, 125, `user "ghost" is not in the image's /etc/passwd`, "run", "--rm", "-u", "ghost", testkit.Image, "true")
	shared.MustFail(t, 125, `group "ghost" is not in the image's /etc/group`, "run", "--rm", "-u", "0:ghost", testkit.Image, "true")
	shared.MustFail(t, 125, `group "ghost" is not in the image's /etc/group`, "run", "--rm", "--group-add", "ghost", testkit.Image, "true")
	shared.MustFail(t, 125, "out of range", "run", "--rm", "-u", "99999999999", testkit.Image, "true")
	if os.Getuid() != 0 {
		shared.MustFail(t, 125, "user id 2000000000 is not in this user namespace", "run", "--rm", "-u", "2000000000", testkit.Image, "true")
	}
}
