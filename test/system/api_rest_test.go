package system

import (
	"bufio"
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
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// restService is a service of Docker's API on a store, and a client that speaks nothing but HTTP.
type restService struct {
	t      testing.TB
	store  *testkit.Store
	socket string
	cmd    *exec.Cmd
	log    bytes.Buffer
	http   *http.Client
}

// startREST starts a service for one test.
func startREST(t testing.TB, s *testkit.Store) *restService {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(s.Run), "api") // short: a socket's path has little room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &restService{t: t, store: s, socket: filepath.Join(dir, "s")}
	r.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
	}}}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *restService) start() {
	r.t.Helper()
	r.cmd = r.store.Command(context.Background(), "system", "service", "--time", "0", "unix://"+r.socket)
	r.cmd.Stderr = &r.log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	testkit.Eventually(r.t, "the service listens", func() bool {
		conn, err := net.Dial("unix", r.socket)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func (r *restService) stop() {
	r.http.CloseIdleConnections()
	r.cmd.Process.Signal(os.Interrupt)
	r.cmd.Wait()
	if r.t.Failed() {
		r.t.Logf("the service said: %s", r.log.String())
	}
}

// kill is the end of a service that was killed.
func (r *restService) kill() {
	r.cmd.Process.Kill()
	r.cmd.Wait()
	r.http.CloseIdleConnections()
}

// do sends a request; body is nil, a string, a reader, or what becomes JSON.
func (r *restService) do(method, path string, body any, header ...string) (int, []byte) {
	r.t.Helper()
	answer := r.open(method, path, body, header...)
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer.StatusCode, data
}

func (r *restService) open(method, path string, body any, header ...string) *http.Response {
	r.t.Helper()
	var in io.Reader
	kind := ""
	switch b := body.(type) {
	case nil:
	case io.Reader:
		in, kind = b, "application/x-tar"
	case string:
		in, kind = strings.NewReader(b), "application/json"
	default:
		data, err := json.Marshal(b)
		if err != nil {
			r.t.Fatal(err)
		}
		in, kind = bytes.NewReader(data), "application/json"
	}
	req, err := http.NewRequest(method, "http://api/v1.51"+path, in)
	if err != nil {
		r.t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	answer, err := r.http.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer
}

// must sends a request that has to be answered with a status, and reads the answer into into unless that is nil.
func (r *restService) must(status int, into any, method, path string, body any, header ...string) {
	r.t.Helper()
	got, data := r.do(method, path, body, header...)
	if got != status {
		r.t.Fatalf("%s %s: status %d, want %d: %s", method, path, got, status, data)
	}
	if into != nil {
		if err := json.Unmarshal(data, into); err != nil {
			r.t.Fatalf("%s %s: %v in %s", method, path, err, data)
		}
	}
}

// refused sends a request that has to fail with a status and a message that contains text.
func (r *restService) refused(status int, text, method, path string, body any, header ...string) {
	r.t.Helper()
	got, data := r.do(method, path, body, header...)
	var m struct{ Message string }
	if json.Unmarshal(data, &m); got != status || !strings.Contains(m.Message, text) || strings.Contains(m.Message, "\n") {
		r.t.Errorf("%s %s: status %d, want %d and one line with %q: %s", method, path, got, status, text, data)
	}
}

// progress is a message of a stream.
type progress struct {
	Status, Stream, ID, Error string
	ErrorDetail               *struct {
		Code    int
		Message string
	}
	Progress json.RawMessage `json:"progressDetail"`
	Aux      json.RawMessage
}

// messages reads a stream of progress that began with status 200.
func (r *restService) messages(method, path string, body any, header ...string) []progress {
	r.t.Helper()
	answer := r.open(method, path, body, header...)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		data, _ := io.ReadAll(answer.Body)
		r.t.Fatalf("%s %s: status %d: %s", method, path, answer.StatusCode, data)
	}
	var all []progress
	dec := json.NewDecoder(bufio.NewReader(answer.Body))
	for {
		var m progress
		if err := dec.Decode(&m); err == io.EOF {
			return all
		} else if err != nil {
			r.t.Fatalf("%s %s: %v", method, path, err)
		}
		all = append(all, m)
	}
}

// said tells whether some message has the text.
func said(all []progress, text string) bool {
	return strings.Contains(fmt.Sprintf("%+v", all), text)
}

// tarball is a tar archive of files by name and content.
func tarball(t testing.TB, files ...string) *bytes.Buffer {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i+1 < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("tar", "-C", dir, "-c", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewBuffer(out)
}

// within ends a test that hangs in a stream.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
