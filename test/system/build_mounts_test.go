package system

import (
	gocontext "context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// flag: build --secret
func TestBuildSecrets(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"sec.ret": "pass" + "word-of-file", "Dockerfile": `FROM busybox
RUN --mount=type=secret,id=f,uid=5,mode=0400 stat -c '%u %a' /run/secrets/f > /seen; tr a-z A-Z < /run/secrets/f >> /seen
RUN --mount=type=secret,id=e,env=SECRET echo " $SECRET" | tr a-z A-Z >> /seen
RUN --mount=type=secret,id=missing [ ! -e /run/secrets/missing ]
RUN ! ls /run/secrets/f
`})
	name := built(t)
	r := shared.With("IT=password-of-env").Try(t, "build", "--progress", "plain", "-t", name, "--secret", "id=f,src="+filepath.Join(context, "sec.ret"), "--secret", "id=e,env=IT", context)
	if r.Code != 0 {
		t.Fatalf("exit %d\n%s", r.Code, r.Stderr)
	}
	want(t, "what the steps saw", inside2(t, name, "cat /seen"), "5 400\nPASSWORD-OF-FILE PASSWORD-OF-ENV")
	tarball := filepath.Join(dir(t), "x.tar")
	shared.Must(t, "save", "-q", "-o", tarball, name)
	data, _ := os.ReadFile(tarball)
	for _, place := range []string{string(data), r.Stderr, shared.Must(t, "history", "--no-trunc", name), records(t)} {
		if strings.Contains(place, "password-of") {
			t.Error("a secret is in the image, the output, the history or the cache's records")
		}
	}
	failing(t, 125, "no-such-file", "build", "--secret", "id=f,src=no-such-file", context)
}

// records is everything that the build cache says of itself.
func records(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	files, _ := filepath.Glob(filepath.Join(shared.Data, "build", "records", "*"))
	for _, f := range files {
		data, _ := os.ReadFile(f)
		all.Write(data)
	}
	if len(files) == 0 {
		t.Fatal("the build cache has no records")
	}
	return all.String()
}

func TestBuildMounts(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"in/f": "context\n", "Dockerfile": `FROM busybox AS other
RUN mkdir -p /from/sub && echo other > /from/sub/f
FROM busybox
RUN --mount=type=bind,target=/b,source=in cat /b/f > /seen; ! touch /b/x
RUN --mount=type=bind,target=/b,source=in,rw echo written > /b/new; cat /b/new >> /seen
RUN --mount=type=bind,from=other,source=/from/sub,target=/o cat /o/f >> /seen
RUN --mount=type=tmpfs,target=/t df -T /t | grep -c tmpfs >> /seen; touch /t/gone
RUN --mount=type=cache,id=mounts-test,target=/c,uid=1000,mode=0700 stat -c '%u %a' /c >> /seen; echo once >> /c/log
RUN --mount=type=cache,id=mounts-test,target=/c,uid=1000,mode=0700 cat /c/log >> /seen
RUN ls /t /c 2>/dev/null >> /seen; true
`})
	name := build(t, context)
	want(t, "what the steps saw", inside2(t, name, "cat /seen"), "context\nwritten\nother\n1\n1000 700\nonce")
	if _, err := os.Stat(filepath.Join(context, "in/new")); err == nil {
		t.Error("a step wrote to the context")
	}
}

// flag: build --network --add-host --shm-size --ulimit
func TestBuildSteps(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"Dockerfile": `FROM busybox
ARG AGAIN
RUN ip -o link show | grep -vc ': lo:' > /links; true
RUN grep -w elsewhere /etc/hosts > /hosts
RUN df -k /dev/shm | tail -1 | awk '{print $2}' > /shm
RUN ulimit -n > /files
RUN --network=none ip -o link show | grep -vc ': lo:' > /none; true
`})
	name := build(t, context, "--network", "none", "--add-host", "elsewhere:192.0.2.7", "--shm-size", "8m", "--ulimit", "nofile=77:88")
	want(t, "what the steps saw", inside2(t, name, "cat /links /hosts /shm /files /none"), "0\n192.0.2.7\telsewhere\n8192\n77\n0")
	other := build(t, context, "--network", "host", "--add-host", "elsewhere:192.0.2.7", "--build-arg", "AGAIN=1")
	if got := inside2(t, other, "cat /links"); got == "0" {
		t.Error("--network host: only the loopback interface was there")
	}
}

// Steps that lock the same directories wait for one another, in whatever order they name them, and one that names a
// directory twice does not wait for itself.
func TestBuildLockedCaches(t *testing.T) {
	t.Parallel()
	const lock = "--mount=type=cache,sharing=locked,id=lock-"
	context := recipe(t, map[string]string{
		"ab": "FROM busybox\nRUN " + lock + "a,target=/a " + lock + "b,target=/b sleep 0.2; echo ab >> /a/log; echo ab >> /b/log\n",
		"ba": "FROM busybox\nRUN " + lock + "b,target=/b " + lock + "a,target=/a sleep 0.2; echo ba >> /b/log; echo ba >> /a/log\n",
		"aa": "FROM busybox\nRUN " + lock + "a,target=/x " + lock + "a,target=/y echo x >> /x/log; cp /y/log /seen\n",
	})
	ctx, cancel := gocontext.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for _, file := range []string{"ab", "ba", "ab", "ba"} {
		all.Go(func() {
			out, err := shared.Command(ctx, "build", "-q", "--no-cache", "-f", filepath.Join(context, file), context).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v: %s", file, err, out)
			}
		})
	}
	all.Wait()
	name := built(t)
	if out, err := shared.Command(ctx, "build", "-q", "-t", name, "-f", filepath.Join(context, "aa"), context).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want(t, "lines of the four and its own", inside2(t, name, "grep -c . /seen"), "5")
}
