package libpod

import (
	"syscall"
	"testing"
)

func TestSigMask(t *testing.T) {
	t.Parallel()
	status := "Name:\tx\nSigPnd:\tffffffffffffffff\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000000200\nSigCgt:\t0000000000004000\nCapEff:\tffffffffffffffff\n"
	if mask := sigMask(status); mask != 1|1<<9|1<<14 {
		t.Errorf("%x", mask)
	}
	for text, want := range map[string]uint64{"": 0, "SigBlk": 0, "SigBlk:\tx\n": 0} {
		if got := sigMask(text); got != want {
			t.Errorf("%q: %x", text, got)
		}
	}
	if awaits(1<<30, syscall.SIGTERM) == false {
		t.Error("a process that is gone is waited for")
	}
}
