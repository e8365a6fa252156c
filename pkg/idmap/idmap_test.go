package idmap

import (
	"fmt"
	"strings"
	"testing"
)

// own is the namespace of user 1000 with 65536 subordinate ids in two ranges.
var own = []Map{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 60000}, {ContainerID: 60001, HostID: 300000, Size: 5536}}

func text(m []Map) string {
	var lines []string
	for _, e := range m {
		lines = append(lines, fmt.Sprintf("%d:%d:%d", e.ContainerID, e.HostID, e.Size))
	}
	return strings.Join(lines, " ")
}

func TestResolve(t *testing.T) {
	for _, c := range []struct{ entries, want string }{
		{"", "0:0:65537"},
		{"0:1:1000", "0:1:1000"},
		{"0:0 1:1:10", "0:0:11"},
		{"5:7", "5:7:1"},
		{"0:@1000", "0:0:1"},
		{"0:@100000:10", "0:1:10"},
		{"0:@159999", "0:60000:1"},
		{"0:@300000:2", "0:60001:2"},
		{"0:0:65000 +100000:1:1", "0:0:1 2:2:64998 100000:1:1"},
		{"+100000:@100001:1", "0:0:2 3:3:65534 100000:2:1"},
		{"0:0:10 +3:100:1", "0:0:3 3:100:1 4:4:6"},
		{"0:0:10 1000:1:1", "error twice"},
		{"0:0:10 5:100:1", "error twice"},
		{"0:60000:10000", "error not among those you have, 0 to 65536"},
		{"0:@2000", "error ids 2000 of the machine are not all yours"},
		{"0:@159999:2", "error not all yours"},
		{"0", "error CONTAINER:HOST:SIZE"}, {"0:1:0", "error no such"}, {"a:1:1", `error "a"`}, {"0:1:4294967296", "error not an id"},
		{"1:1:1:1", "error CONTAINER"}, {"4294967295:1:1", "error no such"}, {"+:1", `error ""`},
	} {
		entries, err := ParseAll(strings.Fields(c.entries))
		var m []Map
		if err == nil {
			m, err = Resolve(entries, own)
		}
		want, fails := strings.CutPrefix(c.want, "error ")
		switch {
		case fails && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: error %v, want one with %q", c.entries, err, want)
		case !fails && (err != nil || text(m) != want):
			t.Errorf("%q: %q (%v), want %q", c.entries, text(m), err, want)
		}
	}
	if m, err := Resolve([]Entry{{Outside: 70000, Size: 5}}, nil); err != nil || text(m) != "0:70000:5" {
		t.Errorf("as root: %q, %v", text(m), err)
	}
}

func TestBoth(t *testing.T) {
	for _, c := range []struct{ uids, gids, u, g string }{
		{"0:1:10", "", "0:1:10", "0:1:10"},
		{"", "0:1:10", "0:1:10", "0:1:10"},
		{"0:1:10", "0:2:10", "0:1:10", "0:2:10"},
		{"", "+g102000:5000:1", "0:0:65537", "0:0:5000 5001:5001:60536 102000:5000:1"},
		{"u0:1:5 7:7:1", "", "0:1:5 7:7:1", "7:7:1"},
	} {
		uids, _ := ParseAll(strings.Fields(c.uids))
		gids, _ := ParseAll(strings.Fields(c.gids))
		u, g := Both(uids, gids)
		um, err1 := Resolve(u, own)
		gm, err2 := Resolve(g, own)
		if text(um) != c.u || text(gm) != c.g || err1 != nil || err2 != nil {
			t.Errorf("%q %q: %q (%v) and %q (%v)", c.uids, c.gids, text(um), err1, text(gm), err2)
		}
	}
}

func TestKeep(t *testing.T) {
	for _, c := range []struct {
		id, n uint32
		want  string
	}{{0, 10, "0:0:1 1:1:9"}, {3, 10, "0:1:3 3:0:1 4:4:6"}, {1000, 10, "0:1:9 1000:0:1"}, {5, 1, "5:0:1"}} {
		if got := text(Keep(c.id, c.n)); got != c.want {
			t.Errorf("Keep(%d, %d) = %q, want %q", c.id, c.n, got, c.want)
		}
	}
}

func TestSplit(t *testing.T) {
	if got := text(Split(Identity(own), own)); got != "0:0:1 1:1:60000 60001:60001:5536" {
		t.Errorf("identity: %q", got)
	}
	if got := text(Split(Keep(1000, 65537), own)); got != "0:1:1000 1000:0:1 1001:1001:59000 60001:60001:5536" {
		t.Errorf("keep: %q", got)
	}
	if got := text(Split(Identity(nil), nil)); got != "0:0:4294967295" {
		t.Errorf("root: %q", got)
	}
}

func TestFree(t *testing.T) {
	have := []Range{{1, 1000}, {5000, 3000}}
	for _, c := range []struct {
		taken []Range
		size  uint32
		start uint32
		ok    bool
	}{
		{nil, 1000, 1, true}, {nil, 1001, 5000, true}, {nil, 3001, 0, false},
		{[]Range{{1, 100}}, 100, 101, true},
		{[]Range{{500, 100}, {1, 100}, {90, 20}}, 390, 110, true},
		{[]Range{{500, 100}, {1, 100}, {90, 20}}, 400, 600, true},
		{[]Range{{0, 10000}}, 1, 0, false},
		{[]Range{{5000, 1}, {5002, 1}}, 1500, 5003, true},
	} {
		start, ok := Free(have, c.taken, c.size)
		if ok != c.ok || ok && start != c.start {
			t.Errorf("Free(%v, %d) = %d, %v; want %d, %v", c.taken, c.size, start, ok, c.start, c.ok)
		}
	}
	if got := Common([]Range{{0, 10}, {20, 10}}, []Range{{5, 20}}); fmt.Sprint(got) != "[{5 5} {20 5}]" {
		t.Errorf("Common: %v", got)
	}
	if got := Minus([]Range{{0, 10}}, 0); fmt.Sprint(got) != "[{1 9}]" {
		t.Errorf("Minus: %v", got)
	}
}

func TestAuto(t *testing.T) {
	a, err := ParseAuto("size=100,uidmapping=7:0:1,gidmapping=9:0:1")
	if err != nil {
		t.Fatal(err)
	}
	m, err := a.Map(1000, a.Size, own, a.UIDs)
	if err != nil || text(m) != "0:1000:7 7:0:1 8:1008:92" {
		t.Errorf("%q, %v", text(m), err)
	}
	for _, bad := range []string{"size=0", "size=x", "size=", "uidmapping=1", "uid=1", "size"} {
		if _, err := ParseAuto(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestParseMount(t *testing.T) {
	m, err := ParseMount("uids=0-1000-1#1-2000-10;gids=@0-5-3")
	if err != nil || text(m.UIDs) != "0:1000:1 1:2000:10" || text(m.GIDs) != "0:5:3" || m.UIDsRelative || !m.GIDsRelative {
		t.Errorf("%+v, %v", m, err)
	}
	lines, err := Through([]Map{{ContainerID: 7, HostID: 2, Size: 4}}, []Map{{HostID: 100, Size: 3}, {ContainerID: 3, HostID: 500, Size: 10}})
	if err != nil || text(lines) != "7:102:1 8:500:3" {
		t.Errorf("%q, %v", text(lines), err)
	}
	if _, err := Through([]Map{{HostID: 12, Size: 4}}, []Map{{HostID: 1, Size: 13}}); err == nil {
		t.Error("ids that the container has not were taken")
	}
	for _, bad := range []string{"x", "uids=0-1-1", "uids=0-1;gids=0-1-1", "uids=0-1-0;gids=0-1-1", "uids=a-1-1;gids=0-1-1", "uids=0-1-1;gids=0-1-1;x=0-1-1"} {
		if _, err := ParseMount(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// FuzzParseMount never panics.
func FuzzParseMount(f *testing.F) {
	f.Add("uids=0-1000-1#1-2000-10;gids=@0-5-3")
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := ParseMount(s); err == nil {
			Through(m.UIDs, own)
		}
	})
}

// FuzzResolve: whatever the entries, a mapping that is accepted is one the kernel takes.
func FuzzResolve(f *testing.F) {
	for _, s := range []string{"0:0:65000 +100000:1:1", "+g102000:@2000", "0:@1000 1:1:5", "u0:1:5 7:7:1", "4294967294:1:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		entries, err := ParseAll(strings.Fields(s))
		if err != nil {
			return
		}
		u, g := Both(entries, nil)
		for _, e := range [][]Entry{u, g} {
			m, err := Resolve(e, own)
			if err != nil {
				continue
			}
			for i, x := range m {
				if x.Size == 0 || uint64(x.ContainerID)+uint64(x.Size) > 1<<32-1 || uint64(x.HostID)+uint64(x.Size) > 65537 {
					t.Fatalf("%q: line %v", s, x)
				}
				for _, y := range m[:i] {
					if overlaps(x.ContainerID, x.Size, y.ContainerID, y.Size) || overlaps(x.HostID, x.Size, y.HostID, y.Size) {
						t.Fatalf("%q: %v and %v overlap", s, x, y)
					}
				}
			}
		}
	})
}

// FuzzParseAuto never panics.
func FuzzParseAuto(f *testing.F) {
	f.Add("size=100,uidmapping=7:0:1")
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := ParseAuto(s); err == nil {
			a.Map(1, max(a.Size, 1), own, a.UIDs)
		}
	})
}
