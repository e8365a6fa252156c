package rootless

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func good() probe {
	ids := []Range{{100000, 65536}}
	uidmap, gidmap := tool{"/usr/bin/newuidmap", true, false}, tool{"/usr/bin/newgidmap", true, false}
	return probe{
		User: "ann", UID: 1000, Exe: "/usr/local/bin/wherry", SubUIDs: ids, SubGIDs: ids,
		Taken: []subidEntry{{"ann", ids[0]}}, NewUIDMap: uidmap, NewGIDMap: gidmap, UserNamespaces: true,
		MaxUserNS: 15000, MaxMountNS: 15000, UnprivUserNS: unknown, AppArmor: unknown,
	}
}

// Each obstacle is one error that names its fix.
func TestDiagnosis(t *testing.T) {
	boom := errors.New("boom")
	missing := func(p probe) error { return p.missing() }
	clone := func(err error) func(probe) error { return func(p probe) error { return diagnoseClone(p, err) } }
	mapping := func(p probe) error { return diagnoseMapping(p, boom) }
	for _, c := range []struct {
		name   string
		change func(*probe)
		ask    func(probe) error
		want   string // part of the text
	}{
		{"nothing missing", func(*probe) {}, missing, ""},
		{"no newuidmap", func(p *probe) { p.NewUIDMap.Path = "" }, missing, "newuidmap is not installed (sudo apt install uidmap"},
		{"no newgidmap", func(p *probe) { p.NewGIDMap.Path = "" }, missing, "newgidmap is not installed (sudo apt install uidmap"},
		{"no ids", func(p *probe) { p.SubUIDs, p.SubGIDs = nil, nil }, missing,
			"for user ann in /etc/subuid and /etc/subgid (sudo usermod --add-subuids 165536-231071 --add-subgids 165536-231071 ann,"},
		{"no group ids", func(p *probe) { p.SubGIDs = nil }, missing, "in /etc/subgid (sudo usermod --add-subgids 165536-231071 ann,"},
		{"no kernel support", func(p *probe) { p.UserNamespaces = false }, clone(syscall.EINVAL), "CONFIG_USER_NS=y"},
		{"disabled by Debian's setting", func(p *probe) { p.UnprivUserNS = 0 }, clone(syscall.EPERM), "sudo sysctl -w kernel.unprivileged_userns_clone=1"},
		{"no user namespaces allowed", func(p *probe) { p.MaxUserNS = 0 }, clone(syscall.ENOSPC), "sudo sysctl -w user.max_user_namespaces=15000"},
		{"no mount namespaces allowed", func(p *probe) { p.MaxMountNS = 0 }, clone(syscall.ENOSPC), "sudo sysctl -w user.max_mnt_namespaces=15000"},
		{"limit reached", func(p *probe) { p.MaxUserNS = 10000 }, clone(syscall.ENOSPC), "user.max_user_namespaces=20000"},
		{"AppArmor at the start", func(p *probe) { p.AppArmor = 1 }, clone(syscall.EACCES), "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for /usr/local/bin/wherry"},
		{"AppArmor at the mapping", func(p *probe) { p.AppArmor = 1 }, mapping, "kernel.apparmor_restrict_unprivileged_userns=0"},
		{"emulator", func(*probe) {}, clone(syscall.EINVAL), "run a wherry built for this machine once"},
		{"sandbox", func(*probe) {}, clone(syscall.EPERM), "seccomp profile"},
		{"newuidmap not setuid", func(p *probe) { p.NewUIDMap.Privileged = false }, mapping, "/usr/bin/newuidmap is neither setuid root nor has file capabilities (sudo apt install --reinstall uidmap"},
		{"newgidmap not setuid", func(p *probe) { p.NewGIDMap.Privileged = false }, mapping, "sudo chmod u+s /usr/bin/newgidmap"},
		{"nosuid", func(p *probe) { p.NewUIDMap.NoSuid = true }, mapping, "mounted nosuid"},
		{"no_new_privs", func(p *probe) { p.NoNewPrivs = true }, mapping, "NoNewPrivileges=no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := good()
			c.change(&p)
			err := c.ask(p)
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if !errors.Is(err, errdefs.ErrUnsupported) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := diagnoseMapping(good(), boom); !errors.Is(err, boom) || !strings.Contains(err.Error(), "check the lines of ann in /etc/subuid") {
		t.Errorf("unexplained: %v", err)
	}
	if err := diagnoseClone(good(), boom); !errors.Is(err, boom) {
		t.Errorf("unexplained: %v", err)
	}
	if got := good().problems(false); len(got) != 0 {
		t.Errorf("problems of a good machine: %v", got)
	}
	bad := good()
	bad.SubUIDs, bad.NewGIDMap.Privileged, bad.MaxUserNS = nil, false, 0
	if got := bad.problems(false); len(got) != 3 {
		t.Errorf("problems: %v", got)
	}
}

const subids = "# comment\nann:100000:65536\n\nbroken\nbob:x:1\n1000:300000:10\nbob:165536:65536\n:1:1\nann:-5:10\nann:5:0\nann:4294967295:2\n"

func TestSubids(t *testing.T) {
	entries := parseSubids(strings.NewReader(subids))
	if got, want := rangesOf(entries, "ann", 1000), []Range{{100000, 65536}, {300000, 10}}; !reflect.DeepEqual(got, want) {
		t.Errorf("ann: %v", got)
	}
	if got := rangesOf(entries, "", 7); got != nil {
		t.Errorf("nobody: %v", got)
	}
	if got := freeRange(entries); got != (Range{231072, 65536}) {
		t.Errorf("free: %v", got)
	}
	if got := freeRange(nil); got != (Range{100000, 65536}) {
		t.Errorf("free of nothing: %v", got)
	}
	want := "[42 0 1000 1 1 100000 65536 65537 300000 10]"
	if got := fmt.Sprint(mapArgs(42, 1000, rangesOf(entries, "ann", 1000))); got != want {
		t.Errorf("arguments %v", got)
	}
}

func FuzzSubids(f *testing.F) {
	f.Add(subids)
	f.Fuzz(func(t *testing.T, in string) {
		entries := parseSubids(strings.NewReader(in))
		free := freeRange(entries)
		for _, e := range entries {
			if e.Length <= 0 || e.Start < 0 || e.Start < free.Start+free.Length && free.Start < e.Start+e.Length {
				t.Errorf("%+v, free %+v", e, free)
			}
		}
	})
}

func TestPauseFile(t *testing.T) {
	want := pause{12, 345, 4026532345, 4026532346}
	if got, err := parsePause(want.String()); err != nil || got != want {
		t.Errorf("round trip: %+v, %v", got, err)
	}
	for _, in := range []string{"", "\n", "1 2 3 4\n", "12 345 6", "12 345 6 7 8", "12 a 6 7", "-12 3 4 5", "12  3 4", "99999999999 1 2 3"} {
		if got, err := parsePause(in); !errors.Is(err, errdefs.ErrBroken) {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
}

func FuzzPauseFile(f *testing.F) {
	f.Add("12 345 6 7\n")
	f.Fuzz(func(t *testing.T, in string) {
		p, err := parsePause(in)
		if err != nil {
			return
		}
		if again, err := parsePause(p.String()); err != nil || again != p {
			t.Errorf("%q: %+v, then %+v, %v", in, p, again, err)
		}
	})
}

func TestAlive(t *testing.T) {
	me, err := describe(os.Getpid())
	if err != nil || !me.alive() {
		t.Fatalf("%+v, %v", me, err)
	}
	for _, change := range []func(*pause){
		func(p *pause) { p.Start++ }, func(p *pause) { p.User++ }, func(p *pause) { p.Mnt++ }, func(p *pause) { p.PID = 1 << 30 },
	} {
		other := me
		change(&other)
		if other.alive() {
			t.Errorf("%+v passes for %+v", other, me)
		}
	}
}

func TestParseMap(t *testing.T) {
	got := parseMap([]byte("         0       1000          1\n         1     100000      65536\nbroken\n"))
	want := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65536}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestEnterAsRootDoesNothing(t *testing.T) {
	if os.Geteuid() != 0 || Inside() {
		t.Skip("needs real root")
	}
	if err := Enter(EnterOptions{}); err != nil || Report().Rootless {
		t.Errorf("got %v, %+v", err, Report())
	}
}
