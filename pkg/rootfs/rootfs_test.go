package rootfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestMount(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		s := newSpec(t, dir, 5)
		must(t, os.Chmod(s.Lower[0], 0o755))
		must(t, os.Chmod(s.Lower[0], 0o711))
		must(t, Mount(t.Context(), s))
		for i := range 5 {
			wantFile(t, fmt.Sprintf("%s/file%d", s.Target, i), fmt.Sprint(i))
		}
		wantFile(t, s.Target+"/common", "4")
		must(t, exerciseMount(s.Target))
		if info, err := os.Stat(s.Upper); err != nil || info.Mode().Perm() != 0o711 {
			t.Errorf("mode of the read-write layer: %v %v", info.Mode(), err)
		}
		must(t, Unmount(s.Target))
		must(t, Unmount(s.Target))
		if mounted(t, s.Target) {
			t.Error("still mounted")
		}
		must(t, Mount(t.Context(), s)) // a stopped container starts again
		wantFile(t, s.Target+"/common", "changed")
		must(t, Unmount(s.Target))
		wantFile(t, s.Lower[0]+"/common", "4")
	})
}

func exerciseMount(root string) error {
	return errors.Join(os.WriteFile(root+"/common", []byte("changed"), 0o644), os.Remove(root+"/file1"),
		os.Mkdir(root+"/file1", 0o755), os.Chown(root+"/file2", 0, 0))
}

func TestMountVolatile(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		s := newSpec(t, dir, 3)
		s.Volatile = true
		for range 2 { // the second time the kernel finds its mark of the first
			must(t, Mount(t.Context(), s))
			if data, _ := os.ReadFile("/proc/thread-self/mounts"); !strings.Contains(string(data), "volatile") {
				t.Error("not mounted volatile")
			}
			must(t, exerciseMount(s.Target))
			must(t, os.Remove(s.Target+"/file1"))
			must(t, Unmount(s.Target))
			if _, err := os.Stat(s.Work + "/work/incompat/volatile"); err != nil {
				t.Error("no mark that the next mount must overcome")
			}
			must(t, os.RemoveAll(s.Upper))
		}
	})
}

func TestMountManyLayers(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		s := newSpec(t, dir, 120)
		ways := map[string]func(Spec) error{
			"mount": func(s Spec) error { return Mount(t.Context(), s) },
			"context": func(s Spec) error {
				opts, err := overlayOptions(s, &pathNames{})
				must(t, err)
				return opts.mountContext(s, func() {})
			},
			"short": mountShortNames,
		}
		for name, mount := range ways {
			cwd, _ := os.Getwd()
			must(t, makeUpper(s))
			if err := mount(s); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for i := range 120 {
				wantFile(t, fmt.Sprintf("%s/file%d", s.Target, i), fmt.Sprint(i))
			}
			wantFile(t, s.Target+"/common", "119")
			write(t, s.Target+"/new", "x")
			must(t, Unmount(s.Target))
			if now, _ := os.Getwd(); now != cwd {
				t.Errorf("%s: working directory changed to %s", name, now)
			}
		}
		s.ReadOnly = true
		must(t, Mount(t.Context(), s))
		wantFile(t, s.Target+"/new", "x")
		must(t, Unmount(s.Target))
	})
}

func TestMountOddNames(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		for _, name := range []string{"a:b", "c,d", `e\f`, `g\:h`, "i j", `k"l'`, "m\nn", "é", strings.Repeat("x", 200) + "/" + strings.Repeat("y", 200), "lowerdir=z"} {
			s := newSpec(t, filepath.Join(dir, name), 3)
			must(t, Mount(t.Context(), s))
			wantFile(t, s.Target+"/common", "2")
			write(t, s.Target+"/new", "x")
			must(t, Unmount(s.Target))
			wantFile(t, s.Upper+"/new", "x")
		}
	})
}

func TestMountReadOnly(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		for _, driver := range []string{Overlay, VFS} {
			for _, n := range []int{1, 3} {
				s := newSpec(t, filepath.Join(dir, driver, fmt.Sprint(n)), n)
				s.ReadOnly, s.Driver = true, driver
				must(t, Mount(t.Context(), s))
				wantFile(t, s.Target+"/file0", "0")
				if err := os.WriteFile(s.Target+"/x", nil, 0o644); !errors.Is(err, syscall.EROFS) {
					t.Errorf("%s %d layers: written: %v", driver, n, err)
				}
				must(t, Unmount(s.Target))
			}
		}
	})
}

func TestMountNoLayers(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		for _, driver := range []string{Overlay, VFS} {
			s := newSpec(t, filepath.Join(dir, driver), 0)
			s.Driver = driver
			must(t, Mount(t.Context(), s))
			write(t, s.Target+"/x", "x")
			must(t, Unmount(s.Target))
			wantFile(t, s.Upper+"/x", "x")
		}
	})
}

func TestMountErrors(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		s := newSpec(t, dir, 3)
		must(t, os.RemoveAll(s.Lower[1]))
		for _, many := range []bool{false, true} {
			err := Mount(t.Context(), s)
			if err == nil || !strings.Contains(err.Error(), filepath.Dir(s.Lower[1])) || strings.Contains(err.Error(), "\n") {
				t.Errorf("many %v: %v", many, err)
			}
			if mounted(t, s.Target) {
				t.Error("something stays mounted")
			}
			more := newSpec(t, filepath.Join(dir, "more"), 120)
			s.Lower = append(s.Lower, more.Lower...)
		}
		s.Driver = "zfs"
		if err := Mount(t.Context(), s); err == nil || !strings.Contains(err.Error(), "zfs") {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Mount(ctx, s); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestKilledMounter: what a killed process had mounted in its namespace is gone with it.
func TestKilledMounter(t *testing.T) {
	if os.Getenv("ROOTFS_TEST_DIR") != "" {
		s := newSpec(t, os.Getenv("ROOTFS_TEST_DIR"), 3)
		must(t, Mount(t.Context(), s))
		fmt.Println("mounted")
		select {}
	}
	cmd, dir := command(t, userNamespace(), testRoot)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	buf := make([]byte, 4096)
	for n, seen := 0, ""; !strings.Contains(seen, "mounted"); seen += string(buf[:n]) {
		if n, err = out.Read(buf); err != nil {
			t.Fatal(seen, err)
		}
	}
	must(t, cmd.Process.Kill())
	cmd.Wait()
	if mounted(t, filepath.Join(dir, "root")) {
		t.Error("still mounted")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error("something holds the directory:", err)
	}
}
