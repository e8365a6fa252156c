package layers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/containers/storage"
	"github.com/containers/storage/pkg/reexec"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/rootfs"
)

// TestMain goes into a user namespace and a mount namespace of its own, as a build does.
func TestMain(m *testing.M) {
	if reexec.Init() {
		return
	}
	if os.Getenv("_LAYERS_TEST_INSIDE") == "" {
		how := "-rm"
		if os.Geteuid() == 0 {
			how = "-m"
		}
		unshare, err := exec.LookPath("unshare")
		if err == nil && exec.Command(unshare, how, "true").Run() == nil {
			self, _ := os.Executable()
			env := append(os.Environ(), "_LAYERS_TEST_INSIDE=1", "_CONTAINERS_USERNS_CONFIGURED=done",
				"_CONTAINERS_ROOTLESS_UID="+fmt.Sprint(os.Getuid()), "_CONTAINERS_ROOTLESS_GID="+fmt.Sprint(os.Getgid()))
			err = syscall.Exec(unshare, append([]string{"unshare", how, self}, os.Args[1:]...), env)
		}
		fmt.Println("no namespaces to test in:", err)
		return
	}
	logrus.SetLevel(logrus.FatalLevel)
	if place := os.Getenv("_LAYERS_TEST_VICTIM"); place != "" {
		os.Exit(victim(place))
	}
	os.Exit(m.Run())
}

// fixture is a store of its own.
type fixture struct {
	*Store
	t    testing.TB
	dirs layout.Dirs
	lib  storage.Store
}

func newFixture(t testing.TB, driver string) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{t: t, dirs: layout.Dirs{Data: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run")}}
	f.lib = openLibrary(t, f.dirs, driver)
	f.reopen(driver)
	t.Cleanup(func() {
		f.Close()
		f.lib.Shutdown(true)
	})
	return f
}

func openLibrary(t testing.TB, dirs layout.Dirs, driver string, more ...string) storage.Store {
	t.Helper()
	opts := storage.StoreOptions{GraphRoot: dirs.Graph(), RunRoot: dirs.GraphRun(), GraphDriverName: "overlay", GraphDriverOptions: []string{"overlay.skip_mount_home=true"}}
	switch driver {
	case rootfs.VFS:
		opts.GraphDriverName, opts.GraphDriverOptions = driver, nil
	case rootfs.Fuse:
		program, err := exec.LookPath(rootfs.Fuse)
		if err != nil || unix.Access("/dev/fuse", unix.R_OK|unix.W_OK) != nil {
			t.Skip("no fuse-overlayfs here")
		}
		opts.GraphDriverOptions = append(opts.GraphDriverOptions, "overlay.mount_program="+program)
	}
	opts.GraphDriverOptions = append(opts.GraphDriverOptions, more...)
	lib, err := storage.GetStore(opts)
	if err != nil {
		t.Skip("no store here:", err)
	}
	return lib
}

func (f *fixture) reopen(driver string) {
	f.t.Helper()
	if f.Store != nil {
		f.must(f.Close())
	}
	var err error
	f.Store, err = Open(f.t.Context(), Options{Dirs: f.dirs, Storage: f.lib, Driver: driver})
	f.must(err)
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// step commits what change does to a draft.
func (f *fixture) step(base []string, change func(root string) error) []string {
	f.t.Helper()
	d, err := f.Begin(f.t.Context(), base)
	f.must(err)
	f.must(change(d.Root()))
	stack, err := d.Commit(f.t.Context(), Info{CreatedBy: f.t.Name()})
	f.must(err)
	return stack
}

func write(root string, files map[string]string) error {
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func files(files map[string]string) func(string) error {
	return func(root string) error { return write(root, files) }
}
