package image

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/image/option"
	fake "github.com/wherry-containers/wherry/test/registry"
)

// cutting is a response that breaks off after so many bytes.
type cutting struct {
	http.ResponseWriter
	left *atomic.Int64
}

func (c *cutting) Write(p []byte) (int, error) {
	if c.left.Add(-int64(len(p))) < 0 {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

// A layer whose transfer breaks off goes on from where it was, and is whole in the end.
func TestPullResumes(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	r := fake.Start(t, fake.Options{})
	big := noise(8 << 20)
	var asked, ranges atomic.Int64
	left := &atomic.Int64{}
	left.Store(1 << 40)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: r.Host})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodGet && strings.Contains(q.URL.Path, "/blobs/") {
			asked.Add(1)
			if q.Header.Get("Range") != "" {
				ranges.Add(1)
				left.Store(1 << 40)
			}
			w = &cutting{w, left}
		}
		proxy.ServeHTTP(w, q)
	}))
	t.Cleanup(server.Close)
	ref := server.Listener.Addr().String() + "/big:1"
	f.withFiles(ref, map[string][]byte{"big": big})
	f.noError(f.Push(ctx, ref, "", option.Push{Quiet: true}))
	f.noError(f.Remove(ctx, ref, option.Remove{}))
	left.Store(6 << 20)
	_, err := f.pull(ref, option.Pull{Retry: option.Retry{Max: 2, Delay: 10 * time.Millisecond}})
	f.noError(err)
	if ranges.Load() == 0 {
		t.Errorf("it did not go on: %d requests", asked.Load())
	}
	img, err := f.lookup(ctx, ref)
	f.noError(err)
	if data, err := os.ReadFile(img.Lower[0] + "/big"); err != nil || len(data) != len(big) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	f.sound()
}

// Filters of prune leave what does not fit.
func TestPruneFilters(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	f.imported("kept:1", "1", "LABEL stage=final")
	f.imported("gone:1", "2", "LABEL stage=test")
	for _, step := range []struct {
		filter string
		left   int
	}{{"until=24h", 2}, {"label!=stage", 2}, {"label=stage=test", 1}, {"label!=stage=final", 1}, {"until=1ms", 0}} {
		_, err := f.Prune(ctx, option.Prune{All: true, Filters: []string{step.filter}})
		f.noError(err)
		if images, err := f.names.Images(ctx); err != nil || len(images) != step.left {
			t.Errorf("after %s: %d images, want %d, %v", step.filter, len(images), step.left, err)
		}
	}
}
