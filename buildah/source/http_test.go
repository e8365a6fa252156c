package source

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// web serves one text under every path, and counts how often it had to send it.
type web struct {
	*httptest.Server
	text     string
	header   map[string]string
	wants    string // Authorization header
	sent     atomic.Int32
	requests atomic.Int32
}

func newWeb(t *testing.T, text string, header map[string]string) *web {
	w := &web{text: text, header: header}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.requests.Add(1)
		if w.wants != "" && r.Header.Get("Authorization") != w.wants {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/moved" {
			http.Redirect(rw, r, "/there", http.StatusFound)
			return
		}
		for k, v := range w.header {
			rw.Header().Set(k, v)
		}
		if e := w.header["ETag"]; e != "" && r.Header.Get("If-None-Match") == e {
			rw.WriteHeader(http.StatusNotModified)
			return
		}
		if m := w.header["Last-Modified"]; m != "" && r.Header.Get("If-Modified-Since") == m {
			rw.WriteHeader(http.StatusNotModified)
			return
		}
		if strings.HasSuffix(r.URL.Path, "404") {
			rw.WriteHeader(http.StatusNotFound)
			return
		}
		w.sent.Add(1)
		fmt.Fprint(rw, w.text)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *web) source(t *testing.T, path string, attrs map[string]string) Source {
	t.Helper()
	s, err := Identify(&pb.SourceOp{Identifier: w.URL + path, Attrs: attrs}, nil)
	noError(t, err)
	return s
}

const someTime = "Thu, 02 Jan 2020 03:04:05 GMT"

func TestDownload(t *testing.T) {
	t.Parallel()
	sum := digest.FromString("text").String()
	w := newWeb(t, "text", map[string]string{"Last-Modified": someTime})
	for _, c := range []struct {
		name, path string
		attrs      map[string]string
		file, err  string
		mode       os.FileMode
	}{
		{name: "plain", path: "/a/b.txt?x=1", file: "b.txt", mode: 0o600},
		{name: "named", path: "/a", attrs: map[string]string{pb.AttrHTTPFilename: "n", pb.AttrHTTPPerm: "0741"}, file: "n", mode: 0o741},
		{name: "name above", path: "/a", attrs: map[string]string{pb.AttrHTTPFilename: "../../n"}, file: "n", mode: 0o600},
		{name: "no name", path: "/", file: "download", mode: 0o600},
		{name: "redirect", path: "/moved", file: "moved", mode: 0o600},
		{name: "checksum", path: "/c", attrs: map[string]string{pb.AttrHTTPChecksum: sum}, file: "c", mode: 0o600},
		{name: "other checksum", path: "/d", attrs: map[string]string{pb.AttrHTTPChecksum: digest.FromString("x").String()}, err: "its digest is " + sum},
		{name: "absent", path: "/404", err: "404 Not Found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := newEnv(t)
			tr, err := w.source(t, c.path, c.attrs).Fetch(t.Context(), env)
			says(t, err, c.err)
			if err != nil {
				return
			}
			if got := read(t, tr, c.file); got != "text" || tr.Pin != sum {
				t.Errorf("%q, pin %s", got, tr.Pin)
			}
			info, err := os.Stat(filepath.Join(tr.Dir, c.file))
			if err != nil || info.Mode() != c.mode || info.ModTime().Unix() != 1577934245 {
				t.Errorf("%v %v, %v", info.Mode(), info.ModTime(), err)
			}
		})
	}
}

// TestDownloadAgain sees that a server is not made to send again what is here.
func TestDownloadAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		header map[string]string
		attrs  map[string]string
		sent   int32 // by the second build
		asked  int32
	}{
		{"etag", map[string]string{"ETag": `"1"`}, nil, 0, 1},
		{"time", map[string]string{"Last-Modified": someTime}, nil, 0, 1},
		{"neither", nil, nil, 1, 1},
		{"checksum", nil, map[string]string{pb.AttrHTTPChecksum: digest.FromString("text").String()}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWeb(t, "text", c.header)
			env := newEnv(t)
			s := w.source(t, "/f", c.attrs)
			first, _, err := s.Key(t.Context(), env)
			noError(t, err)
			_, err = s.Fetch(t.Context(), env)
			noError(t, err)
			if w.sent.Load() != 1 {
				t.Errorf("sent %d times in one build", w.sent.Load())
			}
			asked := w.requests.Load()
			second, _, err := s.Key(t.Context(), env.next())
			noError(t, err)
			if first != second || w.sent.Load() != 1+c.sent || w.requests.Load() != asked+c.asked {
				t.Errorf("keys %s and %s, sent %d times, asked %d times", first, second, w.sent.Load(), w.requests.Load())
			}
			w.text = "other"
			if w.header != nil {
				w.header = map[string]string{"ETag": `"2"`}
			}
			third, _, err := s.Key(t.Context(), env.next())
			noError(t, err)
			if (first == third) != (c.asked == 0) {
				t.Errorf("the content has changed, the key is %s after %s", third, first)
			}
		})
	}
}

func TestDownloadLogins(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, wants, err string
		secrets          map[string][]byte
		attrs            map[string]string
	}{
		{"named", "Basic x", "", map[string][]byte{"s": []byte("Basic x")}, map[string]string{pb.AttrHTTPAuthHeaderSecret: "s"}},
		{"named, not there", "Basic x", `no secret "s"`, nil, map[string]string{pb.AttrHTTPAuthHeaderSecret: "s"}},
		{"header of the host", "Basic y", "", map[string][]byte{"HTTP_AUTH_HEADER_127.0.0.1": []byte("Basic y")}, nil},
		{"token of the host", "Bearer z", "", map[string][]byte{"HTTP_AUTH_TOKEN_127.0.0.1": []byte("z")}, nil},
		{"none", "Bearer z", "401", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWeb(t, "text", nil)
			w.wants = c.wants
			env := newEnv(t)
			attach(t, env, secretsprovider.FromMap(c.secrets))
			_, err := w.source(t, "/f", c.attrs).Fetch(t.Context(), env)
			says(t, err, c.err)
		})
	}
}

func TestDownloadMetadata(t *testing.T) {
	t.Parallel()
	w := newWeb(t, "text", map[string]string{"Last-Modified": someTime, "Content-Disposition": `attachment; filename="../x/y.tar"`})
	m, err := Metadata(t.Context(), &pb.SourceOp{Identifier: w.URL + "/f"}, sourceresolver.Opt{}, newEnv(t))
	noError(t, err)
	if m.HTTP.Digest != digest.FromString("text") || m.HTTP.Filename != "y.tar" || m.HTTP.LastModified == nil {
		t.Errorf("%+v", m.HTTP)
	}
}
