package join

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func put(s string) uintptr { return uintptr(copy(text[:], s)) }

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in   string
		want record
		ok   bool
	}{
		{"12 345 4026532345 4026532346\n", record{12, 345, 4026532345, 4026532346}, true},
		{"12 345 6 7", record{12, 345, 6, 7}, true},
		{"", record{}, false},
		{"12 345 6", record{}, false},
		{"1 345 6 7\n", record{}, false},
		{"-12 345 6 7\n", record{}, false},
		{"12  345 6 7\n", record{}, false},
		{"99999999999999999999 1 2 3\n", record{}, false},
		{strings.Repeat("1", 600), record{}, false},
	} {
		var got record
		if ok := parse(put(c.in), &got); ok != c.ok || ok && got != c.want {
			t.Errorf("%q: %v %+v", c.in, ok, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("12 345 6 7\n")
	f.Fuzz(func(t *testing.T, in string) {
		var got record
		if parse(put(in), &got) && got.pid <= 1 {
			t.Errorf("%q gives %+v", in, got)
		}
		startTime(put(in))
	})
}

func TestStartTime(t *testing.T) {
	fields := " S 1 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 987654 1 2"
	for in, want := range map[string]uint64{
		"7 (sh)" + fields:           987654,
		"7 (a) b) (1 2 3)" + fields: 987654,
		"7 (sh) S 1 1":              0,
		"":                          0,
	} {
		if got := startTime(put(in)); got != want {
			t.Errorf("%q: %d", in, got)
		}
	}
}

func TestBuffer(t *testing.T) {
	for _, v := range []uint64{0, 1, 10, 4321, 1000, 4294967294, 9999999999} {
		path.reset()
		path.decimal(v)
		if got := string(path.b[:path.n]); got != fmt.Sprint(v) {
			t.Errorf("decimal(%d) = %q", v, got)
		}
	}
	path.reset()
	path.add(strings.Repeat("x", 5000))
	if !path.full || path.b[len(path.b)-1] != 0 {
		t.Error("an overlong path is not marked, or not terminated")
	}
}

func TestIsAlive(t *testing.T) {
	pid := uint64(os.Getpid())
	me := record{pid: pid, start: ownStart(t), user: inode(t, "user"), mnt: inode(t, "mnt")}
	for name, change := range map[string]func(*record){
		"same":            func(*record) {},
		"other start":     func(r *record) { r.start++ },
		"other namespace": func(r *record) { r.user++ },
		"other mounts":    func(r *record) { r.mnt++ },
		"no such process": func(r *record) { r.pid = 1 << 30 },
	} {
		want := me
		change(&want)
		if got := isAlive(&want); got != (name == "same") {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func ownStart(t *testing.T) uint64 {
	t.Helper()
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	return startTime(put(string(stat)))
}

func inode(t *testing.T, kind string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/"+kind, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}
