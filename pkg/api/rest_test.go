package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	apinet "github.com/moby/moby/api/types/network"
)

func TestStepOf(t *testing.T) {
	for name, want := range map[string]string{
		"[2/5] RUN true": "Step 2/5 : RUN true\n", "[build 3/4] COPY a b": "Step 3/4 : COPY a b\n", "[internal] load build definition": "",
		"exporting to image": "", "[": "", "[] x": "", "[a 1/2]": "",
	} {
		if got := stepOf(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestSpanning(t *testing.T) {
	for _, c := range [][3]string{
		{"10.1.2.128", "10.1.2.254", "10.1.2.128/25"}, {"10.1.2.1", "10.1.2.254", "10.1.2.0/24"}, {"fd00::1", "fd00::ffff", "fd00::/112"}, {"10.0.0.1", "10.0.0.1", "10.0.0.1/32"},
	} {
		if got := spanning(netip.MustParseAddr(c[0]), netip.MustParseAddr(c[1])).String(); got != c[2] {
			t.Errorf("%s to %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

func FuzzDecodeAuth(f *testing.F) {
	f.Add(base64.URLEncoding.EncodeToString([]byte(`{"username":"a","password":"secret-word"}`)))
	f.Add("e30")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := decodeAuth(text)
		if err != nil && strings.Contains(err.Error(), "secret-word") {
			t.Errorf("the secret is in the error: %v", err)
		}
		if err == nil {
			authOptions(c)
		}
	})
}

// No query makes the builder read a file of the service's machine.
func FuzzClassicOptions(f *testing.F) {
	f.Add("dockerfile=a/b&remote=https://x/y.git&buildargs={}&t=x&memory=5")
	f.Add("dockerfile=../x")
	f.Fuzz(func(t *testing.T, query string) {
		u := &url.URL{Path: "/build", RawQuery: query}
		o, err := classicOptions(&request{Request: &http.Request{URL: u, Header: http.Header{}}})
		if err != nil {
			return
		}
		for _, file := range o.Files {
			if !filepath.IsLocal(file) || file == "-" || strings.Contains(file, "://") {
				t.Errorf("%q: Dockerfile %q", query, file)
			}
		}
		if filepath.IsAbs(o.Context) || len(o.Access.Secrets)+len(o.Access.SSH)+len(o.Contexts)+len(o.Result.Outputs) > 0 {
			t.Errorf("%q: %+v", query, o)
		}
	})
}

func FuzzNetworkCreate(f *testing.F) {
	f.Add([]byte(`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.1.2.0/24","Gateway":"10.1.2.1"}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var req apinet.CreateRequest
		if json.Unmarshal(body, &req) == nil {
			createOptions(&req)
		}
	})
}

func FuzzParsePlatformOfClient(f *testing.F) {
	f.Add(`{"os":"linux","architecture":"arm","variant":"v7"}`)
	f.Add("linux/arm64")
	f.Fuzz(func(_ *testing.T, text string) { parsePlatform(text) })
}
