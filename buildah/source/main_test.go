package source

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containers/storage/pkg/reexec"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/testutil"
	"golang.org/x/sync/errgroup"

	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// TestMain goes into a user namespace when it is not root: layers hold files of user 0.
func TestMain(m *testing.M) {
	if reexec.Init() {
		return
	}
	if os.Geteuid() != 0 && os.Getenv("_SOURCE_TEST_INSIDE") == "" {
		unshare, err := exec.LookPath("unshare")
		self, selfErr := os.Executable()
		if err == nil && selfErr == nil && exec.Command(unshare, "-rm", "true").Run() == nil {
			env := append(os.Environ(), "_SOURCE_TEST_INSIDE=1", "_CONTAINERS_USERNS_CONFIGURED=done", "_CONTAINERS_ROOTLESS_UID="+fmt.Sprint(os.Getuid()), "_CONTAINERS_ROOTLESS_GID="+fmt.Sprint(os.Getgid()))
			err = syscall.Exec(unshare, append([]string{"unshare", "-rm", self}, os.Args[1:]...), env)
		}
		fmt.Println("no user namespace to test in:", err, selfErr)
		return
	}
	os.Exit(m.Run())
}

// newEnv is an Env with a store of its own, which gives up what it holds at the end of the test.
func newEnv(t *testing.T) *Env {
	t.Helper()
	dir := t.TempDir()
	dirs := layout.Dirs{Data: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run")}
	for _, d := range []string{dirs.Data, dirs.Run} {
		noError(t, os.MkdirAll(d, 0o700))
	}
	getenv := func(name string) string {
		return map[string]string{"HOME": dir, "CONTAINERS_REGISTRIES_CONF": "/dev/null", "REGISTRY_AUTH_FILE": filepath.Join(dir, "auth.json")}[name]
	}
	return &Env{
		Dirs: dirs, Getenv: getenv, Memo: &Memo{},
		Image: image.Config{Dirs: dirs, Driver: image.Driver{Name: "vfs"}, Out: os.Stderr, Err: os.Stderr, Getenv: getenv},
		Hold:  func(release func()) { t.Cleanup(release) },
	}
}

// next is the Env of a later build.
func (e *Env) next() *Env {
	later := *e
	later.Memo = &Memo{}
	return &later
}

// attach gives the Env a session that offers something.
func attach(t *testing.T, e *Env, offers ...session.Attachable) *session.Session {
	t.Helper()
	m, err := session.NewManager()
	noError(t, err)
	s, err := session.NewSession(t.Context(), "test")
	noError(t, err)
	for _, o := range offers {
		s.Allow(o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work errgroup.Group
	work.Go(func() error { return s.Run(ctx, session.Dialer(testutil.TestStream(testutil.Handler(m.HandleConn)))) })
	t.Cleanup(func() {
		s.Close()
		cancel()
		_ = work.Wait()
	})
	e.Sessions, e.Session = m, session.NewGroup(s.ID())
	return s
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// says checks an error; empty: there is to be none.
func says(t testing.TB, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("error %v, want one that says %q", err, want)
	}
}

func read(t testing.TB, tr *tree.Tree, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(tr.Dir, name))
	noError(t, err)
	return string(data)
}

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		at := filepath.Join(dir, name)
		noError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			os.Remove(at)
			noError(t, os.Symlink(target, at))
			continue
		}
		noError(t, os.WriteFile(at, []byte(text), 0o644))
	}
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
