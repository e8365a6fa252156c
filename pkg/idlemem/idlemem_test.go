package idlemem

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestReadOnly(t *testing.T) {
	t.Parallel()
	const maps = `00400000-01a2b000 r-xp 00000000 08:01 1234 /usr/bin/a b
01a2b000-01b00000 r--p 0162b000 08:01 1234 /usr/bin/a b
01b00000-01b10000 rw-p 01700000 08:01 1234 /usr/bin/a b
01b10000-01b20000 r--p 00000000 08:01 99 /usr/lib/other
c000000000-c000400000 rw-p 00000000 00:00 0
broken
`
	want := []mapping{{0x400000, 0x1a2b000}, {0x1a2b000, 0x1b00000}}
	if got := readOnly(maps, "/usr/bin/a b"); !slices.Equal(got, want) {
		t.Errorf("%x", got)
	}
}

// fileMemory is how much of the program is in memory on our account, in kB.
func fileMemory(t *testing.T) int {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "RssFile:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb
}

func TestRelease(t *testing.T) {
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	before := fileMemory(t)
	Release()
	if after := fileMemory(t); after >= before {
		t.Errorf("%d kB of files before, %d after", before, after)
	}
	if again, err := os.ReadFile("/proc/self/exe"); err != nil || len(again) != len(text) {
		t.Error("the program does not go on", err)
	}
}
