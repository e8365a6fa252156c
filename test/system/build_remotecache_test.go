package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
	"github.com/wherry-containers/wherry/test/registry"
)

// twoStages is a context whose steps make something else each time that they run.
func twoStages(t *testing.T) string {
	return recipe(t, map[string]string{"f": "file\n", "Dockerfile": `FROM busybox AS one
COPY f /f
RUN cat /proc/sys/kernel/random/uuid > /id
FROM busybox
COPY --from=one /id /id
RUN cat /id /proc/sys/kernel/random/uuid > /both
`})
}

func cacheStore(t *testing.T) *testkit.Store {
	t.Helper()
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	return s
}

// both is what the last step of twoStages wrote.
func both(t *testing.T, s *testkit.Store) string {
	t.Helper()
	return s.Must(t, "run", "--rm", "--network", "none", "img", "cat", "/both")
}

// sharesCache builds in one store and then in another one, and says how many steps the latter ran.
func sharesCache(t *testing.T, context string, to, from []string, push ...string) (steps int, second *testkit.Store) {
	t.Helper()
	first, second := cacheStore(t), cacheStore(t)
	first.Must(t, append(append([]string{"build", "-q", "-t", "img"}, to...), context)...)
	if len(push) > 0 {
		first.Must(t, append([]string{"push", "-q"}, push...)...)
	}
	r := second.Try(t, append(append([]string{"build", "--progress", "plain", "-t", "img"}, from...), context)...)
	if r.Code != 0 {
		t.Fatalf("the second build: %+v", r)
	}
	if steps = ran(r); steps == 0 {
		want(t, "what the steps wrote", both(t, second), both(t, first))
	} else if both(t, second) == both(t, first) {
		t.Error("steps ran again and made the same random numbers")
	}
	return steps, second
}

// flag: build --cache-to --cache-from
// flag: buildx build --cache-to --cache-from
func TestBuildCacheInRegistry(t *testing.T) {
	t.Parallel()
	reg := registry.Start(t, registry.Options{})
	context := twoStages(t)
	ref := "ref=" + reg.Host + "/cache:1,registry.insecure=true"
	steps, second := sharesCache(t, context, []string{"--cache-to", "type=registry,mode=max," + ref}, []string{"--cache-from", "type=registry," + ref})
	if steps != 0 {
		t.Errorf("%d steps ran though all were in the cache", steps)
	}
	if r := second.Try(t, "build", "--progress", "plain", context); ran(r) != 0 {
		t.Errorf("a build without the cache, after it was used:\n%s", r.Stderr)
	}
	if check := second.Must(t, "system", "check"); !strings.Contains(check, "No problems found") {
		t.Error(check)
	}
}

// localCache is the arguments for a cache in a directory of the test.
func localCache(t *testing.T, mode string) (place string, to, from []string) {
	place = filepath.Join(dir(t), "cache")
	return place, []string{"--cache-to", "type=local,dest=" + place + ",mode=" + mode}, []string{"--cache-from", "type=local,src=" + place}
}

func TestBuildCacheModes(t *testing.T) {
	t.Parallel()
	// What changes the last step leaves the first stage as it was: only mode=max has that.
	for mode, wanted := range map[string]int{"min": 2, "max": 1} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			context := twoStages(t)
			first, second := cacheStore(t), cacheStore(t)
			_, to, from := localCache(t, mode)
			first.Must(t, append(append([]string{"build", "-q", "-t", "img"}, to...), context)...)
			file := filepath.Join(context, "Dockerfile")
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(data), "COPY --from=one /id /id", "COPY --from=one /id /id2\nCOPY --from=one /id /id", 1)
			if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
				t.Fatal(err)
			}
			r := second.Try(t, append(append([]string{"build", "--progress", "plain", "-t", "img"}, from...), context)...)
			if n := ran(r); r.Code != 0 || n != wanted {
				t.Errorf("%d steps ran, not %d:\n%s", n, wanted, r.Stderr)
			}
		})
	}
}

// flag: build --cache-to --cache-from
func TestBuildCacheInDirectory(t *testing.T) {
	t.Parallel()
	_, to, from := localCache(t, "min")
	if steps, _ := sharesCache(t, twoStages(t), to, from); steps != 0 {
		t.Errorf("%d steps ran though the result was in the cache", steps)
	}
}

func TestBuildCacheInImage(t *testing.T) {
	t.Parallel()
	reg := registry.Start(t, registry.Options{})
	name := reg.Host + "/inline:1"
	steps, _ := sharesCache(t, twoStages(t), []string{"--cache-to", "type=inline"}, []string{"--cache-from", "type=registry,registry.insecure=true,ref=" + name},
		"--tls-verify=false", "img", name)
	if steps != 0 {
		t.Errorf("%d steps ran though the image says how it was made", steps)
	}
}

func TestBuildCacheBroken(t *testing.T) {
	t.Parallel()
	context := twoStages(t)
	place, to, from := localCache(t, "max")
	first, second := cacheStore(t), cacheStore(t)
	first.Must(t, append(append([]string{"build", "-q"}, to...), context)...)
	blobs, _ := filepath.Glob(filepath.Join(place, "blobs/sha256/*"))
	for _, path := range blobs {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if data[0] != '{' { // a layer
			data[len(data)/2] ^= 1
			os.Chmod(path, 0o644)
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := second.Try(t, append(append([]string{"build", "--progress", "plain", "-t", "img"}, from...), context)...)
	if r.Code != 0 || ran(r) == 0 || !strings.Contains(r.Stderr, "not what its digest says") {
		t.Errorf("with layers that are not what they should be: %+v", r)
	}
	missing := second.Try(t, "build", "--progress", "plain", "--cache-from", "127.0.0.1:1/none", context)
	if missing.Code != 0 || !strings.Contains(missing.Stderr, "importing cache manifest from 127.0.0.1:1/none") || !strings.Contains(missing.Stderr, "ERROR") {
		t.Errorf("with a cache that is not there: %+v", missing)
	}
	absent := filepath.Join(place, "absent")
	r = second.Try(t, "build", "--progress", "plain", "--cache-from", "type=local,src="+absent, context)
	if _, err := os.Stat(absent); r.Code != 0 || !strings.Contains(r.Stderr, "warning: --cache-from type=local") || err == nil {
		t.Errorf("with a directory that is not there (%v): %+v", err, r)
	}
	for option, wanted := range map[string]string{"type=gha": "gha", "type=registry,ref=127.0.0.1:1/none,oops=1": "oops", "type=registry,ref=127.0.0.1:1/none": "127.0.0.1:1"} {
		if r := second.Try(t, "build", "-q", "--retry", "0", "--cache-to", option, context); r.Code == 0 || !strings.Contains(r.Stderr, wanted) {
			t.Errorf("--cache-to %s: %+v", option, r)
		}
	}
	second.Must(t, "build", "-q", "--retry", "0", "--cache-to", "type=registry,ref=127.0.0.1:1/none,ignore-error=true", context)
}
