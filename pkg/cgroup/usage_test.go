package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func writeAll(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUsageUnified(t *testing.T) {
	dir := t.TempDir()
	writeAll(t, dir, map[string]string{
		"cpu.stat": "usage_usec 1500000\nuser_usec 1\nsystem_usec 2\n", "memory.current": "10485760\n", "memory.max": "max\n",
		"memory.stat": "anon 5\nfile 9\ninactive_file 4194304\nactive_file 1\n", "pids.current": "3\n",
		"io.stat": "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n254:0 \n8:16 rbytes=1 wbytes=2\n",
	})
	m := NewMeter(Group{Dirs: []string{dir}, Version: 2}, make([]byte, 4096))
	if cpu, ok := m.CPU(); !ok || cpu != 1500*time.Millisecond {
		t.Error(cpu, ok)
	}
	want := Usage{Memory: 6291456, Limit: math.MaxUint64, KnownMemory: true, Read: 4097, Written: 8194, KnownIO: true, Processes: 3, KnownProcesses: true}
	if got := m.Usage(); got != want {
		t.Errorf("%+v", got)
	}
	writeAll(t, dir, map[string]string{"memory.max": "20971520\n"})
	if got := m.Usage(); got.Limit != 20<<20 {
		t.Error(got.Limit)
	}
}

func TestUsageUnknown(t *testing.T) {
	dir := t.TempDir()
	writeAll(t, dir, map[string]string{"cgroup.threads": "1\n2\n", "cpu.stat": "usage_usec 7\n"})
	m := NewMeter(Group{Dirs: []string{dir}, Version: 2}, make([]byte, 4096))
	if got := m.Usage(); got != (Usage{Processes: 2, KnownProcesses: true}) {
		t.Errorf("without controllers: %+v", got)
	}
	m = NewMeter(Group{}, make([]byte, 4096))
	if _, ok := m.CPU(); ok || m.Usage() != (Usage{}) {
		t.Error("there is something without a group")
	}
}

func TestUsageLegacy(t *testing.T) {
	dir := t.TempDir()
	writeAll(t, dir, map[string]string{
		"cpuacct.usage": "2000000000\n", "memory.usage_in_bytes": "100\n", "memory.limit_in_bytes": "9223372036854771712\n",
		"memory.stat": "inactive_file 1\ntotal_inactive_file 40\n", "pids.current": "1\n",
		"blkio.throttle.io_service_bytes": "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n8:16 Read 1\nTotal 31\n",
	})
	g := Group{Version: 1}
	for _, c := range []string{"cpuacct", "memory", "pids", "blkio"} {
		if g.dir(c) != "" {
			t.Fatal("a directory of nothing")
		}
	}
	m := NewMeter(legacyAt(dir), make([]byte, 4096))
	if cpu, ok := m.CPU(); !ok || cpu != 2*time.Second {
		t.Error(cpu, ok)
	}
	want := Usage{Memory: 60, Limit: math.MaxUint64, KnownMemory: true, Read: 11, Written: 20, KnownIO: true, Processes: 1, KnownProcesses: true}
	if got := m.Usage(); got != want {
		t.Errorf("%+v", got)
	}
}

// legacyAt is a group of v1 whose files all lie in one directory.
func legacyAt(dir string) Group {
	var dirs []string
	for _, c := range legacyControllers {
		dirs = append(dirs, filepath.Join(Root, c)+"/../../../.."+dir)
	}
	return Group{Dirs: dirs, Version: 1}
}

func TestSetThrottle(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		group Group
		file  string
		rate  uint64
		want  string
	}{
		"v2":      {Group{Dirs: []string{dir}, Version: 2}, "io.max", 5, "8:1 rbps=5"},
		"v2 none": {Group{Dirs: []string{dir}, Version: 2}, "io.max", 0, "8:1 rbps=max"},
		"v1":      {legacyAt(dir), "blkio.throttle.read_bps_device", 5, "8:1 5"},
		"v1 none": {legacyAt(dir), "blkio.throttle.read_bps_device", 0, "8:1 0"},
	} {
		t.Run(name, func(t *testing.T) {
			writeAll(t, dir, map[string]string{c.file: ""})
			err := c.group.SetThrottle(ReadBps, 8, 1, c.rate)
			got, _ := os.ReadFile(filepath.Join(dir, c.file))
			if err != nil || string(got) != c.want {
				t.Errorf("%q %v", got, err)
			}
		})
	}
	if err := (Group{Version: 1}).SetThrottle(ReadBps, 8, 1, 1); err == nil {
		t.Error("without the controller there is no error")
	}
}
