package system

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// service is `wherry system service` on a store.
type service struct {
	cmd    *exec.Cmd
	socket string
	said   *bytes.Buffer // on standard error
}

// startService starts one that ends with the test, or with whoever calls stop before.
func startService(t testing.TB, s *testkit.Store, args ...string) *service {
	t.Helper()
	requireService(t, s)
	dir, err := os.MkdirTemp(filepath.Dir(s.Run), "api")
	if err != nil {
		t.Fatal(err)
	}
	v := &service{socket: filepath.Join(dir, "s"), said: &bytes.Buffer{}}
	if len(args) == 0 {
		args = []string{"--time", "0", "unix://" + v.socket}
	}
	v.cmd = s.Command(context.Background(), append([]string{"system", "service"}, args...)...)
	v.cmd.Stderr = v.said
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		v.stop(syscall.SIGTERM)
		os.RemoveAll(dir)
	})
	return v
}

// await returns once the service listens.
func (v *service) await(t testing.TB) *service {
	t.Helper()
	testkit.Eventually(t, "the service listens", func() bool {
		conn, err := net.Dial("unix", v.socket)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return v
}

func (v *service) stop(sig os.Signal) {
	if v.cmd.ProcessState == nil {
		v.cmd.Process.Signal(sig)
		v.cmd.Wait()
	}
}

func (v *service) client(t testing.TB) *client.Client {
	t.Helper()
	c, err := client.New(client.WithHost("unix://" + v.socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func requireService(t testing.TB, s *testkit.Store) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(filepath.Dir(s.Bin), "libexec/wherry/wherry-compose")); err != nil {
		t.Skip("there is no companion for the service: ", err)
	}
}

// common is one service on the shared store for all tests that do nothing to the service itself; it goes with the first of
// them, and is started again by the next.
var common struct {
	sync.Mutex
	users   int
	service *service
}

// docker is a client of Docker's own of a service on the shared store.
func docker(t testing.TB) *client.Client {
	t.Helper()
	return dockerService(t).client(t)
}

func dockerService(t testing.TB) *service {
	t.Helper()
	requireService(t, shared)
	common.Lock()
	defer common.Unlock()
	if common.users == 0 {
		v := &service{socket: shared.Run + ".api", said: &bytes.Buffer{}}
		v.cmd = shared.Command(context.Background(), "system", "service", "--time", "0", "unix://"+v.socket)
		v.cmd.Stderr = v.said
		if err := v.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		common.service = v.await(t)
	}
	common.users++
	t.Cleanup(func() {
		common.Lock()
		defer common.Unlock()
		if common.users--; common.users == 0 {
			common.service.stop(syscall.SIGTERM)
		}
	})
	return common.service
}

// raw sends one request as it is and returns the status and the message of the error.
func (v *service) raw(t testing.TB, method, path, contentType string, body io.Reader) (int, string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", v.socket) }, DisableKeepAlives: true}
	req, err := http.NewRequest(method, "http://docker"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	var doc struct{ Message string }
	json.Unmarshal(data, &doc)
	return resp.StatusCode, doc.Message
}

// made is a container of the test that was created over the API.
func made(t testing.TB, c *client.Client, cfg client.ContainerCreateOptions) string {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = shared.Name(t)
	}
	if cfg.Config == nil {
		cfg.Config = &container.Config{}
	}
	if cfg.Config.Image == "" {
		cfg.Config.Image = testkit.Image
	}
	if cfg.HostConfig == nil {
		cfg.HostConfig = &container.HostConfig{NetworkMode: "none"}
	}
	got, err := c.ContainerCreate(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return got.ID
}

func shell(script string) *container.Config {
	return &container.Config{Image: testkit.Image, Cmd: []string{"sh", "-c", script}}
}

// started is made and started.
func started(t testing.TB, c *client.Client, cfg client.ContainerCreateOptions) string {
	t.Helper()
	id := made(t, c, cfg)
	if _, err := c.ContainerStart(t.Context(), id, client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	return id
}

// TestAPIForegroundRun does what `docker run --rm` does: it attaches and waits before it starts, and loses nothing of a
// container that is gone in a moment.
func TestAPIForegroundRun(t *testing.T) {
	t.Parallel()
	c := docker(t)
	for i := range 5 {
		cfg := shell("echo out; echo err >&2; exit 7")
		cfg.AttachStdout, cfg.AttachStderr = true, true
		id := made(t, c, client.ContainerCreateOptions{Name: fmt.Sprint(shared.Name(t), i), Config: cfg, HostConfig: &container.HostConfig{AutoRemove: true, NetworkMode: "none"}})
		attached, err := c.ContainerAttach(t.Context(), id, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
		if err != nil {
			t.Fatal(err)
		}
		waited := c.ContainerWait(t.Context(), id, client.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
		if _, err := c.ContainerStart(t.Context(), id, client.ContainerStartOptions{}); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		if _, err := stdcopy.StdCopy(&out, &errs, attached.Reader); err != nil || out.String() != "out\n" || errs.String() != "err\n" {
			t.Errorf("%q %q %v", out.String(), errs.String(), err)
		}
		attached.Close()
		select {
		case end := <-waited.Result:
			if end.StatusCode != 7 || end.Error != nil {
				t.Errorf("%+v", end)
			}
		case err := <-waited.Error:
			t.Error(err)
		}
		if shared.Try(t, "container", "exists", id).Code == 0 {
			t.Error("the container is there although its removal was waited for")
		}
	}
}

func TestAPIStdin(t *testing.T) {
	t.Parallel()
	c := docker(t)
	id := made(t, c, client.ContainerCreateOptions{Config: &container.Config{Cmd: []string{"wc", "-c"}, OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true}})
	attached, err := c.ContainerAttach(t.Context(), id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	if _, err := c.ContainerStart(t.Context(), id, client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	attached.Conn.Write(bytes.Repeat([]byte("x"), 1<<20))
	attached.CloseWrite()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, io.Discard, attached.Reader); err != nil || strings.TrimSpace(out.String()) != "1048576" {
		t.Errorf("%q %v", out.String(), err)
	}
}

// TestAPIAttachLeaves: a client that goes takes nothing with it, and leaves no connection to the container's monitor.
func TestAPIAttachLeaves(t *testing.T) {
	t.Parallel()
	v := startService(t, shared).await(t)
	c := v.client(t)
	id := started(t, c, client.ContainerCreateOptions{Config: shell(trapping)})
	const more = 60 // than a monitor takes at a time
	for range more {
		attached, err := c.ContainerAttach(t.Context(), id, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
		if err != nil {
			t.Fatal(err)
		}
		attached.Close()
	}
	testkit.Eventually(t, "the service has let go of the clients", func() bool {
		entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", v.cmd.Process.Pid))
		return len(entries) < 20
	})
	if _, err := c.ContainerStop(t.Context(), id, client.ContainerStopOptions{}); err != nil {
		t.Error(err)
	}
}

func TestAPITerminal(t *testing.T) {
	t.Parallel()
	c := docker(t)
	id := made(t, c, client.ContainerCreateOptions{Config: &container.Config{Cmd: []string{"sh"}, Tty: true, OpenStdin: true, AttachStdin: true, AttachStdout: true},
		HostConfig: &container.HostConfig{NetworkMode: "none", ConsoleSize: [2]uint{31, 91}}})
	attached, err := c.ContainerAttach(t.Context(), id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, DetachKeys: "ctrl-x,q"})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	if _, err := c.ContainerStart(t.Context(), id, client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	screen := &screenText{}
	gone := make(chan struct{})
	go func() {
		io.Copy(screen, attached.Reader)
		close(gone)
	}()
	io.WriteString(attached.Conn, "stty size\n")
	testkit.Eventually(t, "the terminal has its size from the start", func() bool { return strings.Contains(screen.String(), "31 91") })
	if _, err := c.ContainerResize(t.Context(), id, client.ContainerResizeOptions{Height: 41, Width: 101}); err != nil {
		t.Fatal(err)
	}
	io.WriteString(attached.Conn, "stty size\n")
	testkit.Eventually(t, "it is resized", func() bool { return strings.Contains(screen.String(), "41 101") })
	io.WriteString(attached.Conn, "\x18q")
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the detach keys do not detach")
	}
	if state := field(t, id, "{{.State.Status}}"); state != "running" {
		t.Errorf("after detaching it is %s", state)
	}
}

// screenText is a buffer that is read while it is written.
type screenText struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *screenText) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *screenText) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func TestAPILogs(t *testing.T) {
	t.Parallel()
	c := docker(t)
	id := started(t, c, client.ContainerCreateOptions{Config: shell("echo one; echo two >&2; sleep 0.3; echo three")})
	read := func(opts client.ContainerLogsOptions) (string, string) {
		logs, err := c.ContainerLogs(t.Context(), id, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer logs.Close()
		var out, errs bytes.Buffer
		if _, err := stdcopy.StdCopy(&out, &errs, logs); err != nil {
			t.Error(err)
		}
		return out.String(), errs.String()
	}
	if out, errs := read(client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: true}); out != "one\nthree\n" || errs != "two\n" {
		t.Errorf("follow: %q %q", out, errs)
	}
	if out, errs := read(client.ContainerLogsOptions{ShowStdout: true, Tail: "1"}); out != "three\n" || errs != "" {
		t.Errorf("tail: %q %q", out, errs)
	}
	if out, _ := read(client.ContainerLogsOptions{ShowStdout: true, Timestamps: true, Tail: "1"}); !strings.HasSuffix(out, "Z three\n") || len(out) != len("2006-01-02T15:04:05.000000000Z three\n") {
		t.Errorf("timestamps: %q", out)
	}
	if out, _ := read(client.ContainerLogsOptions{ShowStdout: true, Since: fmt.Sprint(time.Now().Add(time.Hour).Unix())}); out != "" {
		t.Errorf("since: %q", out)
	}
	if _, err := c.ContainerLogs(t.Context(), id, client.ContainerLogsOptions{}); err == nil || !strings.Contains(err.Error(), "you must choose at least one stream") {
		t.Error(err)
	}
}
