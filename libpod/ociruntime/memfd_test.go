package ociruntime

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A container that gets hold of the runtime's program (CVE-2019-5736) cannot change it.
func TestMemfdIsSealed(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := (&Runtime{Kind: Crun, Path: path}).Memfd()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || got&seals != seals {
		t.Errorf("seals are %x, want %x: %v", got, seals, err)
	}
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("it can be written")
	}
	if err := f.Truncate(0); err == nil {
		t.Error("it can be truncated")
	}
}
