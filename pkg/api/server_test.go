package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// testServer is a server on an empty store.
func testServer(t testing.TB) *Server {
	dir := t.TempDir()
	dirs := layout.Dirs{Data: dir + "/data", Run: dir + "/run", Libexec: dir}
	return New(Options{Engine: libpod.New(dirs, libpod.EngineOptions{}), Dirs: dirs, Version: "1.2.3"})
}

// ask sends one request and returns the answer.
func ask(s *Server, method, target, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func said(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var doc struct{ Message string }
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Errorf("%q is no error document: %v", w.Body, err)
	}
	return doc.Message
}

func TestRoutesMatch(t *testing.T) {
	t.Parallel()
	table := compile([]route{
		{method: "GET", pattern: "/images/json"},
		{method: "GET", pattern: "/images/{name...}/json"},
		{method: "POST", pattern: "/containers/{id}/start"},
		{method: "GET", pattern: "/exec/{id}/json"},
	})
	for _, c := range []struct {
		method, path string
		want         string
		vars         map[string]string
	}{
		{"GET", "/images/json", "/images/json", nil},
		{"HEAD", "/images/json", "/images/json", nil},
		{"GET", "/images/a/json", "/images/{name...}/json", map[string]string{"name": "a"}},
		{"GET", "/images/host:5000/a/b:c/json", "/images/{name...}/json", map[string]string{"name": "host:5000/a/b:c"}},
		{"GET", "/images/json/json", "/images/{name...}/json", map[string]string{"name": "json"}},
		{"POST", "/containers/web/start", "/containers/{id}/start", map[string]string{"id": "web"}},
		{"GET", "/containers/web/start", "", nil},
		{"POST", "/containers//start", "", nil},
		{"POST", "/containers/a/b/start", "", nil},
		{"POST", "/containers/web/start/", "", nil},
		{"GET", "/", "", nil},
		{"GET", "", "", nil},
	} {
		got := ""
		for i := range table {
			if vars, ok := table[i].match(c.method, c.path); ok {
				if got = table[i].pattern; !maps.Equal(vars, c.vars) {
					t.Errorf("%s: %v", c.path, vars)
				}
				break
			}
		}
		if got != c.want {
			t.Errorf("%s %s is taken for %q, want %q", c.method, c.path, got, c.want)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	s := testServer(t)
	for _, c := range []struct {
		path   string
		status int
		text   string
	}{
		{"/_ping", 200, ""},
		{"/v1.24/_ping", 200, ""},
		{"/v1.51/_ping", 200, ""},
		{"/v1.52/_ping", 400, "client version 1.52 is too new. Maximum supported API version is 1.51"},
		{"/v2.0/_ping", 400, "client version 2.0 is too new"},
		{"/v1.23/_ping", 400, "client version 1.23 is too old. Minimum supported API version is 1.24"},
		{"/v0.9/_ping", 400, "client version 0.9 is too old"},
		{"/v1/_ping", 400, `invalid API version "1"`},
		{"/v1.99999999999999999999/_ping", 400, "invalid API version"},
		{"/v1.2.3/_ping", 400, "invalid API version"},
		{"/vx/_ping", 404, "page not found"},
		{"/v1.41/nosuch", 404, "page not found"},
		{"/v1.41", 404, "page not found"},
	} {
		w := ask(s, "GET", c.path, "", "")
		if w.Code != c.status || c.text != "" && !strings.HasPrefix(said(t, w), c.text) {
			t.Errorf("%s: %d %s", c.path, w.Code, w.Body)
		}
		for header, want := range map[string]string{"Api-Version": MaxVersion, "Ostype": "linux", "Docker-Experimental": "false", "Server": "wherry/1.2.3 (linux)"} {
			if w.Header().Get(header) != want {
				t.Errorf("%s: %s is %q", c.path, header, w.Header().Get(header))
			}
		}
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	s := testServer(t)
	for method, body := range map[string]string{"GET": "OK", "HEAD": ""} {
		w := ask(s, method, "/_ping", "", "")
		if w.Code != 200 || w.Body.String() != body || w.Header().Get("Builder-Version") == "" || w.Header().Get("Swarm") != "inactive" {
			t.Errorf("%s: %d %q %v", method, w.Code, w.Body, w.Header())
		}
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	s := testServer(t)
	for name, c := range map[string]struct {
		contentType, body string
		status            int
		text              string
	}{
		"no JSON":     {"application/json", "{", 400, "invalid JSON: unexpected EOF"},
		"wrong type":  {"application/json", `{"Cmd": 5}`, 400, "invalid JSON: json: cannot unmarshal"},
		"two":         {"application/json", `{"Image":"a"} {}`, 400, "unexpected content after JSON"},
		"form":        {"application/x-www-form-urlencoded", `{}`, 400, "unsupported Content-Type header"},
		"empty":       {"application/json", "", 400, "config cannot be empty"},
		"null":        {"application/json", "null", 400, "config cannot be empty"},
		"no image":    {"application/json; charset=utf-8", `{"Cmd":["a"]}`, 400, "config: no image"},
		"no type":     {"", `{"Cmd":["a"]}`, 400, "config: no image"},
		"unknown key": {"application/json", `{"Image":"nosuch","NoSuchField":{"a":1}}`, 404, "No such image: nosuch:latest"},
		"too large":   {"application/json", `{"Image":"` + strings.Repeat("x", maxBody) + `"}`, 413, "the request's body is larger than 8 MB"},
		"deep":        {"application/json", strings.Repeat("[", 20000), 400, "invalid JSON"},
	} {
		w := ask(s, "POST", "/v1.51/containers/create", c.contentType, c.body)
		if w.Code != c.status || !strings.HasPrefix(said(t, w), c.text) {
			t.Errorf("%s: %d %.200s", name, w.Code, w.Body)
		}
	}
}

func TestStatusOfErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want int
	}{
		{errors.New("x"), 500},
		{fmt.Errorf("x: %w", errdefs.ErrNotFound), 404},
		{errdefs.New(errdefs.ErrInvalid, "x"), 400},
		{errdefs.New(errdefs.ErrAmbiguous, "x"), 400},
		{errdefs.New(errdefs.ErrState, "x"), 409},
		{errdefs.New(errdefs.ErrInUse, "x"), 409},
		{errdefs.New(errdefs.ErrNameInUse, "x"), 409},
		{errdefs.New(errdefs.ErrUnsupported, "x"), 501},
		{errdefs.New(errdefs.ErrBroken, "x"), 500},
		{fmt.Errorf("x: %w", fail(418, "y")), 418},
		{noSuch("image", "x"), 404},
		{unsupported("Field", "why"), 400},
	} {
		if got := statusOf(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}

func TestPanicIsAnError(t *testing.T) {
	t.Parallel()
	var warned string
	s := New(Options{Warn: func(text string) { warned = text }})
	s.routes = compile([]route{{method: "GET", pattern: "/boom", handle: func(*Server, *response, *request) error { panic("boom") }}})
	if w := ask(s, "GET", "/boom", "", ""); w.Code != 500 || !strings.Contains(warned, "boom") {
		t.Errorf("%d %s %q", w.Code, w.Body, warned)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]map[string][]string{
		"":                                     nil,
		"{}":                                   {},
		`{"label":["a=b","c"]}`:                {"label": {"a=b", "c"}},
		`{"label":{"c":true,"a=b":true}}`:      {"label": {"a=b", "c"}},
		`{"name":{"x":false},"id":{"1":true}}`: {"id": {"1"}},
		`{"status":{"running":true},"health":{}}`: {"status": {"running"}},
	} {
		got, err := parseFilters(text)
		if err != nil || !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"x", "[]", `{"a":1}`, `{"a":[1]}`} {
		if _, err := parseFilters(text); statusOf(err) != 400 {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := known(map[string][]string{"nosuch": nil}, "label"); err == nil || err.Error() != "invalid filter 'nosuch'" {
		t.Error(err)
	}
}

func FuzzFilters(f *testing.F) {
	f.Add(`{"label":{"c":true}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if filters, err := parseFilters(text); err != nil && filters != nil {
			t.Error("filters and an error")
		}
	})
}

func TestFramesAreThoseOfStdcopy(t *testing.T) {
	t.Parallel()
	var wire, out, errs bytes.Buffer
	stdout, stderr := split(&wire, false, true, true)
	for i := range 100 {
		fmt.Fprintf(stdout, "out %d\n", i)
		fmt.Fprintf(stderr, "err %d\n", i)
	}
	io.WriteString(stdout, strings.Repeat("x", 1<<17))
	if _, err := stdcopy.StdCopy(&out, &errs, &wire); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), "\n") != 100 || out.Len() < 1<<17 || strings.Count(errs.String(), "\n") != 100 {
		t.Errorf("%d bytes of output, %d of errors", out.Len(), errs.Len())
	}
	if stdout, stderr := split(&wire, true, true, false); stdout != io.Writer(&wire) || stderr != nil {
		t.Error("of a terminal there is one raw stream")
	}
}

func TestMoments(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"": {}, "0": {},
		"1136073600":            time.Unix(1136073600, 0),
		"1136073600.000000001":  time.Unix(1136073600, 1),
		"1136073600.5":          time.Unix(1136073600, 500000000),
		"2006-01-02T15:04:05Z":  time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC),
		"1136073600.1234567890": time.Unix(1136073600, 123456789),
	} {
		if got, err := moment("since", text); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"x", "1.x", "1.-5", "-"} {
		if _, err := moment("since", text); statusOf(err) != 400 {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	recorder := httptest.NewRecorder()
	m := (&response{ResponseWriter: recorder}).messages()
	if err := m.end(noSuch("image", "x")); statusOf(err) != 404 {
		t.Error("an error before the first message is an ordinary one:", err)
	}
	m.send(map[string]string{"status": "Pulling"})
	if err := m.end(noSuch("image", "x")); err != nil {
		t.Error(err)
	}
	want := "{\"status\":\"Pulling\"}\r\n{\"errorDetail\":{\"code\":404,\"message\":\"No such image: x\"},\"error\":\"No such image: x\"}\r\n"
	if recorder.Code != 200 || recorder.Body.String() != want {
		t.Errorf("%d %q", recorder.Code, recorder.Body)
	}
}

func TestTagged(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"a": "a:latest", "a:b": "a:b", "host:5000/a": "host:5000/a:latest", "a@sha256:1": "a@sha256:1"} {
		if got := tagged(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestIdle(t *testing.T) {
	t.Parallel()
	const short = 30 * time.Millisecond
	work := newWorkload()
	end := work.begin()
	over := work.idle(t.Context(), ServeOptions{Idle: short})
	select {
	case <-over:
		t.Fatal("idle with work under way")
	case <-time.After(3 * short):
	}
	end()
	select {
	case <-over:
	case <-time.After(5 * time.Second):
		t.Fatal("not idle after the work")
	}
	select {
	case <-newWorkload().idle(t.Context(), ServeOptions{}):
		t.Fatal("idle although it is to stay")
	case <-time.After(3 * short):
	}
}

func TestRunsAreForWhoWaits(t *testing.T) {
	t.Parallel()
	var table runTable
	if table.take("a") != nil {
		t.Error("a run nobody waits for")
	}
	r, leave := table.join("a")
	again, leaveAgain := table.join("a")
	if again != r {
		t.Error("two runs of one start")
	}
	first, second := newClient(""), newClient("")
	if !table.attach(r, first) || table.attach(r, second) {
		t.Error("one client is attached from the first byte")
	}
	if !table.detach(r, first) || !table.attach(r, second) {
		t.Error("a client that leaves makes room")
	}
	if table.take("a") != r || !table.isTaken(r) || table.detach(r, second) || table.take("a") != nil {
		t.Error("a start takes the run with its client, once")
	}
	leave()
	leaveAgain()
	_, leave = table.join("b")
	leave()
	if len(table.pending) != 0 {
		t.Error("a run that nobody waits for any more is kept")
	}
}

func TestPipeGivesAllThatWasWritten(t *testing.T) {
	t.Parallel()
	var p pipe
	if err := p.open(); err != nil {
		t.Fatal(err)
	}
	defer p.close()
	child, err := dup(p.write) // a process that was left behind keeps it open
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	var got slowBuffer
	p.copyTo(&got)
	p.write.Write(bytes.Repeat([]byte("x"), 60000))
	p.finish()
	if got.Len() != 60000 {
		t.Errorf("%d bytes of 60000", got.Len())
	}
}

// slowBuffer is a client that takes its time.
type slowBuffer struct{ bytes.Buffer }

func (b *slowBuffer) Write(p []byte) (int, error) {
	time.Sleep(3 * quietTime)
	return b.Buffer.Write(p)
}

// TestUnknownContainers: each route about a container says so in Docker's words.
func TestUnknownContainers(t *testing.T) {
	t.Parallel()
	s := testServer(t)
	for _, r := range containerRoutes() {
		if !strings.Contains(r.pattern, "{id}") || strings.Contains(r.pattern, "checkpoints") || r.method == http.MethodHead {
			continue
		}
		target := strings.Replace(r.pattern, "{id}", "nosuch", 1) + "?path=/&name=new&stdout=1"
		w := ask(s, r.method, target, "application/json", "{}")
		if w.Code != 404 || said(t, w) != "No such container: nosuch" {
			t.Errorf("%s %s: %d %s", r.method, target, w.Code, w.Body)
		}
	}
	w := ask(s, "POST", "/exec/"+strings.Repeat("0", 64)+"/start", "application/json", "{}")
	if w.Code != 404 || !strings.HasPrefix(said(t, w), "No such exec instance") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w = ask(s, "GET", "/exec/..%2f..%2fx/json", "", ""); w.Code != 404 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
