package system

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	buildkitd "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/moby/client"
	"github.com/tonistiigi/fsutil"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// needBuilder skips where the companion that builds was not built.
func needBuilder(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(filepath.Dir(shared.Bin), "libexec", "wherry", "wherry-build")); err != nil {
		t.Skip("wherry-build is not built")
	}
}

// The context comes as a tar archive, and what happens is told in the words of Docker's classic builder.
func TestAPIBuildClassic(t *testing.T) {
	t.Parallel()
	needBuilder(t)
	api := startREST(t, shared)
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", "api-built:1", "api-built:2") })
	args := url.QueryEscape(`{"WHO":"me","UNSET":null}`)
	labels := url.QueryEscape(`{"l":"m"}`)
	out := api.messages("POST", "/build?t=api-built:1&t=api-built:2&dockerfile=sub/File&buildargs="+args+"&labels="+labels, tarball(t,
		"sub/File", "FROM "+testkit.Image+"\nARG WHO\nCOPY data /data\nRUN echo \"it is $WHO\" && cat /data > /copy\nCMD [\"cat\",\"/copy\"]\n", "data", "content\n"))
	var aux struct{ ID string }
	for _, m := range out {
		if m.Aux != nil {
			json.Unmarshal(m.Aux, &aux)
		}
	}
	for _, text := range []string{"Step 3/3 : RUN", "it is me", "Successfully built", "Successfully tagged api-built:2"} {
		if !said(out, text) {
			t.Errorf("no %q in %+v", text, out)
		}
	}
	if got := shared.Must(t, "image", "inspect", "-f", "{{.Id}} {{.Config.Labels.l}}", "api-built:1"); got != aux.ID+" m" {
		t.Errorf("image %q, told was %q", got, aux.ID)
	}
	if got := shared.Must(t, "run", "--rm", "api-built:2"); got != "content" {
		t.Errorf("the image runs %q", got)
	}
	quiet := api.messages("POST", "/build?q=1&dockerfile=sub/File", tarball(t, "sub/File", "FROM "+testkit.Image+"\nLABEL x=y\n"))
	if len(quiet) != 1 || !strings.HasPrefix(quiet[0].Stream, "sha256:") {
		t.Errorf("a quiet build says %+v", quiet)
	}
	shared.Must(t, "rmi", strings.TrimSpace(quiet[0].Stream))
}

// A step that fails is the end of the stream, with the step's own status; what fails before is an answer with a status.
func TestAPIBuildFails(t *testing.T) {
	t.Parallel()
	needBuilder(t)
	api := startREST(t, shared)
	out := api.messages("POST", "/build", tarball(t, "Dockerfile", "FROM "+testkit.Image+"\nRUN exit 7\n"))
	if last := out[len(out)-1]; last.ErrorDetail == nil || last.ErrorDetail.Code != 7 || last.Error == "" {
		t.Errorf("a step that exits with 7: %+v", last)
	}
	for query, c := range map[string]struct {
		status int
		text   string
	}{
		"?version=9":                    {400, "want 1 or 2"},
		"?remote=/etc":                  {400, "want a URL"},
		"?remote=file:///etc":           {400, "want a URL"},
		"?dockerfile=../../etc/passwd":  {400, "inside the context"},
		"?dockerfile=/etc/passwd":       {400, "inside the context"},
		"?dockerfile=http://host/file":  {400, "inside the context"},
		"?networkmode=container:x":      {400, "networkmode"},
		"?securityopt=seccomp":          {400, "securityopt"},
		"?isolation=hyperv":             {400, "isolation"},
		"?buildargs=x":                  {400, "invalid buildargs"},
		"?ulimits=x":                    {400, "invalid ulimits"},
		"?memory=lots":                  {400, "memory"},
		"?cachefrom=[\"type=local,x\"]": {400, "invalid cachefrom"},
		"?t=UPPER":                      {400, "UPPER"},
		"?version=2":                    {400, "session"},
	} {
		api.refused(c.status, c.text, "POST", "/build"+query, tarball(t, "Dockerfile", "FROM scratch\n"))
	}
	api.refused(http.StatusBadRequest, "unknown instruction", "POST", "/build", tarball(t, "Dockerfile", "FRM x\n"))
	api.refused(http.StatusBadRequest, "X-Registry-Config", "POST", "/build", tarball(t, "Dockerfile", "FROM scratch\n"), "X-Registry-Config", "%%")
	api.refused(http.StatusBadRequest, "X-Docker-Expose-Session-Uuid", "POST", "/session", nil)
}

// A client that goes away takes its build with it.
func TestAPIBuildCancelled(t *testing.T) {
	t.Parallel()
	needBuilder(t)
	api := startREST(t, shared)
	ctx, cancel := context.WithCancel(context.Background())
	mark := "1234" + fmt.Sprint(os.Getpid())
	req, _ := http.NewRequestWithContext(ctx, "POST", "http://api/v1.51/build", tarball(t, "Dockerfile", "FROM "+testkit.Image+"\nRUN echo begun; sleep "+mark+"\n"))
	answer, err := api.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	sleeps := func() bool { return exec.Command("pgrep", "-f", "^sleep "+mark).Run() == nil }
	testkit.Eventually(t, "the step runs", sleeps)
	cancel()
	testkit.Eventually(t, "the step ends", func() bool { return !sleeps() })
}

// BuildKit's client builds through /grpc and /session, as docker buildx and Compose do.
func TestAPIBuildKit(t *testing.T) {
	t.Parallel()
	needBuilder(t)
	api := startREST(t, shared)
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", "api-kit:1") })
	docker, err := client.New(client.WithHost("unix://" + api.socket))
	if err != nil {
		t.Fatal(err)
	}
	defer docker.Close()
	ctx := within(t, 50*time.Second)
	c, err := buildkitd.New(ctx, "",
		buildkitd.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return docker.DialHijack(ctx, "/grpc", "h2c", nil)
		}),
		buildkitd.WithSessionDialer(func(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
			return docker.DialHijack(ctx, "/session", proto, meta)
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fs := buildDir(t, "FROM "+testkit.Image+"\nCOPY data /data\nCMD [\"cat\",\"/data\"]\n")
	_, err = c.Solve(ctx, nil, buildkitd.SolveOpt{
		Frontend: "dockerfile.v0", LocalMounts: map[string]fsutil.FS{"context": fs, "dockerfile": fs},
		Exports: []buildkitd.ExportEntry{{Type: "image", Attrs: map[string]string{"name": "docker.io/library/api-kit:1"}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := shared.Must(t, "run", "--rm", "api-kit:1"); got != "from a session" {
		t.Errorf("the image runs %q", got)
	}
}

func buildDir(t testing.TB, dockerfile string) fsutil.FS {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"Dockerfile": dockerfile, "data": "from a session\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fs, err := fsutil.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// Older docker command lines with DOCKER_BUILDKIT=1 open a session and post to /build with version=2.
func TestAPIBuildVersion2(t *testing.T) {
	t.Parallel()
	needBuilder(t)
	api := startREST(t, shared)
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", "api-two:2") })
	docker, err := client.New(client.WithHost("unix://" + api.socket))
	if err != nil {
		t.Fatal(err)
	}
	defer docker.Close()
	ctx := within(t, 50*time.Second)
	s, err := session.NewSession(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	fs := buildDir(t, "FROM "+testkit.Image+"\nCOPY data /data\n")
	s.Allow(filesync.NewFSSyncProvider(filesync.StaticDirSource{"context": fs, "dockerfile": fs}))
	go s.Run(ctx, func(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
		return docker.DialHijack(ctx, "/session", proto, meta)
	})
	defer s.Close()
	out := api.messages("POST", "/build?version=2&remote=client-session&t=api-two:2&session="+s.ID()+"&buildid=two", nil)
	traced, id := false, ""
	for _, m := range out {
		switch m.ID {
		case "moby.buildkit.trace":
			traced = true
		case "moby.image.id":
			var aux struct{ ID string }
			json.Unmarshal(m.Aux, &aux)
			id = aux.ID
		}
	}
	if got := shared.Must(t, "image", "inspect", "-f", "{{.Id}}", "api-two:2"); got != id || !traced {
		t.Errorf("image %q, told was %q, trace %v: %+v", got, id, traced, out)
	}
}

// A service that is killed takes the builder along, after a moment.
func TestAPIBuilderEnds(t *testing.T) {
	t.Parallel()
	needBuilder(t)
	api := startREST(t, shared)
	api.messages("POST", "/build?q=1", tarball(t, "Dockerfile", "FROM "+testkit.Image+"\n"))
	socket := fmt.Sprintf("%s/builders/%d.sock", shared.Run, api.cmd.Process.Pid)
	if _, err := os.Stat(socket); err != nil {
		t.Fatal(err)
	}
	api.kill()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if conn, err := net.Dial("unix", socket); err != nil {
			break
		} else if conn.Close(); time.Now().After(deadline) {
			t.Fatal("the builder is still there")
		}
	}
}
