package run_test

import (
	"encoding/binary"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/pb"

	"github.com/wherry-containers/wherry/buildah/run"
)

// sayName is a program for arm64 that writes the first five letters of its name.
func sayName() []byte {
	o := binary.LittleEndian
	code := []uint32{
		0xd2800020, // mov x0, 1
		0xf94007e1, // ldr x1, [sp, 8]
		0xd28000a2, // mov x2, 5
		0xd2800808, // mov x8, 64: write
		0xd4000001, // svc 0
		0xd2800000, // mov x0, 0
		0xd2800ba8, // mov x8, 93: exit
		0xd4000001, // svc 0
	}
	const base, head = 0x10000, 64 + 56
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	b = o.AppendUint16(o.AppendUint16(b, 2), 183)
	b = o.AppendUint32(b, 1)
	for _, v := range []uint64{base + head, 64, 0} {
		b = o.AppendUint64(b, v)
	}
	b = o.AppendUint32(b, 0)
	for _, v := range []uint16{64, 56, 1, 0, 0, 0} {
		b = o.AppendUint16(b, v)
	}
	b = o.AppendUint32(o.AppendUint32(b, 1), 5)
	size := uint64(head + 4*len(code))
	for _, v := range []uint64{0, base, base, size, size, 0x1000} {
		b = o.AppendUint64(b, v)
	}
	for _, i := range code {
		b = o.AppendUint32(b, i)
	}
	return b
}

// TestOtherPlatform: a program of another processor runs in a step, and learns its name as it was given.
func TestOtherPlatform(t *testing.T) {
	if !inside(t) {
		return
	}
	if runtime.GOARCH == "arm64" {
		t.Skip("it is this processor's")
	}
	b := newBench(t)
	b.must(os.WriteFile(b.in("bin/say"), sayName(), 0o755))
	s := run.Step{Meta: &pb.Meta{Args: []string{"say"}}, Network: pb.NetMode_NONE, Platform: &pb.Platform{OS: "linux", Architecture: "arm64"}}
	out, err := b.try(s)
	if _, lookErr := exec.LookPath("qemu-aarch64-static"); lookErr != nil {
		if err == nil || !strings.Contains(err.Error(), "qemu-user-static") {
			t.Errorf("%q %v", out, err)
		}
		t.Skip("qemu-user-static is not installed")
	}
	if err != nil && (strings.Contains(err.Error(), "Linux 6.7") || strings.Contains(err.Error(), "is not told to use it")) {
		t.Skip(err)
	}
	if err != nil || out != "say"+"\x00H" {
		t.Errorf("%q %v", out, err)
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	if strings.Contains(string(mounts), b.dirs.Run+"/") && strings.Contains(string(mounts), "binfmt_misc "+b.dirs.Run) {
		t.Errorf("left mounted:\n%s", mounts)
	}
	s.Platform.Architecture = "z80"
	if _, err := b.try(s); err == nil || !strings.Contains(err.Error(), "z80") {
		t.Error(err)
	}
}
