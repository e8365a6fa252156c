package monitor_test

import (
	"testing"

	"github.com/wherry-containers/wherry/libpod/monitor"
)

func TestManyIdle(t *testing.T) {
	const n = 10
	var all []*ctr
	for range n {
		c := newCtr(t, "sleep", "60")
		c.mustStart(monitor.SpawnOptions{})
		all = append(all, c)
	}
	sum := 0
	for _, c := range all {
		c.until("idle", c.idle)
	}
	for _, c := range all {
		sum += pss(t, c.live.Monitor)
	}
	t.Logf("%d idle monitors: %d kB PSS each", n, sum/n)
	if sum/n > 100 {
		t.Errorf("want at most 100")
	}
}
