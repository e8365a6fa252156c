package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/storage"
	"github.com/containers/storage/pkg/reexec"
	"github.com/sirupsen/logrus"

	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// TestMain goes into a user namespace when it is not root: layers hold files of user 0.
func TestMain(m *testing.M) {
	if reexec.Init() {
		return
	}
	if os.Geteuid() != 0 && os.Getenv("_IMAGE_TEST_INSIDE") == "" {
		unshare, err := exec.LookPath("unshare")
		if err == nil && exec.Command(unshare, "-rm", "true").Run() == nil {
			env := append(os.Environ(), "_IMAGE_TEST_INSIDE=1", "_CONTAINERS_USERNS_CONFIGURED=done", "_CONTAINERS_ROOTLESS_UID="+fmt.Sprint(os.Getuid()), "_CONTAINERS_ROOTLESS_GID="+fmt.Sprint(os.Getgid()))
			err = syscall.Exec(unshare, append([]string{"unshare", "-rm", executable()}, os.Args[1:]...), env)
		}
		fmt.Println("no user namespace to test in:", err)
		return
	}
	logrus.SetLevel(logrus.FatalLevel)
	if verb := os.Getenv(envVerb); verb != "" {
		os.Exit(victim(verb))
	}
	os.Exit(runInHome(m))
}

// runInHome runs the tests with one home directory: the libraries ask for it once, as soon as they are loaded. So the
// program is started once more with it.
func runInHome(m *testing.M) int {
	const mark = "_IMAGE_TEST_HOME"
	if home := os.Getenv(mark); home != "" {
		defer os.RemoveAll(home)
		testHome = filepath.Join(home, "home")
		return m.Run()
	}
	home, err := os.MkdirTemp("", "image-test-")
	if err == nil {
		os.Setenv("HOME", filepath.Join(home, "home"))
		err = syscall.Exec(executable(), os.Args, append(os.Environ(), mark+"="+home))
	}
	fmt.Println(err)
	return 1
}

var testHome string

// fixture is a session on a store of its own.
type fixture struct {
	*Session
	t        *testing.T
	dir      string
	cfg      Config
	out, err *bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	home := testHome
	if err := os.RemoveAll(home); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(dir, "xdg"))
	t.Setenv("CONTAINERS_REGISTRIES_CONF", filepath.Join(home, "registries.conf"))
	t.Setenv("CONTAINERS_REGISTRIES_CONF_DIR", filepath.Join(home, "none"))
	t.Setenv("CONTAINERS_STORAGE_CONF", filepath.Join(home, "storage.conf"))
	for _, d := range []string{home, filepath.Join(dir, "xdg")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	f := &fixture{t: t, dir: dir, out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	f.write("home/registries.conf", "")
	f.write("home/storage.conf", "")
	f.cfg = Config{
		Dirs:   layout.Dirs{Data: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run")},
		Driver: testDriver(), Out: f.out, Err: f.err, In: strings.NewReader(""), Getenv: os.Getenv,
	}
	f.reopen()
	t.Cleanup(func() {
		if f.Session != nil { // reopening may have failed
			f.Session.Close()
			f.store.Shutdown(true)
		}
	})
	return f
}

// testDriver is overlay, or what WHERRY_TEST_DRIVER names: vfs, fuse-overlayfs.
func testDriver() Driver {
	name := os.Getenv("WHERRY_TEST_DRIVER")
	if name == "" {
		name = "overlay"
	}
	driver, err := DriverFor(name)
	if err != nil {
		panic(err)
	}
	return driver
}

func (f *fixture) reopen() {
	f.t.Helper()
	sysregistriesv2.InvalidateCache()
	var err error
	if f.Session, err = Open(f.cfg); err != nil {
		f.t.Fatal(err)
	}
}

// write makes a file beside the store: a configuration, a record.
func (f *fixture) write(name, text string) {
	f.t.Helper()
	path := f.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// path is where write puts a file; home/ is the user's home.
func (f *fixture) path(name string) string {
	if rest, ok := strings.CutPrefix(name, "home"); ok {
		return testHome + rest
	}
	return filepath.Join(f.dir, name)
}

// tarOf makes a tar with the given files.
func tarOf(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// imported makes an image of one file and returns its id.
func (f *fixture) imported(name, content string, changes ...string) string {
	f.t.Helper()
	path := filepath.Join(f.t.TempDir(), "root.tar")
	if err := os.WriteFile(path, tarOf(f.t, map[string]string{"file": content}), 0o600); err != nil {
		f.t.Fatal(err)
	}
	id, err := f.Import(context.Background(), path, name, option.Import{Changes: changes})
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

// sound fails the test when the store is not: broken layers, images, or files left behind.
func (f *fixture) sound() {
	f.t.Helper()
	report, err := f.store.Check(storage.CheckEverything())
	if err != nil {
		f.t.Fatal(err)
	}
	for what, faults := range map[string]map[string][]error{"layer": report.Layers, "image": report.Images, "container": report.Containers} {
		for id, list := range faults {
			f.t.Errorf("%s %s: %v", what, id, errors.Join(list...))
		}
	}
	problems, err := f.names.Problems(context.Background())
	if err != nil || len(problems) > 0 {
		f.t.Errorf("problems: %v %v", problems, err)
	}
}

func (f *fixture) noError(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// failsWith expects a one-line error of the given kind that holds every word.
func (f *fixture) failsWith(err error, kind error, words ...string) {
	f.t.Helper()
	if err == nil {
		f.t.Fatal("no error")
	}
	if kind != nil && !errors.Is(err, kind) {
		f.t.Errorf("%v is not %q", err, kind)
	}
	if strings.Contains(err.Error(), "\n") {
		f.t.Errorf("more than one line: %q", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			f.t.Errorf("%q does not say %q", err, w)
		}
	}
}

func writeFile(t testing.TB, path string, data []byte) {
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// executable is the path of this binary: /proc/self/exe would be unshare's.
func executable() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}
