package system

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
	"github.com/wherry-containers/wherry/test/registry"
)

// flag: build --creds --authfile --cert-dir --tls-verify
func TestBuildRegistryAccess(t *testing.T) {
	t.Parallel()
	reg := registry.Start(t, registry.Options{TLS: true, User: "me", Password: "se:cret"})
	base, name := reg.Host+"/base:1", reg.Host+"/made:1"
	shared.Must(t, "push", "-q", "--cert-dir", reg.CertDir, "--creds", "me:se:cret", testkit.Image, base)
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", base, name) })
	context := recipe(t, map[string]string{"Dockerfile": "FROM " + base + "\nRUN echo made >/made\n"})
	push := []string{"build", "-o", "type=registry", "-t", name, context}

	failing(t, 1, reg.Host, append(push, "--tls-verify=true", "--creds", "me:se:cret")...) // nobody vouches for the certificate
	failing(t, 1, reg.Host, append(push, "--cert-dir", reg.CertDir)...)                    // who is it?
	r := failing(t, 1, reg.Host, append(push, "--cert-dir", reg.CertDir, "--creds", "me:wrong-one")...)
	if strings.Contains(r.Stderr, "wrong-one") {
		t.Error("the password is in the error:", r.Stderr)
	}
	metadata := filepath.Join(dir(t), "metadata")
	r = shared.Try(t, append(push, "--cert-dir", reg.CertDir, "--creds", "me:se:cret", "--provenance", "mode=max", "--metadata-file", metadata)...)
	said, _ := os.ReadFile(metadata)
	if r.Code != 0 || strings.Contains(r.Stderr+string(said), "se:cret") || len(said) == 0 {
		t.Errorf("with all that is needed: exit %d, or the password is told: %s%s", r.Code, r.Stderr, said)
	}
	login := filepath.Join(dir(t), "auth.json")
	shared.Must(t, "login", "--authfile", login, "--tls-verify=false", "-u", "me", "-p", "se:cret", reg.Host)
	shared.Must(t, append(push, "-q", "--pull", "--authfile", login, "--tls-verify=false")...)
	shared.Must(t, "pull", "-q", "--authfile", login, "--tls-verify=false", name)
	want(t, "what was pushed", inside2(t, name, "cat /made"), "made")
	failing(t, 1, reg.Host, append(push, "--pull", "--authfile", login, "--tls-verify=true")...)
}

// flag: build --retry --retry-delay
func TestBuildRetry(t *testing.T) {
	t.Parallel()
	reg := registry.Start(t, registry.Options{})
	var faults atomic.Int32
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: reg.Host})
	unreliable := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if faults.Add(-1) >= 0 {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
			return
		}
		proxy.ServeHTTP(w, q)
	}))
	defer unreliable.Close()
	base := strings.TrimPrefix(unreliable.URL, "http://") + "/base:1"
	shared.Must(t, "push", "-q", testkit.Image, base)
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", base) })
	context := recipe(t, map[string]string{"Dockerfile": "FROM " + base + "\n"})
	const many = 1000
	faults.Store(many)
	failing(t, 1, "base:1", "build", "--pull", "--retry", "1", "--retry-delay", "10ms", context)
	once := many - faults.Load()
	faults.Store(many)
	failing(t, 1, "base:1", "build", "--pull", "--retry", "3", "--retry-delay", "10ms", context)
	if more := many - faults.Load(); more != 2*once {
		t.Errorf("with one try more the registry was asked %d times, with three more %d times", once, more)
	}
	faults.Store(once / 2)
	shared.Must(t, "build", "-q", "--pull", "--retry", "1", "--retry-delay", "10ms", context)
	failing(t, 125, "duration", "build", "--retry-delay", "x", context)
}

// flag: build --manifest
func TestBuildManifest(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"f": "x", "Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY f /$TARGETARCH\n"})
	list := built(t) + "-list"
	t.Cleanup(func() { shared.Try(t, "manifest", "rm", list) })
	architectures := func() string {
		t.Helper()
		var l struct {
			Manifests []struct{ Platform struct{ Architecture string } }
		}
		if err := json.Unmarshal([]byte(shared.Must(t, "manifest", "inspect", list)), &l); err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, m := range l.Manifests {
			all = append(all, m.Platform.Architecture)
		}
		return strings.Join(all, " ")
	}
	shared.Must(t, "build", "-q", "--platform", "linux/s390x", "--manifest", list, context)
	want(t, "the new list", architectures(), "s390x")
	shared.Must(t, "build", "-q", "--platform", "linux/amd64,linux/arm64", "--manifest", list, context)
	want(t, "the list that was there", architectures(), "s390x amd64 arm64")
	out := filepath.Join(dir(t), "out")
	shared.Must(t, "manifest", "push", "-q", list, "oci:"+out) // all that it names is there
	failing(t, 125, "--manifest", "build", "--manifest", list, "-t", list, context)
	failing(t, 125, "--manifest", "build", "--manifest", list, "-o", out, context)
	failing(t, 1, "not a manifest list", "build", "--manifest", testkit.Image, context)
}

// flag: build --quiet
func TestBuildQuietFailure(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo of the first\nRUN echo why it failed; false\n"})
	r := failing(t, 1, "exit code: 1", "build", "-q", "--no-cache", context)
	if r.Stdout != "" || !strings.Contains(r.Stderr, "\nwhy it failed\n") || strings.Contains(r.Stderr, "\nof the first\n") {
		t.Errorf("stdout %q, stderr:\n%s", r.Stdout, r.Stderr)
	}
}

// flag: build --network
func TestBuildNetwork(t *testing.T) {
	t.Parallel()
	name := strings.ToLower(t.Name())
	shared.Must(t, "network", "create", "--subnet", "10.213.77.0/24", name)
	t.Cleanup(func() { shared.Try(t, "network", "rm", "-f", name) })
	context := recipe(t, map[string]string{"Dockerfile": "FROM busybox\nRUN ip -4 addr show eth0 | grep -o 'inet [0-9.]*' > /seen\n"})
	image := build(t, context, "--network", name)
	if got := inside2(t, image, "cat /seen"); !strings.HasPrefix(got, "inet 10.213.77.") {
		t.Errorf("the step's address: %q", got)
	}
	failing(t, 1, "no-such-network", "build", "--no-cache", "--network", "no-such-network", context)
}
