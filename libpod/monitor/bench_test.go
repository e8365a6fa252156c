package monitor_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/libpod/monitor"
)

// TestLogThroughput prints how long the file that WHERRY_BENCH_FILE names takes through the monitor into the log.
func TestLogThroughput(t *testing.T) {
	file := os.Getenv("WHERRY_BENCH_FILE")
	if file == "" {
		t.Skip("set WHERRY_BENCH_FILE to a big file of lines")
	}
	c := newCtr(t, "cat", file)
	begun := time.Now()
	c.mustStart(monitor.SpawnOptions{})
	c.endWithin(time.Minute)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	d := time.Since(begun)
	t.Logf("%d MB in %v: %.0f MB/s", info.Size()>>20, d, float64(info.Size())/d.Seconds()/1e6)
}

// TestSpawnOverhead prints the time from Spawn to the report with a runtime that does next to nothing.
func TestSpawnOverhead(t *testing.T) {
	if os.Getenv("WHERRY_BENCH_FILE") == "" {
		t.Skip("set WHERRY_BENCH_FILE")
	}
	best := time.Hour
	for range 30 {
		c := newCtr(t, "sleep", "60")
		begun := time.Now()
		c.mustStart(monitor.SpawnOptions{})
		best = min(best, time.Since(begun))
	}
	alone := time.Hour
	for range 30 {
		c := newCtr(t, "true")
		begun := time.Now()
		cmd := exec.Command(c.job.Runtime)
		cmd.Args = c.job.StartArgs
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		alone = min(alone, time.Since(begun))
	}
	t.Logf("spawn to report: %v at best, of which the runtime %v", best, alone)
}
