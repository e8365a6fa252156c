package rootless_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// propagation runs as root in a mount namespace whose mounts are shared, as on a systemd host: $0 is the binary,
// $1 and $2 the user, $3 the run directory, $4 and $5 two directories of the user.
const propagation = `set -e
mount --make-rshared /
as() { setpriv --reuid "$uid" --regid "$gid" --clear-groups env WHERRY_RUN="$run" HOME=/ "$@"; }
uid=$1 gid=$2 run=$3
as "$0" true
mount -t tmpfs late "$4"; touch "$4/from-host"
as "$0" exec sh -c 'ls "$1"; mount -t tmpfs inner "$2"; touch "$2/from-inside"' sh "$4" "$5"
ls "$5"
as "$0" stop`

// The harness runs the package as root too, for this one (WHERRY_TEST_ROOT).
func TestMountPropagation(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount on the host's side")
	}
	stub, _ := binaries(t)
	w := newWorld(t)
	in, out := filepath.Join(filepath.Dir(w.run), "in"), filepath.Join(filepath.Dir(w.run), "out")
	for _, dir := range []string{in, out} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, w.uid, w.gid); err != nil {
			t.Fatal(err)
		}
	}
	got, err := exec.Command("unshare", "--mount", "--propagation", "private", "bash", "-c", propagation, stub,
		strconv.Itoa(w.uid), strconv.Itoa(w.gid), w.run, in, out).CombinedOutput()
	if err != nil || string(got) != "from-host\n" {
		t.Errorf("want only from-host, which came in; got %q, %v", got, err)
	}
}

// newuidmap without its privilege fails in the kernel; the error must find out why.
func TestNewuidmapWithoutPrivilege(t *testing.T) {
	stub, _ := binaries(t)
	w := newWorld(t)
	bin := filepath.Join(filepath.Dir(w.run), "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"newuidmap", "newgidmap"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skip(err)
		}
		if err := os.WriteFile(filepath.Join(bin, name), readFile(path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := w.command(stub, "id")
	cmd.Env = append(cmd.Env, "PATH="+bin+":"+os.Getenv("PATH"))
	if got := w.fails(cmd); !strings.Contains(got, bin+"/newuidmap is neither setuid root nor has file capabilities") {
		t.Errorf("got %q", got)
	}
	if left := w.processesNamed("wherry-pause", ""); len(left) > 0 {
		for _, pid := range left {
			if exe, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe"); strings.HasPrefix(exe, stub) {
				t.Errorf("pause process %d was left behind", pid)
			}
		}
	}
}

// A systemd unit with NoNewPrivileges=yes, and many sandboxes.
func TestNoNewPrivs(t *testing.T) {
	stub, _ := binaries(t)
	w := newWorld(t)
	if got := w.fails(w.command("setpriv", "--no-new-privs", stub, "id")); !strings.Contains(got, "NoNewPrivileges=no") {
		t.Errorf("got %q", got)
	}
}

func TestNoNewuidmap(t *testing.T) {
	stub, _ := binaries(t)
	w := newWorld(t)
	cmd := w.command(stub, "id")
	cmd.Env = append(cmd.Env, "PATH=/nonexistent")
	if got := w.fails(cmd); !strings.Contains(got, "newuidmap is not installed (sudo apt install uidmap") {
		t.Errorf("got %q", got)
	}
}

// nested is a shell command in a user namespace of its own with the user's id and all capabilities there.
func (w *world) nested(script, binary string) *exec.Cmd {
	id, group := strconv.Itoa(w.uid), strconv.Itoa(w.gid)
	return w.command("unshare", "--user", "--mount", "--keep-caps", "--map-user="+id, "--map-group="+group, "sh", "-c", script, binary)
}

func TestNoSubids(t *testing.T) {
	stub, _ := binaries(t)
	w := newWorld(t)
	w.needNested()
	got := w.fails(w.nested(`mount --bind /dev/null /etc/subuid && exec "$0" id`, stub))
	if !strings.Contains(got, "no subordinate ids for user ") || !strings.Contains(got, "in /etc/subuid (sudo usermod --add-subuids ") || strings.Contains(got, "add-subgids") {
		t.Errorf("got %q", got)
	}
	if got = w.fails(w.nested(`mount --bind /dev/null /etc/subuid && mount --bind /dev/null /etc/subgid && exec "$0" id`, stub)); !strings.Contains(got, "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ") {
		t.Errorf("got %q", got)
	}
}

func TestUserNamespacesDisabled(t *testing.T) {
	stub, _ := binaries(t)
	w := newWorld(t)
	w.needNested()
	got := w.fails(w.nested(`echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" id`, stub))
	if !strings.Contains(got, "sudo sysctl -w user.max_user_namespaces=15000") {
		t.Errorf("got %q", got)
	}
}

func (w *world) needNested() {
	w.t.Helper()
	if out, err := w.nested("mount --bind /dev/null /etc/subuid", "sh").CombinedOutput(); err != nil {
		w.t.Skipf("unshare(1) cannot make a nested namespace here: %s", out)
	}
}

// A sandbox that forbids setns: strace(1) plays it. Before Linux 5.8 the pidfd is no way in, but the files are.
func TestSetnsAnswers(t *testing.T) {
	stub, _ := binaries(t)
	w := newWorld(t)
	w.show(w.command(stub, "id"))
	traced := func(inject string) *exec.Cmd {
		return w.command("strace", "-f", "-o", "/dev/null", "-e", "inject="+inject, stub, "id")
	}
	if err := w.command("strace", "-o", "/dev/null", "true").Run(); err != nil {
		t.Skipf("strace does not work here: %v", err)
	}
	if got := w.fails(traced("setns:error=EPERM")); !strings.Contains(got, "cannot join wherry's user namespace") || !strings.Contains(got, "setns: operation not permitted (") {
		t.Errorf("got %q", got)
	}
	for inject, joined := range map[string]bool{
		"pidfd_open:error=ENOSYS":   true,
		"setns:error=EINVAL:when=1": true,
		"statx:error=ENOSYS":        false, // Linux before 4.11: nsenter
	} {
		got := w.show(traced(inject))
		checkInside(t, w, got)
		if got.Joined != joined {
			t.Errorf("%s: joined by the stub: %v", inject, got.Joined)
		}
	}
}
