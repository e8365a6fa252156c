package buildah

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containers/storage/pkg/reexec"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	solvererr "github.com/moby/buildkit/solver/errdefs"
	"github.com/sirupsen/logrus"
	"github.com/tonistiigi/fsutil"

	"github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// TestMain goes into a user namespace and a mount namespace of its own, as wherry-build does.
func TestMain(m *testing.M) {
	if reexec.Init() {
		return
	}
	if os.Getenv("_BUILDAH_TEST_INSIDE") == "" {
		how := "-rm"
		if os.Geteuid() == 0 {
			how = "-m"
		}
		unshare, err := exec.LookPath("unshare")
		if err == nil && exec.Command(unshare, how, "true").Run() == nil {
			self, _ := os.Executable()
			err = syscall.Exec(unshare, append([]string{"unshare", how, self}, os.Args[1:]...), append(os.Environ(), "_BUILDAH_TEST_INSIDE=1",
				"_CONTAINERS_USERNS_CONFIGURED=done", "_CONTAINERS_ROOTLESS_UID="+fmt.Sprint(os.Getuid()), "_CONTAINERS_ROOTLESS_GID="+fmt.Sprint(os.Getgid())))
		}
		fmt.Println("no namespaces to test in:", err)
		return
	}
	logrus.SetLevel(logrus.FatalLevel)
	os.Exit(m.Run())
}

// served is a builder that serves a socket, and a client of it as another process would have.
func served(t *testing.T) *client.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "served-") // short: a socket's path has little room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := Open(t.Context(), Config{
		Dirs:   layout.Dirs{Data: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run")},
		Driver: image.Driver{Name: "overlay"}, Getenv: func(string) string { return "" }, Err: io.Discard, Version: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- b.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, b.Close()); err != nil {
			t.Error(err)
		}
	})
	c, err := client.New(t.Context(), "unix://"+socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// sent is a build whose context and Dockerfile the client sends.
func sent(t *testing.T, files map[string]string) client.SolveOpt {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fs, err := fsutil.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	return client.SolveOpt{Frontend: "dockerfile.v0", FrontendAttrs: map[string]string{}, LocalMounts: map[string]fsutil.FS{"context": fs, "dockerfile": fs}}
}

// heard collects what is told of a build.
func heard() (chan *client.SolveStatus, func() map[string]*client.Vertex) {
	ch := make(chan *client.SolveStatus)
	byName := map[string]*client.Vertex{}
	var done sync.WaitGroup
	done.Go(func() {
		for s := range ch {
			for _, v := range s.Vertexes {
				byName[v.Name] = v
			}
		}
	})
	return ch, func() map[string]*client.Vertex { done.Wait(); return byName }
}

func TestServedBuild(t *testing.T) {
	c := served(t)
	opt := sent(t, map[string]string{"f": "sent", ".dockerignore": "left\n", "left": "x", "Dockerfile": "FROM scratch AS one\nCOPY . /one/\nFROM scratch\nCOPY --from=one /one/f /two\n"})
	for _, cached := range []bool{false, true} {
		out := t.TempDir()
		opt.Exports = []client.ExportEntry{{Type: client.ExporterLocal, OutputDir: out}, {Type: client.ExporterImage, Attrs: map[string]string{"name": "example.com/served:1"}}}
		ch, told := heard()
		res, err := c.Solve(t.Context(), nil, opt, ch)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(out, "two")); string(text) != "sent" {
			t.Fatalf("what came back is %q, %v", text, err)
		}
		if res.ExporterResponse["containerimage.config.digest"] == "" {
			t.Errorf("the answer is %v", res.ExporterResponse)
		}
		step := told()["[stage-1 1/1] COPY --from=one /one/f /two"]
		if step == nil || step.Completed == nil || step.Cached != cached {
			t.Errorf("the step is %+v, want it cached: %v", step, cached)
		}
	}
	usage, err := c.DiskUsage(t.Context())
	if err != nil || len(usage) == 0 {
		t.Errorf("disk usage: %v, %v", usage, err)
	}
	workers, err := c.ListWorkers(t.Context())
	if err != nil || len(workers) != 1 || len(workers[0].Platforms) == 0 {
		t.Errorf("workers: %v, %v", workers, err)
	}
}

func TestServedErrors(t *testing.T) {
	c := served(t)
	ch, _ := heard()
	_, err := c.Solve(t.Context(), nil, sent(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY nothing /\n"}), ch)
	sources := solvererr.Sources(err)
	if err == nil || len(sources) != 1 || sources[0].Ranges[0].Start.Line != 2 {
		t.Errorf("error %v, sources %v: want the second line of the Dockerfile", err, sources)
	}
	for text, change := range map[string]func(*client.SolveOpt){
		"gha":             func(o *client.SolveOpt) { o.CacheExports = []client.CacheOptionsEntry{{Type: "gha"}} },
		"not supported":   func(o *client.SolveOpt) { o.Frontend = "other.v0" },
		"want min or max": func(o *client.SolveOpt) { o.FrontendAttrs["attest:provenance"] = "mode=some" },
	} {
		opt := sent(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
		change(&opt)
		ch, _ := heard()
		if _, err := c.Solve(t.Context(), nil, opt, ch); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want one with %q", err, text)
		}
	}
}

// A client may be the frontend itself, as buildx is.
func TestServedGateway(t *testing.T) {
	c := served(t)
	ch, _ := heard()
	out := t.TempDir()
	opt := client.SolveOpt{Exports: []client.ExportEntry{{Type: client.ExporterLocal, OutputDir: out}}, FrontendAttrs: map[string]string{}}
	_, err := c.Build(t.Context(), opt, "test", func(ctx context.Context, g gateway.Client) (*gateway.Result, error) {
		st := llb.Scratch().File(llb.Mkdir("/d", 0o755).Mkfile("/d/made", 0o640, []byte("0123456789")))
		def, err := st.Marshal(ctx)
		if err != nil {
			return nil, err
		}
		res, err := g.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB()})
		if err != nil {
			return nil, err
		}
		ref, err := res.SingleRef()
		if err != nil {
			return nil, err
		}
		part, err := ref.ReadFile(ctx, gateway.ReadRequest{Filename: "d/made", Range: &gateway.FileRange{Offset: 2, Length: 3}})
		if err != nil || string(part) != "234" {
			t.Errorf("a part of a file: %q, %v", part, err)
		}
		list, err := ref.ReadDir(ctx, gateway.ReadDirRequest{Path: "/d", IncludePattern: "m*"})
		if err != nil || len(list) != 1 || list[0].Path != "made" || list[0].Size != 10 {
			t.Errorf("a directory: %v, %v", list, err)
		}
		if st, err := ref.StatFile(ctx, gateway.StatRequest{Path: "/d"}); err != nil || !os.FileMode(st.Mode).IsDir() {
			t.Errorf("a file's status: %v, %v", st, err)
		}
		if _, err := ref.ReadFile(ctx, gateway.ReadRequest{Filename: "../../../etc/passwd"}); err == nil {
			t.Error("a file outside of the result could be read")
		}
		more, err := ref.ToState()
		if err != nil {
			return nil, err
		}
		if def, err = more.File(llb.Mkfile("/more", 0o600, nil)).Marshal(ctx); err != nil {
			return nil, err
		}
		return g.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	}, ch)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"d/made", "more"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
}

// A client that goes away ends its build.
func TestServedCancel(t *testing.T) {
	c := served(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	ch, _ := heard()
	opt := client.SolveOpt{FrontendAttrs: map[string]string{}}
	began := time.Now()
	_, err := c.Build(ctx, opt, "test", func(ctx context.Context, _ gateway.Client) (*gateway.Result, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}, ch)
	if err == nil || time.Since(began) > 8*time.Second {
		t.Errorf("error %v after %v", err, time.Since(began))
	}
}
