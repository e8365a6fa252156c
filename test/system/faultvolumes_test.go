package system

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// faultStore is a store of the binaries with fault points.
func faultStore(t *testing.T) *testkit.Store {
	t.Helper()
	if os.Getenv("WHERRY_FAULT_BIN") == "" {
		t.Skip("WHERRY_FAULT_BIN is not set (make test sets it)")
	}
	s, done, err := testkit.Open("fault")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	return s
}

// An import that is killed, or whose disk is full, at any step leaves the volume as it was, or, once its stream was read
// to its end, as it is to be: never half of both. The next one works.
func TestImportKilledAtEachStep(t *testing.T) {
	s := faultStore(t)
	stream := tarOf(t, &tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o751}, &tar.Header{Name: "./f", Typeflag: tar.TypeReg, Mode: 0o644, Size: 4}, "new\n",
		&tar.Header{Name: "./d/", Typeflag: tar.TypeDir, Mode: 0o700}, &tar.Header{Name: "./d/g", Typeflag: tar.TypeReg, Mode: 0o644, Size: 4}, "new\n")
	in := file(t, "in.tar", string(stream))
	look := func(name string) string {
		return s.Must(t, "run", "--rm", "--network", "none", "-v", name+":/x", testkit.Image, "sh", "-c", "cat /x/f /x/d/g; ls /x /x/d | tr '\\n' ' '; stat -c %a /x")
	}
	fresh := func(name string) string {
		s.Must(t, "run", "--rm", "--network", "none", "-v", name+":/x", testkit.Image, "sh", "-c", "echo old >/x/f; mkdir /x/d; echo old >/x/d/g; echo stays >/x/d/h")
		return look(name)
	}
	c := faultCase{"import", [][]string{{"volume", "create", "NAMEvol"}}, []string{"volume", "import", "NAMEvol", in}}
	steps := traceSteps(t, s, c)
	if !strings.Contains(strings.Join(steps, " "), "volume.staged") || !strings.Contains(strings.Join(steps, " "), "volume.moved") {
		t.Fatalf("steps: %v", steps)
	}
	for _, fault := range faultsOf(steps) {
		t.Run(fault, func(t *testing.T) {
			old := fresh("victimvol")
			r := s.With("WHERRY_FAULT="+fault).Try(t, "volume", "import", "victimvol", in)
			got := look("victimvol")
			s.Must(t, "volume", "import", "victimvol", in)
			whole := look("victimvol")
			if got != old && got != whole {
				t.Errorf("exit %d %s: half an import:\n%s", r.Code, r.Stderr, got)
			}
			if !strings.HasPrefix(whole, "new\nnew\n") || !strings.Contains(whole, "h") || !strings.HasSuffix(whole, "751") {
				t.Errorf("the import after it: %q", whole)
			}
			if left := entries(s.Data + "/volumes/victimvol"); len(left) != 2 {
				t.Errorf("left in the volume's directory: %v", left)
			}
			clean(t, s, "victim")
		})
	}
	s.Must(t, "volume", "create", "checked")
	s.With("WHERRY_FAULT=kill:archive.unpacked").Try(t, "volume", "import", "checked", in)
	s.MustFail(t, 1, "", "system", "check")
	s.Must(t, "system", "check", "--repair")
	if left := entries(s.Data + "/volumes/checked"); len(left) != 2 {
		t.Errorf("after the repair: %v", left)
	}
}

// A file that an export writes is complete or not there.
func TestExportKilledAtEachStep(t *testing.T) {
	s := faultStore(t)
	out := filepath.Join(dir(t), "out.tar")
	c := faultCase{"export", [][]string{{"volume", "create", "NAMEvol"}}, []string{"volume", "export", "-o", out, "NAMEvol"}}
	for _, fault := range faultsOf(traceSteps(t, s, c)) {
		os.Remove(out)
		s.Must(t, "volume", "create", "victimvol")
		s.With("WHERRY_FAULT="+fault).Try(t, "volume", "export", "-o", out, "victimvol")
		if info, err := os.Stat(out); err == nil && info.Size() < 1024 {
			t.Errorf("%s: half a file of %d bytes", fault, info.Size())
		}
		s.Must(t, "volume", "export", "-o", out, "victimvol")
		if left := entries(filepath.Dir(out)); len(left) != 1 {
			t.Errorf("%s: left beside the file: %v", fault, left)
		}
		clean(t, s, "victim")
	}
}

// A secret that is replaced has its old value or its new one, whatever happens; one of the two values is gone.
func TestSecretReplaceKilledAtEachStep(t *testing.T) {
	s := faultStore(t)
	old, now := file(t, "old", "old value"), file(t, "new", "new value")
	c := faultCase{"replace", [][]string{{"secret", "create", "NAMEsec", old}}, []string{"secret", "create", "--replace", "NAMEsec", now}}
	show := func() string {
		return s.Must(t, "secret", "inspect", "--showsecret", "--format", "{{.SecretData}}", "victimsec")
	}
	for _, fault := range faultsOf(traceSteps(t, s, c)) {
		s.Must(t, "secret", "create", "victimsec", old)
		s.With("WHERRY_FAULT="+fault).Try(t, "secret", "create", "--replace", "victimsec", now)
		if got := show(); got != "old value" && got != "new value" {
			t.Errorf("%s: the value is %q", fault, got)
		}
		s.Must(t, "secret", "create", "--replace", "victimsec", now)
		want(t, fault, show(), "new value")
		if left := entries(s.Data + "/secrets/ids"); len(left) != 1 {
			t.Errorf("%s: values that nobody has: %v", fault, left)
		}
		clean(t, s, "victim")
	}
}

// No space left in a volume is one line, and what was there stays.
func TestImportWithoutSpace(t *testing.T) {
	t.Parallel()
	vol := volume(t)
	shared.Must(t, "volume", "create", "-o", "type=tmpfs", "-o", "o=size=64k", vol)
	shared.Must(t, "volume", "mount", vol)
	t.Cleanup(func() { shared.Try(t, "volume", "unmount", vol) })
	big := strings.Repeat("x", 200<<10)
	in := file(t, "in", string(tarOf(t, &tar.Header{Name: "f", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(big))}, big)))
	shared.MustFail(t, 125, "no space left", "volume", "import", vol, in)
}
