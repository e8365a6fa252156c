package image

import (
	"archive/tar"
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/types"

	"github.com/wherry-containers/wherry/pkg/image/option"
	fake "github.com/wherry-containers/wherry/test/registry"
)

// metered stands before a registry and counts the bytes of layers that it gives out.
func metered(t *testing.T, host string) (string, *atomic.Int64) {
	count := &atomic.Int64{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: host})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			w = &meter{w, count}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), count
}

type meter struct {
	http.ResponseWriter
	count *atomic.Int64
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.ResponseWriter.Write(p)
	m.count.Add(int64(n))
	return n, err
}

// withFiles imports an image of some files.
func (f *fixture) withFiles(name string, files map[string][]byte) string {
	f.t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for file, content := range files {
		f.noError(w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content))}))
		w.Write(content)
	}
	w.Close()
	f.noError(os.WriteFile(f.path("files.tar"), out.Bytes(), 0o600))
	id, err := f.Import(context.Background(), f.path("files.tar"), name, option.Import{Quiet: true})
	f.noError(err)
	return id
}

func noise(size int) []byte {
	data := make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(data)
	return data
}

// layerTypes are the media types of the layers that a registry has.
func (f *fixture) layerTypes(ref string) (kinds []string) {
	f.t.Helper()
	named, err := normalizeTag(ref)
	f.noError(err)
	at, err := docker.NewReference(named)
	f.noError(err)
	insecure := f.sys
	insecure.DockerInsecureSkipTLSVerify = types.OptionalBoolTrue
	img, err := at.NewImage(context.Background(), &insecure)
	f.noError(err)
	defer img.Close()
	for _, l := range img.LayerInfos() {
		kinds = append(kinds, l.MediaType)
	}
	return kinds
}

// Layers go to the registry in the compression that was asked for, and come back from it.
func TestPushCompression(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	r := fake.Start(t, fake.Options{})
	level := 9
	for format, word := range map[string]string{"gzip": "gzip", "zstd": "zstd", "zstd:chunked": "zstd"} {
		ref := r.Host + "/" + strings.ReplaceAll(format, ":", "-") + ":1"
		id := f.withFiles(ref, map[string][]byte{"f": []byte(strings.Repeat(format, 5000))})
		f.noError(f.Push(ctx, ref, "", option.Push{CompressionFormat: format, CompressionLevel: &level, ForceCompression: true, Format: "oci", Quiet: true}))
		if kinds := f.layerTypes(ref); len(kinds) != 1 || !strings.HasSuffix(kinds[0], word) {
			t.Errorf("%s: layers %v", format, kinds)
		}
		f.noError(f.Remove(ctx, ref, option.Remove{}))
		f.fresh()
		if _, err := f.pull(ref, option.Pull{}); err != nil {
			t.Errorf("%s %s: %v", format, id, err)
		}
		img, err := f.lookup(ctx, ref)
		f.noError(err)
		data, err := os.ReadFile(img.Lower[0] + "/f")
		if err != nil || string(data) != strings.Repeat(format, 5000) {
			t.Errorf("%s: %d bytes came back, %v", format, len(data), err)
		}
	}
	f.sound()
}

// Of a zstd:chunked layer only the files are fetched that are not here yet.
func TestPartialPull(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	if f.cfg.Driver.Name != "overlay" {
		t.Skip("only the overlay driver takes layers in parts")
	}
	r := fake.Start(t, fake.Options{})
	host, count := metered(t, r.Host)
	big := noise(4 << 20)
	old, new := host+"/app:1", host+"/app:2"
	f.withFiles(old, map[string][]byte{"big": big, "small": []byte("old")})
	f.withFiles(new, map[string][]byte{"big": big, "small": []byte("new")})
	for _, ref := range []string{old, new} {
		f.noError(f.Push(ctx, ref, "", option.Push{CompressionFormat: "zstd:chunked", ForceCompression: true, Format: "oci", Quiet: true}))
		f.noError(f.Remove(ctx, ref, option.Remove{}))
	}
	f.fresh()
	_, err := f.pull(old, option.Pull{})
	f.noError(err)
	if n := count.Swap(0); n < int64(len(big)) {
		t.Errorf("the first pull fetched %d bytes only", n)
	}
	_, err = f.pull(new, option.Pull{})
	f.noError(err)
	if n := count.Load(); n > int64(len(big))/4 {
		t.Errorf("the second pull fetched %d bytes, of which %d were here", n, len(big))
	}
	img, err := f.lookup(ctx, new)
	f.noError(err)
	for file, want := range map[string][]byte{"big": big, "small": []byte("new")} {
		if data, err := os.ReadFile(img.Lower[0] + "/" + file); err != nil || !bytes.Equal(data, want) {
			t.Errorf("%s: %d bytes, %v", file, len(data), err)
		}
	}
	f.sound()
}
