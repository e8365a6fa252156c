package libpod

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestOwnLines(t *testing.T) {
	const out = "UID          PID    PPID  C STIME TTY          TIME CMD\nroot           1       0  0 10:00 ?        00:00:01 /sbin/init splash  now\nme            42       1  0 10:00 pts/0    00:00:00 sh -c  'a  b'\n"
	rows, err := ownLines(out, []int{42})
	if err != nil || len(rows) != 2 || len(rows[0]) != 8 || rows[1][7] != "sh -c  'a  b'" || rows[1][1] != "42" {
		t.Errorf("%q %v", rows, err)
	}
	if _, err := ownLines("CMD\nsh\n", []int{1}); err == nil || !strings.Contains(err.Error(), "PID") {
		t.Errorf("%v", err)
	}
}

func TestDescribeOneself(t *testing.T) {
	rows, err := describe([]string{"hpid,args", "state", "%p"}, []int{os.Getpid(), 1 << 30})
	if err != nil || len(rows) != 2 || rows[1][0] != strconv.Itoa(os.Getpid()) || !strings.Contains(rows[1][1], ".test") {
		t.Errorf("%q %v", rows, err)
	}
	var all []string
	for _, f := range topFields() {
		all = append(all, f.name)
	}
	if rows, err := describe(all, []int{os.Getpid()}); err != nil || len(rows[1]) != len(all) {
		t.Errorf("%q %v", rows, err)
	}
	if _, err := describe([]string{"usr"}, nil); err == nil || !strings.Contains(err.Error(), `did you mean "user"`) {
		t.Errorf("%v", err)
	}
}

func FuzzStat(f *testing.F) {
	f.Add("1 (a) b) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 100 1 1")
	f.Fuzz(func(t *testing.T, text string) {
		fields, err := statFields(text)
		if err == nil {
			p := &topProcess{fields: fields, status: map[string]string{}}
			p.tty()
			p.used()
		}
	})
}

func FuzzOwnLines(f *testing.F) {
	f.Add("PID CMD\n1 x y\n")
	f.Fuzz(func(t *testing.T, out string) { ownLines(out, []int{1}) })
}
