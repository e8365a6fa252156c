package binfmt

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestProbes: the programs are what their headers say, and qemu runs them.
func TestProbes(t *testing.T) {
	for _, m := range machines() {
		t.Run(m.arch, func(t *testing.T) {
			program := m.probe()
			f, err := elf.NewFile(bytes.NewReader(program))
			if err != nil || uint16(f.Machine) != m.id || byte(f.Class) != m.class || len(f.Progs) != 1 {
				t.Fatalf("%v %v", f, err)
			}
			magic, mask := m.magic()
			for i := range magic {
				if program[i]&mask[i] != magic[i]&mask[i] {
					t.Errorf("byte %d of the header is %#x, the magic says %#x", i, program[i], magic[i])
				}
			}
			path := filepath.Join(t.TempDir(), "probe")
			if err := os.WriteFile(path, program, 0o755); err != nil {
				t.Fatal(err)
			}
			emulator := m.emulator()
			if emulator == "" {
				t.Skip("no emulator")
			}
			if out, err := exec.Command(emulator, path).CombinedOutput(); err != nil {
				t.Errorf("%v %s", err, out)
			}
			if m.arch == runtime.GOARCH {
				if out, err := exec.Command(path).CombinedOutput(); err != nil {
					t.Errorf("without emulator: %v %s", err, out)
				}
			}
		})
	}
}

// TestMagicsAreQemus compares with what qemu's own script registers.
func TestMagicsAreQemus(t *testing.T) {
	zero8 := strings.Repeat(`\x00`, 8)
	for arch, want := range map[string]string{
		"amd64":   `\x7f\x45\x4c\x46\x02\x01\x01\x00` + zero8 + `\x02\x00\x3e\x00`,
		"386":     `\x7f\x45\x4c\x46\x01\x01\x01\x00` + zero8 + `\x02\x00\x03\x00`,
		"arm64":   `\x7f\x45\x4c\x46\x02\x01\x01\x00` + zero8 + `\x02\x00\xb7\x00`,
		"arm":     `\x7f\x45\x4c\x46\x01\x01\x01\x00` + zero8 + `\x02\x00\x28\x00`,
		"s390x":   `\x7f\x45\x4c\x46\x02\x02\x01\x00` + zero8 + `\x00\x02\x00\x16`,
		"ppc64le": `\x7f\x45\x4c\x46\x02\x01\x01\x00` + zero8 + `\x02\x00\x15\x00`,
		"riscv64": `\x7f\x45\x4c\x46\x02\x01\x01\x00` + zero8 + `\x02\x00\xf3\x00`,
		"loong64": `\x7f\x45\x4c\x46\x02\x01\x01\x00` + zero8 + `\x02\x00\x02\x01`,
	} {
		magic, _ := find(arch).magic()
		if got := escaped(magic); got != want {
			t.Errorf("%s: %s, want %s", arch, got, want)
		}
	}
}

func TestUnknown(t *testing.T) {
	if err := Check("z80"); err == nil || !strings.Contains(err.Error(), "z80") {
		t.Error(err)
	}
	if err := Check(runtime.GOARCH); err != nil {
		t.Error(err)
	}
	if err := Enable("", "/nowhere", true); err != nil {
		t.Error(err)
	}
}

func TestStatic(t *testing.T) {
	for path, want := range map[string]bool{"/bin/ls": false, "/etc/passwd": false, "/none": false, "/proc/self/exe": true} {
		if got := static(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
