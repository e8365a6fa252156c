package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// cp is killed after each of its steps: each file is the old one, the new one or, where there was none, not there; and
// nothing else is left.
func TestCpKilledAtEachStep(t *testing.T) {
	s := faultStore(t)
	src, out := dir(t), dir(t)
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(src+"/"+name, []byte("new"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	setup := [][]string{{"run", "--name", "NAME", "--network", "none", testkit.Image, "sh", "-c", "mkdir /d; echo -n old >/d/a"}}
	into := faultCase{"cp-into", setup, []string{"cp", src + "/.", "NAME:/d"}}
	from := faultCase{"cp-from", setup, []string{"cp", "NAME:/d/.", out}}
	for _, c := range []faultCase{into, from} {
		steps := traceSteps(t, s, c)
		if len(steps) == 0 {
			t.Fatal("no step was traced")
		}
		for _, fault := range faultsOf(steps) {
			t.Run(c.name+" "+fault, func(t *testing.T) {
				s.Must(t, fill(setup[0], "victim")...)
				os.WriteFile(out+"/a", []byte("old"), 0o644)
				os.Remove(out + "/b")
				s.With("WHERRY_FAULT="+fault).Try(t, fill(c.act, "victim")...)
				s.Must(t, "cp", "victim:/d", out+"/seen")
				for _, dir := range []string{out + "/seen", out} {
					for _, name := range entries(dir) {
						data, _ := os.ReadFile(dir + "/" + name)
						if text := string(data); name != "seen" && (name != "a" && name != "b" || text != "old" && text != "new") {
							t.Errorf("%s/%s holds %q", dir, name, text)
						}
					}
				}
				s.Must(t, fill(c.act, "victim")...)
				s.Must(t, "start", "-a", "victim")
				os.RemoveAll(out + "/seen")
				clean(t, s, "victim")
			})
		}
	}
}

// commit that is killed leaves the whole image or none, and no layer that image prune does not find.
func TestCommitKilledAtEachStep(t *testing.T) {
	s := faultStore(t)
	c := faultCase{"commit", [][]string{{"run", "--name", "NAME", "--network", "none", testkit.Image, "sh", "-c", "echo x >/new"}}, []string{"commit", "NAME", "nameimage"}}
	layers := func() int {
		return len(entries(filepath.Join(s.Data, "storage/overlay-layers"))) + len(entries(filepath.Join(s.Data, "storage/vfs-layers")))
	}
	steps := traceSteps(t, s, c)
	s.Must(t, "rmi", "-f", "nameimage")
	before := layers()
	for _, want := range []string{"commit.compared", "image.commit.layer", "image.commit.created"} {
		if !strings.Contains(strings.Join(steps, " "), want) {
			t.Errorf("no step %s in %v", want, steps)
		}
	}
	for _, fault := range faultsOf(steps) {
		t.Run(fault, func(t *testing.T) {
			s.Must(t, fill(c.setup[0], "victim")...)
			s.With("WHERRY_FAULT="+fault).Try(t, fill(c.act, "victim")...)
			if r := s.Try(t, "run", "--rm", "--network", "none", "nameimage", "cat", "/new"); r.Code == 0 && r.Out() != "x" {
				t.Errorf("half an image: %q", r.Out())
			}
			s.Must(t, fill(c.act, "victim")...)
			s.Must(t, "rmi", "-f", "nameimage")
			clean(t, s, "victim")
			s.Must(t, "image", "prune", "-f")
			if now := layers(); now > before {
				t.Errorf("%d files of layers, %d before", now, before)
			}
		})
	}
}

// export to a file that is killed leaves the old file, and nothing beside it.
func TestContainerExportKilledAtEachStep(t *testing.T) {
	s := faultStore(t)
	out := filepath.Join(dir(t), "out.tar")
	c := faultCase{"export", [][]string{{"create", "--name", "NAME", testkit.Image, "true"}}, []string{"export", "-o", out, "NAME"}}
	for _, fault := range faultsOf(traceSteps(t, s, c)) {
		t.Run(fault, func(t *testing.T) {
			s.Must(t, fill(c.setup[0], "victim")...)
			os.WriteFile(out, []byte("old"), 0o644)
			s.With("WHERRY_FAULT="+fault).Try(t, fill(c.act, "victim")...)
			if data, _ := os.ReadFile(out); string(data) != "old" && len(data) < 100000 {
				t.Errorf("half a file of %d bytes", len(data))
			}
			if left := entries(filepath.Dir(out)); len(left) != 1 {
				t.Errorf("left beside the file: %v", left)
			}
			clean(t, s, "victim")
		})
	}
}

// A disk that is full: nothing half is left in the container or on the host.
func TestCpAndExportToFullDisk(t *testing.T) {
	t.Parallel()
	ctr := up(t, "head -c 3000000 /dev/urandom >/three; echo ready; sleep 1000", "--network", "none", "--tmpfs", "/small:size=1m")
	shared.MustFail(t, 125, "no space left", "cp", ctr+":/three", ctr+":/small/x")
	want(t, "in the container", shared.Must(t, "exec", ctr, "ls", "-A", "/small"), "")
	small := dir(t)
	script := "mount -t tmpfs -o size=1m tmpfs " + small + " && cd " + small + ` && for c in "cp ` + ctr + `:/three x" "export -o x ` + ctr + `"; do ` + shared.Bin + ` $c 2>&1; echo $?; ls -A; done`
	out := shared.Must(t, "unshare", "unshare", "-m", "sh", "-c", script)
	if strings.Count(out, "no space left") != 2 || strings.Count(out, "125") != 2 || len(strings.Fields(strings.ReplaceAll(out, "\n", " "))) > 60 || strings.Contains(out, "\nx") {
		t.Errorf("on the host:\n%s", out)
	}
}
