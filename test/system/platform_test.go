package system

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
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

// foreignImage imports an image for arm64 whose command says its name and ends.
func foreignImage(t *testing.T) string {
	t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	program := sayName()
	w.WriteHeader(&tar.Header{Name: "say", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg})
	w.Write(program)
	w.Close()
	file := filepath.Join(t.TempDir(), "layer.tar")
	if err := os.WriteFile(file, layer.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	name := strings.ToLower(shared.Name(t)) + "-arm64"
	shared.Must(t, "import", "--arch", "arm64", "--change", `CMD ["/say"]`, file, name)
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", name) })
	return name
}

// A container of another processor's image runs by qemu, is started again, and runs beside others.
//
// flag: run --platform
func TestForeignPlatform(t *testing.T) {
	t.Parallel()
	if runtime.GOARCH == "arm64" {
		t.Skip("it is this processor's")
	}
	name, img := shared.Name(t), foreignImage(t)
	if _, err := exec.LookPath("qemu-aarch64-static"); err != nil {
		shared.MustFail(t, 125, "sudo apt install qemu-user-static", "run", "--rm", "--network", "none", img)
		t.Skip("qemu-user-static is not installed")
	}
	r := shared.Try(t, "run", "--name", name, "--platform", "linux/arm64", "--network", "none", img)
	if strings.Contains(r.Stderr, "Linux 6.7") {
		t.Skip(r.Stderr)
	}
	t.Cleanup(func() { shared.Try(t, "rm", "-f", name) })
	if r.Code != 0 || r.Stdout != "/say\x00" {
		t.Fatalf("exit %d, %q %s", r.Code, r.Stdout, r.Stderr)
	}
	if out := shared.Must(t, "start", "-a", name); out != "/say\x00" {
		t.Errorf("started again: %q", out)
	}
	if out := shared.Must(t, "create", "--name", name+"2", "--platform", "linux/arm64", "--network", "none", img); len(out) != 64 {
		t.Errorf("%q", out)
	}
	t.Cleanup(func() { shared.Try(t, "rm", "-f", name+"2") })
	if out := shared.Must(t, "start", "-a", name+"2"); out != "/say\x00" {
		t.Errorf("created: %q", out)
	}
}

// Nothing is registered for a container of this machine's own platform: its monitor has no mount for it.
func TestOwnPlatformRegistersNothing(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "run", "-d", "--name", name, "--network", "none", "--platform", "linux/"+runtime.GOARCH, "busybox", "sleep", "1000")
	t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", name) })
	pid := shared.Must(t, "inspect", "-f", "{{.State.ConmonPid}}", name)
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%s/mountinfo", pid))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), shared.Run+"/c/") && strings.Contains(string(mounts), "/binfmt ") {
		t.Errorf("%s", mounts)
	}
}

// A step of a build for another platform runs its programs, and what it makes is an image for that platform.
//
// flag: build --platform
func TestBuildForeignPlatform(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("qemu-aarch64-static"); err != nil || runtime.GOARCH == "arm64" {
		t.Skip("qemu-user-static is not installed, or not needed")
	}
	from, dir, name := foreignImage(t), t.TempDir(), strings.ToLower(shared.Name(t))
	file := "FROM " + from + "\nRUN [\"/say\"]\nCMD [\"say\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	r := shared.Try(t, "build", "--progress", "plain", "--no-cache", "--network", "none", "--platform", "linux/arm64", "-t", name, dir)
	if strings.Contains(r.Stderr, "Linux 6.7") {
		t.Skip(r.Stderr)
	}
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", name) })
	if r.Code != 0 || !strings.Contains(r.Stderr, " /say\x00") {
		t.Fatalf("exit %d: %q", r.Code, r.Stderr)
	}
	if arch := shared.Must(t, "image", "inspect", "-f", "{{.Architecture}}", name); arch != "arm64" {
		t.Errorf("an image for %s", arch)
	}
	if out := shared.Must(t, "run", "--rm", "--network", "none", "--platform", "linux/arm64", name, "/say"); out != "/say\x00" {
		t.Errorf("%q", out)
	}
}
